//! Reports that wait for the server: one file for each run, in the order in which they were made.
//!
//! A report is durable before anybody relies on it, and leaves the spool only when the server has answered
//! that it is committed. What the server will never take is put aside with its reason, and blocks nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use maildreieck_api_spec::ids::RunId;
use maildreieck_api_spec::runs::RunReport;

use crate::files::{private_folder, sync_folder, write_private};

const REFUSED: &str = "refused";

/// Why the spool could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: {source}")]
pub struct SpoolError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError {
        action,
        path,
        source,
    }
}

fn ordered(report: &RunReport) -> RunReport {
    let proof = report.certificate.iter();
    let times = proof.flat_map(|proof| {
        let oldest = proof.coverage.iter().filter_map(|c| c.oldest_proof);
        oldest.chain([proof.tx_at])
    });
    let last = times.max().unwrap_or(report.started_at);
    RunReport {
        finished_at: report.finished_at.max(report.started_at).max(last),
        ..report.clone()
    }
}

/// The spool in a folder.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

/// A report that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The run.
    pub run_id: RunId,
    number: u64,
    path: PathBuf,
}

impl Spool {
    /// The spool in this folder, which is made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, SpoolError> {
        private_folder(&dir.join(REFUSED)).map_err(failed("making the folder", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Adds a report behind those that wait. One that waits already for the same run is replaced in its
    /// place. Where the site's clock was set back while the run went on, the report says that it ended no
    /// earlier than anything in it: the server takes no other.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn add(&self, run_id: RunId, report: &RunReport) -> Result<(), SpoolError> {
        let report = &ordered(report);
        for wrong in report.contradictions(run_id) {
            let (field, rule) = (wrong.pointer, wrong.rule);
            tracing::error!(%run_id, field, rule, "a report contradicts itself; the server will not take it");
        }
        let waiting = self.waiting()?;
        let number = match waiting.iter().find(|waiting| waiting.run_id == run_id) {
            Some(same) => same.number,
            None => waiting
                .last()
                .map_or(1, |last| last.number.saturating_add(1)),
        };
        let path = self.dir.join(format!("{number:016}-{run_id}.json"));
        let octets = serde_json::to_vec(report)
            .map_err(io::Error::from)
            .map_err(failed("writing", &path))?;
        write_private(&path, &octets).map_err(failed("writing", &path))
    }

    /// The reports that wait, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn waiting(&self) -> Result<Vec<Waiting>, SpoolError> {
        let mut waiting = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed("listing", &self.dir))? {
            let path = entry.map_err(failed("listing", &self.dir))?.path();
            let parsed = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".json")?.split_once('-'))
                .and_then(|(number, run_id)| Some((number.parse().ok()?, run_id.parse().ok()?)));
            if let Some((number, run_id)) = parsed {
                waiting.push(Waiting {
                    run_id,
                    number,
                    path,
                });
            }
        }
        waiting.sort_by_key(|waiting| waiting.number);
        Ok(waiting)
    }

    /// A report's JSON, the same octets each time.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, waiting: &Waiting) -> Result<Vec<u8>, SpoolError> {
        fs::read(&waiting.path).map_err(failed("reading", &waiting.path))
    }

    /// Takes out a report that the server has committed.
    ///
    /// # Errors
    /// When it cannot be removed; then it is sent once more, which changes nothing.
    pub fn delivered(&self, waiting: &Waiting) -> Result<(), SpoolError> {
        match fs::remove_file(&waiting.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(failed("removing", &waiting.path)(e))
            }
            _ => sync_folder(&self.dir).map_err(failed("making durable", &self.dir)),
        }
    }

    /// Puts a report aside that the server will never take, with the reason beside it. Gives the place.
    ///
    /// # Errors
    /// When a file cannot be written or moved.
    pub fn refuse(&self, waiting: &Waiting, reason: &str) -> Result<PathBuf, SpoolError> {
        let folder = self.dir.join(REFUSED);
        let aside = folder.join(format!("{:016}-{}.json", waiting.number, waiting.run_id));
        let text = aside.with_extension("problem.txt");
        write_private(&text, reason.as_bytes()).map_err(failed("writing", &text))?;
        fs::rename(&waiting.path, &aside)
            .and_then(|()| sync_folder(&folder))
            .and_then(|()| sync_folder(&self.dir))
            .map_err(failed("putting aside", &waiting.path))?;
        Ok(aside)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::DateTime;
    use maildreieck_api_spec::ids::TriangleId;
    use maildreieck_api_spec::runs::{RunKind, RunOutcome, Volume};

    use super::*;

    pub(crate) fn report(messages: u64) -> RunReport {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        RunReport {
            triangle_id: TriangleId::new(),
            kind: RunKind::Mirror,
            schedule_id: None,
            due_at: None,
            started_at: at,
            finished_at: at,
            offline: false,
            outcome: RunOutcome::Done,
            failure: None,
            mirrored: Volume {
                messages,
                bytes: messages,
            },
            halt: None,
            certificate: None,
        }
    }

    pub(crate) fn run_id() -> RunId {
        RunId(uuid::Uuid::new_v5(&uuid::Uuid::new_v4(), b"of nothing"))
    }

    #[test]
    fn reports_wait_in_order_and_a_repeat_keeps_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        let runs: Vec<RunId> = (0..12).map(|_| run_id()).collect();
        for (run, messages) in runs.iter().zip(0..) {
            spool.add(*run, &report(messages)).unwrap();
        }
        spool.add(runs[3], &report(99)).unwrap();
        fs::write(dir.path().join("spool/notes.txt"), "x").unwrap();
        fs::write(dir.path().join("spool/x-y.json.tmp"), "half").unwrap();
        let waiting = spool.waiting().unwrap();
        let order: Vec<RunId> = waiting.iter().map(|waiting| waiting.run_id).collect();
        assert_eq!(order, runs);
        let read: RunReport = serde_json::from_slice(&spool.read(&waiting[3]).unwrap()).unwrap();
        assert_eq!(read.mirrored.messages, 99);

        spool.delivered(&waiting[0]).unwrap();
        spool.delivered(&waiting[0]).unwrap();
        let aside = spool.refuse(&waiting[1], "422: no").unwrap();
        let left = spool.waiting().unwrap();
        assert_eq!(left, waiting[2..]);
        assert!(aside.exists());
        let reason = fs::read_to_string(aside.with_extension("problem.txt")).unwrap();
        assert_eq!(reason, "422: no");
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_a_report_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let run = run_id();
        let mut set_back = report(1);
        set_back.finished_at = set_back.started_at - chrono::TimeDelta::hours(1);
        assert_eq!(set_back.contradictions(run).len(), 1);
        spool.add(run, &set_back).unwrap();
        let waiting = spool.waiting().unwrap();
        let read: RunReport = serde_json::from_slice(&spool.read(&waiting[0]).unwrap()).unwrap();
        assert_eq!(read.finished_at, set_back.started_at);
        assert_eq!(read.contradictions(run), []);
    }
}

//! A folder of `.eml` files: one for each message, its octets unchanged, its time that of INTERNALDATE, and
//! a manifest with what a file cannot carry (RFC 5322 for the files, one JSON document a line for the
//! manifest).
//!
//! Never overwrites anything. A second export into the same folder adds what is new and says what it met.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::names;
use crate::plan::identity::{ContentId, Flags, LogicalFolder};
use crate::store::{Member, Store, StoreError, advice};

/// The manifest's name.
pub const MANIFEST: &str = "maildreieck-export.ndjson";

/// What to export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// Also what vanished on the source.
    pub tombstones: bool,
}

/// What an export did.
#[derive(Debug, Default, Serialize)]
pub struct Exported {
    /// Files written.
    pub written: u64,
    /// Files that were there, octet for octet.
    pub present: u64,
    /// Octets written.
    pub bytes: u64,
    /// Messages left out because they vanished on the source.
    pub tombstones_left_out: u64,
    /// Messages that the store cannot give.
    pub unreadable: Vec<Unreadable>,
    /// Files that lie where a message belongs and are something else; they were left alone.
    pub differing: Vec<PathBuf>,
    /// The manifest.
    pub manifest: PathBuf,
}

impl Exported {
    /// Whether every message that was asked for now lies in the folder.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unreadable.is_empty() && self.differing.is_empty()
    }
}

/// A message that the store cannot give.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// Its content.
    pub content_id: ContentId,
    /// Where it lies.
    pub folder: LogicalFolder,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder holds something else.
    #[error("{dir} is not empty and no export of ours; name a new or empty folder")]
    NotOurs {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder holds another triangle's export.
    #[error("{dir} holds an export of triangle {found:?}; name another folder for {wanted:?}")]
    OtherTriangle {
        /// The folder.
        dir: PathBuf,
        /// Whose export it is.
        found: String,
        /// Whose was asked for.
        wanted: String,
    },
    /// Reading or writing a file failed.
    #[error("{action} {path}: {source}{}", advice(source))]
    Io {
        /// What was being done, like `writing`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ExportError + use<'a> {
    move |source| ExportError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The manifest's first line.
#[derive(Serialize, Deserialize)]
struct Header {
    maildreieck_export: u32,
    triangle: String,
}

/// A line of the manifest.
#[derive(Serialize)]
struct Line<'a> {
    path: String,
    folder: &'a str,
    content_id: ContentId,
    size: u32,
    internal_date: Option<String>,
    flags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vanished_at: Option<i64>,
}

/// Writes the mail of a triangle as `.eml` files below `to`, `FOLDER/DATE-CONTENT.eml`. `progress` is told
/// messages done and messages in all.
///
/// # Errors
/// When the folder is somebody else's, or the store or a file fails. What was written until then stays, and
/// the same call goes on from there.
pub fn eml(
    store: &Store,
    triangle: &str,
    to: &Path,
    selection: Selection,
    mut progress: impl FnMut(u64, u64),
) -> Result<Exported, ExportError> {
    claim(to, triangle)?;
    let mut exported = Exported {
        manifest: to.join(MANIFEST),
        ..Exported::default()
    };
    let mut members: Vec<Member> = Vec::new();
    store.each_member(triangle, |member| {
        if member.tombstone.is_some() && !selection.tombstones {
            exported.tombstones_left_out += 1;
        } else {
            members.push(member);
        }
    })?;
    let folders = names::paths(members.iter().map(|member| &member.folder));
    for path in folders.values() {
        let path = to.join(path);
        create_folder(&path).map_err(failed("making the folder", &path))?;
    }

    let mut manifest = Manifest::begin(to, triangle)?;
    let total = u64::try_from(members.len()).unwrap_or(u64::MAX);
    let mut numbers: HashMap<PathBuf, u32> = HashMap::new();
    for (done, member) in (1..).zip(&members) {
        let folder = folders.get(&member.folder).cloned().unwrap_or_default();
        let mut short = member.content.to_string();
        short.truncate(16);
        let stem = folder.join(format!("{}-{short}", names::date(member.date)));
        let number = numbers.entry(stem.clone()).or_insert(0);
        *number += 1;
        let mut name = stem.into_os_string();
        if *number > 1 {
            name.push(format!("-{number}"));
        }
        name.push(".eml");
        let relative = PathBuf::from(name);
        let outcome = place(store, member, &to.join(&relative))?;
        match outcome {
            Placed::Written => {
                exported.written += 1;
                exported.bytes += u64::from(member.size);
            }
            Placed::Present => exported.present += 1,
            Placed::Differs => exported.differing.push(to.join(&relative)),
            Placed::Unreadable => exported.unreadable.push(Unreadable {
                content_id: member.content,
                folder: member.folder.clone(),
            }),
        }
        if matches!(outcome, Placed::Written | Placed::Present) {
            manifest.line(&relative, member)?;
        }
        progress(done, total);
    }
    manifest.finish()?;
    Ok(exported)
}

/// Makes the folder ours, or sees that it is.
fn claim(to: &Path, triangle: &str) -> Result<(), ExportError> {
    create_folder(to).map_err(failed("making the folder", to))?;
    let path = to.join(MANIFEST);
    let mut first = String::new();
    match File::open(&path) {
        Ok(file) => {
            BufReader::new(file.take(65536))
                .read_line(&mut first)
                .map_err(failed("reading", &path))?;
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let mut entries = fs::read_dir(to).map_err(failed("listing", to))?;
            if entries.next().is_some() {
                return Err(ExportError::NotOurs { dir: to.to_owned() });
            }
            // An export that is broken off must be known as ours when it is begun again.
            return Manifest::begin(to, triangle)?.finish();
        }
        Err(e) => return Err(failed("reading", &path)(e)),
    }
    match serde_json::from_str::<Header>(&first) {
        Ok(header) if header.triangle == triangle => Ok(()),
        Ok(header) => Err(ExportError::OtherTriangle {
            dir: to.to_owned(),
            found: header.triangle,
            wanted: triangle.to_owned(),
        }),
        Err(_) => Err(ExportError::NotOurs { dir: to.to_owned() }),
    }
}

fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

enum Placed {
    Written,
    Present,
    Differs,
    Unreadable,
}

fn place(store: &Store, member: &Member, path: &Path) -> Result<Placed, ExportError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => {
            if !metadata.is_file() || metadata.len() != u64::from(member.size) {
                return Ok(Placed::Differs);
            }
            let mut hasher = blake3::Hasher::new();
            File::open(path)
                .and_then(|file| hasher.update_reader(file).map(drop))
                .map_err(failed("reading", path))?;
            let found = ContentId(*hasher.finalize().as_bytes());
            return Ok(if found == member.content {
                Placed::Present
            } else {
                Placed::Differs
            });
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(failed("looking at", path)(e)),
    }
    let temporary = path.with_extension("part");
    let mut file = create(&temporary).map_err(failed("writing", &temporary))?;
    let written = store.read_into(&member.content, |piece| {
        file.write_all(piece).map_err(failed("writing", &temporary))
    });
    match written {
        Ok(()) => {}
        Err(ExportError::Store(StoreError::Missing { .. } | StoreError::Damaged { .. })) => {
            fs::remove_file(&temporary).map_err(failed("removing", &temporary))?;
            return Ok(Placed::Unreadable);
        }
        Err(e) => return Err(e),
    }
    let time = moment(member.date.0);
    file.set_times(FileTimes::new().set_modified(time))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(failed("writing", path))?;
    Ok(Placed::Written)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// The moment in the system's form; the beginning of 1970 for what it cannot express.
fn moment(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moment = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

struct Manifest {
    out: BufWriter<File>,
    folder: PathBuf,
    temporary: PathBuf,
}

impl Manifest {
    fn begin(folder: &Path, triangle: &str) -> Result<Self, ExportError> {
        let temporary = folder.join(format!("{MANIFEST}.part"));
        let file = create(&temporary).map_err(failed("writing", &temporary))?;
        let mut manifest = Self {
            out: BufWriter::new(file),
            folder: folder.to_owned(),
            temporary,
        };
        manifest.json(&Header {
            maildreieck_export: 1,
            triangle: triangle.to_owned(),
        })?;
        Ok(manifest)
    }

    fn line(&mut self, path: &Path, member: &Member) -> Result<(), ExportError> {
        let flags: &Flags = &member.flags;
        self.json(&Line {
            path: names::portable(path),
            folder: member.folder.as_str(),
            content_id: member.content,
            size: member.size,
            internal_date: member.date.to_utc().map(|date| date.to_rfc3339()),
            flags: flags.words().collect(),
            vanished_at: member.tombstone,
        })
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), ExportError> {
        serde_json::to_writer(&mut self.out, value)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(failed("writing", &self.temporary))
    }

    /// Puts the manifest in place, after everything that it names is on the disk.
    fn finish(self) -> Result<(), ExportError> {
        let path = self.folder.join(MANIFEST);
        let file = self
            .out
            .into_inner()
            .map_err(|e| failed("writing", &self.temporary)(e.into_error()))?;
        nix::unistd::syncfs(&file)
            .map_err(io::Error::from)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&self.temporary, &path))
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(failed("writing", &path))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::plan::identity::{InternalDate, MemberId};
    use crate::store::{Event, StoreKey};

    fn fill(store: &mut Store, mails: &[(u32, &str, &[u8], i64)]) {
        for (n, folder, octets, date) in mails {
            let id = store.put(octets).unwrap().id;
            store
                .record(Event::Add {
                    member: MemberId::of("info", "x", 1, 0, *n),
                    triangle: "info".into(),
                    folder: LogicalFolder::from_stored(folder),
                    content: id,
                    date: InternalDate(*date),
                    flags: Flags::from_words(["\\Seen", "Ärger", "$Label1"]),
                    size: u32::try_from(octets.len()).unwrap(),
                })
                .unwrap();
        }
        store.commit().unwrap();
    }

    fn files(dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(names::portable(path.strip_prefix(dir).unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn an_export_is_octets_dates_and_a_manifest_and_can_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let key = StoreKey::from_octets([1; 32]);
        let mut store = Store::open(&dir.path().join("store"), &key).unwrap();
        let first = b"Subject: a\r\n\r\n\xff\x00no newline";
        fill(
            &mut store,
            &[
                (1, "INBOX", first, 1_700_000_000),
                (2, "INBOX", first, 1_700_000_000),
                (3, "\\Sent/2024", b"x", -5),
                (4, "..%2F..", b"", 0),
                (5, "INBOX", b"gone", 9),
            ],
        );
        store
            .record(Event::Tombstone {
                member: MemberId::of("info", "x", 1, 0, 5),
                at: 50,
            })
            .unwrap();
        store.commit().unwrap();
        let to = dir.path().join("out");
        let mut told = Vec::new();
        let exported = eml(&store, "info", &to, Selection::default(), |done, total| {
            told.push((done, total));
        })
        .unwrap();
        assert_eq!(told, [(1, 4), (2, 4), (3, 4), (4, 4)]);
        assert_eq!((exported.written, exported.tombstones_left_out), (4, 1));
        assert!(exported.is_complete());
        let found = files(&to);
        let id = |octets: &[u8]| ContentId::of(octets).to_string()[..16].to_owned();
        let inbox = format!("INBOX/20231114T221320Z-{}", id(first));
        let mut expected = vec![
            format!("{inbox}.eml"),
            format!("{inbox}-2.eml"),
            format!("Sent/2024/19691231T235955Z-{}.eml", id(b"x")),
            format!("%2E.%2F.%2E/19700101T000000Z-{}.eml", id(b"")),
            MANIFEST.to_owned(),
        ];
        expected.sort();
        assert_eq!(found, expected);
        let path = to.join(format!("{inbox}.eml"));
        assert_eq!(fs::read(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().mtime(), 1_700_000_000);
        let manifest = fs::read_to_string(to.join(MANIFEST)).unwrap();
        let lines: Vec<serde_json::Value> = manifest
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[1]["flags"], serde_json::json!(["\\Seen", "$Label1"]));
        assert_eq!(lines[1]["internal_date"], "2023-11-14T22:13:20+00:00");

        fs::write(&path, b"somebody's own").unwrap();
        fs::remove_file(to.join(format!("{inbox}-2.eml"))).unwrap();
        let all = Selection { tombstones: true };
        let again = eml(&store, "info", &to, all, |_, _| {}).unwrap();
        assert_eq!((again.written, again.present), (2, 2));
        assert_eq!(again.differing, std::slice::from_ref(&path));
        assert_eq!(fs::read(&path).unwrap(), b"somebody's own");
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let key = StoreKey::from_octets([1; 32]);
        let store = Store::open(&dir.path().join("store"), &key).unwrap();
        let to = dir.path().join("out");
        let run = |triangle: &str| eml(&store, triangle, &to, Selection::default(), |_, _| {});
        fs::create_dir(&to).unwrap();
        fs::write(to.join("letter.txt"), "x").unwrap();
        assert!(matches!(run("info"), Err(ExportError::NotOurs { .. })));
        assert_eq!(files(&to), ["letter.txt"]);
        fs::remove_file(to.join("letter.txt")).unwrap();
        run("info").unwrap();
        assert!(matches!(
            run("other"),
            Err(ExportError::OtherTriangle { .. })
        ));
        fs::write(to.join(MANIFEST), "{}\n").unwrap();
        assert!(matches!(run("info"), Err(ExportError::NotOurs { .. })));
    }

    #[test]
    fn a_large_message_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let key = StoreKey::from_octets([1; 32]);
        let mut store = Store::open(&dir.path().join("store"), &key).unwrap();
        let large: Vec<u8> = (0_u32..1_500_000).flat_map(u32::to_le_bytes).collect();
        fill(&mut store, &[(1, "INBOX", &large, 1)]);
        let run = |to: &str| {
            let to = dir.path().join(to);
            let exported = eml(&store, "info", &to, Selection::default(), |_, _| {}).unwrap();
            (exported, files(&to))
        };
        let name = format!("INBOX/19700101T000001Z-{}.eml", {
            let mut short = ContentId::of(&large).to_string();
            short.truncate(16);
            short
        });
        let (exported, found) = run("whole");
        assert!(exported.is_complete());
        assert_eq!(found, [name.as_str(), MANIFEST]);
        assert_eq!(
            fs::read(dir.path().join("whole").join(name)).unwrap(),
            large
        );
        assert_eq!(run("whole").0.present, 1);

        // In the last of its pieces, when the others are written.
        let segment = dir.path().join("store/seg-00000001.mds");
        let mut octets = fs::read(&segment).unwrap();
        let last = octets.len() - 2000;
        octets[last] ^= 1;
        fs::write(&segment, octets).unwrap();
        let (exported, found) = run("damaged");
        assert_eq!((exported.written, exported.unreadable.len()), (0, 1));
        assert_eq!(found, [MANIFEST]);
    }

    #[test]
    fn what_the_store_cannot_give_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let key = StoreKey::from_octets([1; 32]);
        let mut store = Store::open(&dir.path().join("store"), &key).unwrap();
        fill(&mut store, &[(1, "INBOX", b"a", 1), (2, "INBOX", b"b", 2)]);
        let segment = dir.path().join("store/seg-00000001.mds");
        let mut octets = fs::read(&segment).unwrap();
        octets[4192 + 50] ^= 1;
        fs::write(&segment, octets).unwrap();
        let to = dir.path().join("out");
        let exported = eml(&store, "info", &to, Selection::default(), |_, _| {}).unwrap();
        assert_eq!((exported.written, exported.unreadable.len()), (1, 1));
        assert_eq!(exported.unreadable[0].content_id, ContentId::of(b"a"));
        assert!(!exported.is_complete());
    }
}

//! A server process in a temporary folder, and the watchdog that outlives us.
//!
//! Dropping a [`Daemon`] stops its process and removes its folder. A test runner that loses patience kills without
//! asking, and then nothing is dropped: so each daemon has a small shell beside it, in a process group of its own, that
//! waits for the end of a pipe which only we hold open, and then does the same.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Reads one word from its pipe. `done`: we have cleaned up. End of file: we are gone, so stop the group, then remove.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
read -r word
[ "$word" = done ] && exit 0
kill -"$1" "$2" 2>/dev/null
n=0
while kill -0 "$2" 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
kill -KILL -"$2" 2>/dev/null
[ -n "$3" ] && rm -rf -- "$3"
exit 0
"#;

/// A temporary folder of a server; removed with everything in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new folder `maildreieck-NAME-…` that other users may enter (mail processes run as somebody else).
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn create(name: &str) -> Result<Self> {
        Self::create_in(&std::env::temp_dir(), name)
    }

    /// The same, below `parent`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn create_in(parent: &Path, name: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = parent.join(format!(
            "maildreieck-{name}-{:012x}",
            super::ports::unique() >> 16
        ));
        std::fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .with_context(|| format!("opening {} for others", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A server's last helper may still be writing: try a few times.
        for _ in 0..50 {
            match std::fs::remove_dir_all(&self.path) {
                Ok(()) => return,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// A running server in a process group of its own.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    watchdog: Child,
    stop_signal: Signal,
    patience: Duration,
}

impl Daemon {
    /// Starts `command` in its own process group. It must stay in the foreground. If we are killed, the watchdog sends
    /// it `stop_signal` and removes `folder`.
    ///
    /// # Errors
    /// If the program or the shell cannot be started.
    pub fn start(mut command: Command, stop_signal: Signal, folder: Option<&Path>) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let name = stop_signal.as_str().trim_start_matches("SIG");
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", name, &child.id().to_string()])
            .arg(folder.unwrap_or_else(|| Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Self {
                child,
                watchdog,
                stop_signal,
                patience: Duration::from_secs(10),
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).context("starting the watchdog's shell")
            }
        }
    }

    /// How long [`Self::stop`] waits before it kills, instead of ten seconds.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The process id of the server, which is also the id of its process group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended by itself.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .context("asking for a server's exit status")
    }

    /// Sends `signal` to the server and all its helpers.
    ///
    /// # Errors
    /// If there is no such group any more.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        killpg(self.group()?, signal).context("signalling a server's process group")
    }

    fn group(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    /// Stops the server in order, and hard when patience ends.
    pub fn stop(&mut self) {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), self.group()) {
            let _ = kill(pid, self.stop_signal);
            let _ = until(self.patience, "a server to stop", || {
                Ok(self.child.try_wait()?.is_some())
            });
        }
        // Helpers that linger are in the same group.
        if let Ok(group) = self.group() {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = self.child.wait();
        if let Some(mut pipe) = self.watchdog.stdin.take() {
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.watchdog.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Asks `condition` until it holds.
///
/// # Errors
/// What `condition` fails with, or that `what` did not come about within `deadline`.
pub fn until(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let end = Instant::now().checked_add(deadline);
    let mut pause = Duration::from_millis(2);
    loop {
        if condition()? {
            return Ok(());
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            bail!("waited {} s in vain for {what}", deadline.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Runs a command to its end and gives its standard output.
///
/// # Errors
/// If it cannot be started or exits with a failure; its standard error is in the text.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether we are root, and so may become the users that servers want.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

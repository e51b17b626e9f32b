//! Where a mail password comes from: the first line of a file or of what a command prints. Neither the
//! password nor the output ever reaches an error or a log.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::files;

/// The longest password, octets.
const LONGEST: u64 = 4096;
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// Where a password is.
#[derive(Clone)]
pub(super) enum PasswordSource {
    File(PathBuf),
    Command(String),
}

impl std::fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            // Somebody may have written the password into it.
            Self::Command(_) => f.write_str("Command"),
        }
    }
}

impl PasswordSource {
    /// As errors name it.
    pub(super) fn key(&self) -> String {
        match self {
            Self::File(path) => format!("password_file '{}'", path.display()),
            Self::Command(_) => "password_command".to_owned(),
        }
    }

    pub(super) fn password(&self) -> Result<SecretString, String> {
        match self {
            Self::File(path) => from_file(path),
            Self::Command(command) => from_command(command, COMMAND_PATIENCE),
        }
    }
}

fn from_file(path: &Path) -> Result<SecretString, String> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{error}; the user that runs the agent must be able to read it")
        }
        _ => error.to_string(),
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    files::warn_exposed(path);
    let line = first_line(&mut file).map_err(unreadable)?;
    checked(&line)
}

fn from_command(command: &str, patience: Duration) -> Result<SecretString, String> {
    let started = Instant::now();
    let by_hand = "; run it by hand to see why";
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What it complains of may name the secret.
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("it does not start: {error}"))?;
    let Some(mut output) = child.stdout.take() else {
        return Err("it has no output".to_owned());
    };
    let (sender, line) = mpsc::channel();
    std::thread::spawn(move || {
        // The receiver may have gone: nobody waits for the line any more.
        let _ = sender.send(first_line(&mut output));
        // What else it has to say is read, so that it comes to its end.
        let _ = io::copy(&mut output, &mut io::sink());
    });
    let left = || patience.saturating_sub(started.elapsed());
    let too_slow = || format!("it did not end within {} s{by_hand}", patience.as_secs());
    let Ok(line) = line.recv_timeout(left()) else {
        kill(&mut child);
        return Err(too_slow());
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if left().is_zero() => {
                kill(&mut child);
                return Err(too_slow());
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(format!("waiting for it: {error}")),
        }
    };
    if !status.success() {
        return Err(format!("it failed with {status}{by_hand}"));
    }
    checked(&line.map_err(|error| format!("reading what it printed: {error}"))?)
}

/// Ends a command with whatever it started.
fn kill(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // It may have ended by itself.
        let _ = nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(group),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
    let _ = child.wait();
}

/// Reads up to the first end of line, octet by octet, so that no buffer keeps what it held.
fn first_line(from: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let capacity = usize::try_from(LONGEST).unwrap_or_default();
    let mut line = Zeroizing::new(Vec::with_capacity(capacity));
    let mut octet = Zeroizing::new([0]);
    let mut from = from.take(LONGEST);
    while from.read(octet.as_mut())? == 1 && *octet != *b"\n" {
        line.extend_from_slice(octet.as_ref());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn checked(line: &[u8]) -> Result<SecretString, String> {
    match std::str::from_utf8(line) {
        Ok("") => Err("its first line is empty".to_owned()),
        Ok(text) if text.chars().any(char::is_control) => {
            Err("its first line holds control characters".to_owned())
        }
        Ok(text) => Ok(SecretString::from(text)),
        Err(_) => Err("its first line is not UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let check = |octets: &[u8], expected: Result<&str, &str>| {
            std::fs::write(&path, octets).unwrap();
            let found = PasswordSource::File(path.clone()).password();
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.expose_secret(), expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{octets:?}: {}", found.is_ok()),
            }
        };
        check(b"secret", Ok("secret"));
        check(b"secret\n", Ok("secret"));
        check(b" s e \r\nuser: info\n", Ok(" s e "));
        check("gehe\u{ef}m".as_bytes(), Ok("gehe\u{ef}m"));
        check(b"", Err("empty"));
        check(b"\nsecret\n", Err("empty"));
        check(b"sec\xffret", Err("UTF-8"));
        check(b"sec\0ret", Err("control"));
        let folder = PasswordSource::File(dir.path().to_owned()).password();
        assert!(folder.is_err_and(|e| e.contains("directory")));
        let absent = PasswordSource::File(dir.path().join("absent")).password();
        assert!(absent.is_err_and(|e| e.contains("No such file")));
    }

    #[test]
    fn a_command_is_asked_and_never_quoted() {
        let check = |command: &str, expected: Result<&str, &str>| {
            let found = from_command(command, Duration::from_secs(20));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.expose_secret(), expected),
                (Err(found), Err(expected)) => {
                    assert!(found.contains(expected), "{found}");
                    assert!(!found.contains("hunter2"), "{found}");
                }
                (found, _) => panic!("{command}: {}", found.is_ok()),
            }
        };
        check("printf 'hunter2\\nurl: x\\n'", Ok("hunter2"));
        check("seq -f hunter%g 2 100000", Ok("hunter2"));
        check(
            "echo hunter2; echo hunter2 >&2; exit 3",
            Err("exit status: 3"),
        );
        check("printf 'hunter2\\001'", Err("control"));
        check("true", Err("empty"));
        check("kill -9 $$", Err("signal: 9"));
        let debug = format!("{:?}", PasswordSource::Command("echo hunter2".to_owned()));
        assert!(!debug.contains("hunter2"));
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let command = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let found = from_command(&command, Duration::from_millis(500));
        assert!(found.is_err_and(|e| e.contains("did not end")));
        let pid: i32 = std::fs::read_to_string(pid)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let gone = |_: &i32| {
            // A killed child that nobody has waited for yet is a zombie.
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        };
        assert!((0..200).any(|i| {
            std::thread::sleep(Duration::from_millis(10));
            gone(&i)
        }));
    }
}

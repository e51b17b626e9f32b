//! Small files that must be whole or absent, and private ones that nobody else may read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Makes the names in a folder durable.
///
/// # Errors
/// When the folder cannot be opened or flushed.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Links followed at most, as by the system itself.
const LINKS: usize = 40;

/// Where a path leads: absolute, without links, `.` and `..`. What is not there yet leads where it would be made.
///
/// # Errors
/// When the present folder cannot be told, a link not be read, or links lead in a circle.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    let mut real = std::env::current_dir()?;
    let mut links = 0;
    let own = |c: Component<'_>| c.as_os_str().to_owned();
    let mut rest: Vec<OsString> = path.components().rev().map(own).collect();
    while let Some(component) = rest.pop() {
        if component == "." {
            continue;
        }
        if component == ".." {
            real.pop();
            continue;
        }
        // An absolute one replaces what was there before.
        let there = real.join(&component);
        if !fs::symlink_metadata(&there).is_ok_and(|m| m.is_symlink()) {
            real = there;
            continue;
        }
        links += 1;
        if links > LINKS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        rest.extend(fs::read_link(&there)?.components().rev().map(own));
    }
    Ok(real)
}

/// Makes a folder that only we can enter, with those above it; one that exists is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Makes an empty file that only we can read, where there is none; one that exists is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn private_file(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(|_| ())
}

/// Writes a file that only we can read, in the place of an older one: after a crash it holds the old or the
/// new octets.
///
/// # Errors
/// When it cannot be written; then the old one is as it was.
pub fn write_private(path: &Path, octets: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary: PathBuf = folder.join(name);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(folder)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The permission bits of a file where others than its owner have any; `None` where it is private.
///
/// # Errors
/// When it cannot be looked at.
pub fn exposed(path: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// Warns of a file with a secret that others can read, once however often it is read.
pub fn warn_exposed(path: &Path) {
    static WARNED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let Ok(Some(mode)) = exposed(path) else {
        return;
    };
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.insert(path.to_owned()) {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{mode:04o}"),
            "others can read this file with a secret; chmod 600 it"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old, and much longer").unwrap();
        assert!(exposed(&path).unwrap().is_some());
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(exposed(&path).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_private(&dir.path().join("none/a"), b"x").is_err());
    }
}

//! What is wrong with the configuration, said so that a technician can mend it. No text here ever holds a
//! password or what a command printed.

use std::io;
use std::path::PathBuf;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{line}: {text}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        text: String,
    },
    /// A triangle that is not in it was asked for.
    #[error("{}: {text}", path.display())]
    NoSuchTriangle {
        /// The file.
        path: PathBuf,
        /// Which, and what there is.
        text: String,
    },
    /// A password cannot be had.
    #[error("{}:{line}: {key} in {section}: {text}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// The line that says where the password is.
        line: usize,
        /// `password_file '…'` or `password_command`.
        key: String,
        /// The section.
        section: String,
        /// Why not.
        text: String,
    },
    /// The data folder cannot be used.
    #[error(
        "{}:{line}: data_dir {}: {source}; {advice}",
        path.display(),
        folder.display()
    )]
    DataDir {
        /// The file.
        path: PathBuf,
        /// The line of `data_dir`.
        line: usize,
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
        /// What to do about it.
        advice: String,
    },
}

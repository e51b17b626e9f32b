//! The agent's configuration file (TOML): read once, checked whole, handed down. Every complaint names file,
//! line and key. Passwords are not in it and are read only when a connection needs them, so that a site
//! whose passwords are gone can still read its own store.

mod account;
mod error;
mod password;
mod preset;
mod schedule;
mod section;

use std::io;
use std::path::{Path, PathBuf};

use maildreieck_api_spec::vocabulary::Corner;
use toml::de::DeTable;

pub use self::account::{AccountConfig, Clients};
pub use self::error::ConfigError;
pub use self::preset::{PRESETS, Preset};
pub use self::schedule::{MirrorSchedule, Schedule, ScheduleError};
use self::section::{Section, Source, TOP, nearest};
use crate::files;
use crate::imap::wire;
use crate::plan::guard::Guard;

/// The whole file.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// Store, ledger and spool.
    pub data_dir: PathBuf,
    /// The store's key, outside the data folder.
    pub store_key_file: PathBuf,
    /// The triangles, in the file's order; one at least.
    pub triangles: Vec<TriangleConfig>,
    /// Certificates that are trusted for the server instead of the system's, PEM.
    pub server_ca_file: Option<PathBuf>,
    data_dir_line: usize,
}

/// A triangle.
#[derive(Debug, Clone)]
pub struct TriangleConfig {
    /// Its name: 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`.
    pub name: String,
    /// When its corners are proved.
    pub tx: Option<Schedule>,
    /// When mail is mirrored besides.
    pub mirror: Option<MirrorSchedule>,
    /// The folder on the standby below which this triangle's folders lie, components joined by `/`; empty
    /// for none. What a server's names cannot hold is escaped as in any folder's name.
    pub standby_prefix: String,
    /// Folders left out: role names or exact paths, each with its subtree.
    pub exclude_folders: Vec<String>,
    /// What counts as unusual.
    pub guard: Guard,
    /// The account that the business works with.
    pub primary: AccountConfig,
    /// The second account.
    pub standby: AccountConfig,
}

/// Where a triangle stands in the file.
struct Lines {
    name: usize,
    standby: usize,
    prefix: usize,
    primary: usize,
}

const TRIANGLE: [&str; 8] = [
    "name",
    "tx",
    "mirror",
    "standby_prefix",
    "exclude_folders",
    "guard",
    "primary",
    "standby",
];
/// What a prefix may take, octets, as mail servers write it: many take no name of more than 255, and folders lie below.
const LONGEST_PREFIX: usize = 128;
const EXCLUDED: [&str; 3] = ["Junk", "Trash", "Drafts"];

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, or something in it is wrong: the first such thing.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let table = DeTable::parse(text).map_err(|error| source.malformed(&error))?;
        let name = "the top of the file".to_owned();
        let top = Section::open(source, name, 1, table.get_ref(), &TOP)?;
        let (data_dir, data_dir_line) = top
            .path("data_dir")?
            .ok_or_else(|| top.missing("data_dir"))?;
        let named = top.path("store_key_file")?;
        let store_key_file = match &named {
            Some((file, _)) => file.clone(),
            None => default_key_file(path),
        };
        if leads_into(&store_key_file, &data_dir) {
            return Err(match named {
                Some((_, line)) => top.wrong(
                    line,
                    "store_key_file",
                    "must not lie in data_dir: whoever takes the store would have its key",
                ),
                None => {
                    let text = format!(
                        "holds the store's key {}: whoever takes the store would have it; name a folder of its own, such as \"data\", or a store_key_file elsewhere (and move the key there, if there is one)",
                        store_key_file.display()
                    );
                    top.wrong(data_dir_line, "data_dir", text)
                }
            });
        }
        let server = top.section("server", "[server]".to_owned(), &["ca_file"])?;
        let server_ca_file = match server {
            Some(server) => server.path("ca_file")?.map(|(path, _)| path),
            None => None,
        };
        let mut triangles: Vec<(TriangleConfig, Lines)> = Vec::new();
        for section in top.sections("triangle", "[[triangle]]", &TRIANGLE)? {
            let read = TriangleConfig::read(&section)?;
            for earlier in &triangles {
                side_by_side(source, earlier, &read)?;
            }
            triangles.push(read);
        }
        let mut sources = Vec::new();
        for (triangle, _) in &mut triangles {
            triangle.primary.share_tokens(&mut sources);
            triangle.standby.share_tokens(&mut sources);
        }
        if triangles.is_empty() {
            return Err(source.wrong(1, "there is no [[triangle]] in it"));
        }
        Ok(Self {
            path: path.to_owned(),
            data_dir,
            store_key_file,
            triangles: triangles
                .into_iter()
                .map(|(triangle, _)| triangle)
                .collect(),
            server_ca_file,
            data_dir_line,
        })
    }

    /// The triangles to work on: the one of this name, or all.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn selected(&self, name: Option<&str>) -> Result<&[TriangleConfig], ConfigError> {
        let Some(name) = name else {
            return Ok(&self.triangles);
        };
        let place = self.triangles.iter().position(|t| t.name == name);
        place
            .and_then(|i| self.triangles.get(i..=i))
            .ok_or_else(|| {
                let names: Vec<&str> = self.triangles.iter().map(|t| t.name.as_str()).collect();
                let hint = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("there is {}", names.join(", ")),
                };
                ConfigError::NoSuchTriangle {
                    path: self.path.clone(),
                    text: format!("there is no triangle '{}'; {hint}", name.escape_debug()),
                }
            })
    }

    /// Reads every file with a password, a refresh token or certificates once, so that what is wrong with one is known
    /// before work begins. Commands are not run, tokens not asked for.
    ///
    /// # Errors
    /// The first that cannot be read or is empty.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        self.triangles.iter().try_for_each(|triangle| {
            triangle.primary.check_files()?;
            triangle.standby.check_files()
        })
    }

    /// Makes the data folder, for us alone, and tries whether it can be written.
    ///
    /// # Errors
    /// When it cannot; the text says what to do.
    pub fn prepare_data_dir(&self) -> Result<(), ConfigError> {
        let folder = &self.data_dir;
        let probe = folder.join(format!(".writable.{}", std::process::id()));
        let tried = files::private_folder(folder)
            .and_then(|()| std::fs::write(&probe, b""))
            .and_then(|()| std::fs::remove_file(&probe));
        tried.map_err(|source| ConfigError::DataDir {
            path: self.path.clone(),
            line: self.data_dir_line,
            folder: folder.clone(),
            advice: advice(&source, folder),
            source,
        })?;
        if let Ok(Some(mode)) = files::exposed(folder) {
            tracing::warn!(
                folder = %folder.display(),
                mode = format!("{mode:04o}"),
                "others can enter the data folder; chmod 700 it"
            );
        }
        Ok(())
    }

    /// The store's folder.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger_path(&self) -> PathBuf {
        self.data_dir.join("ledger.db")
    }

    /// The folder of reports that wait to be delivered.
    #[must_use]
    pub fn spool_dir(&self) -> PathBuf {
        self.data_dir.join("spool")
    }
}

/// What the service manager hands over as a credential (systemd.exec(5)), else beside the file.
fn default_key_file(config: &Path) -> PathBuf {
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|folder| Path::new(&folder).join("store.key"))
        .filter(|path| path.exists())
        .unwrap_or_else(|| config.with_file_name("store.key"))
}

/// Whether a file lies in a folder, by whatever way. Where that cannot be told, their names have to do.
fn leads_into(file: &Path, folder: &Path) -> bool {
    match (files::real(file), files::real(folder)) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => file.starts_with(folder),
    }
}

fn advice(error: &io::Error, folder: &Path) -> String {
    let folder = folder.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "as root: install -d -m 700 -o USER '{folder}', where USER runs the agent; or name another folder"
        ),
        io::ErrorKind::ReadOnlyFilesystem => {
            "name a folder on a disk that can be written; under systemd add it to ReadWritePaths="
                .to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on that disk".to_owned()
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file is where the folder should be; move it away, or name another folder".to_owned()
        }
        _ => "name a folder that can be written".to_owned(),
    }
}

impl TriangleConfig {
    /// The account of a corner.
    #[must_use]
    pub fn account(&self, corner: Corner) -> &AccountConfig {
        match corner {
            Corner::Primary => &self.primary,
            _ => &self.standby,
        }
    }

    fn read(section: &Section<'_>) -> Result<(Self, Lines), ConfigError> {
        let (name, name_line) = section.needed_text("name")?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if name.len() > 64 || !name.chars().all(plain) {
            let text = "must be 1 to 64 of a-z, 0-9, '.', '_' and '-'";
            return Err(section.wrong(name_line, "name", text));
        }
        let tx = schedule(section, "tx")?;
        let mirror = if section.is_text("mirror") {
            let words = [("continuous", MirrorSchedule::Continuous)];
            let words: Vec<_> = words.iter().map(|(word, value)| (*word, value)).collect();
            section
                .word("mirror", &words)?
                .map(|(value, _)| value.clone())
        } else {
            schedule(section, "mirror")?.map(MirrorSchedule::At)
        };
        let (prefix, prefix_line) = section
            .any_text("standby_prefix")?
            .unwrap_or((String::new(), section.line));
        if wire::encode_utf7(&prefix).len() > LONGEST_PREFIX {
            let text = format!(
                "must not be longer than {LONGEST_PREFIX} octets as mail servers write it; many refuse such names, and folders lie below it: choose a shorter one"
            );
            return Err(section.wrong(prefix_line, "standby_prefix", text));
        }
        let (primary, primary_line) = AccountConfig::read(section, Corner::Primary)?;
        let (standby, standby_line) = AccountConfig::read(section, Corner::Standby)?;
        if primary.identity() == standby.identity() {
            let text = "[triangle.standby] is the same account as [triangle.primary]";
            return Err(section.source.wrong(standby_line, text));
        }
        let triangle = Self {
            name,
            tx,
            mirror,
            standby_prefix: components(&prefix).collect::<Vec<_>>().join("/"),
            exclude_folders: section
                .texts("exclude_folders")?
                .unwrap_or_else(|| EXCLUDED.map(str::to_owned).to_vec()),
            guard: guard(section)?,
            primary,
            standby,
        };
        let lines = Lines {
            name: name_line,
            standby: standby_line,
            prefix: prefix_line,
            primary: primary_line,
        };
        Ok((triangle, lines))
    }

    /// BLAKE3 over the canonical JSON (RFC 8785) of all that decides what this triangle does, 64 hex digits.
    /// No password and no path goes into it.
    #[must_use]
    pub fn configuration_hash(&self) -> String {
        let value = serde_json::json!({
            "name": self.name,
            "primary": self.primary.canonical(),
            "standby": self.standby.canonical(),
            "standby_prefix": self.standby_prefix,
            "exclude_folders": self.exclude_folders,
            "guard": self.guard,
            "tx": self.tx,
            "mirror": self.mirror,
        });
        // A JSON value is written to memory: nothing there can fail.
        let octets = serde_json_canonicalizer::to_vec(&value).unwrap_or_default();
        blake3::hash(&octets).to_hex().to_string()
    }
}

fn components(prefix: &str) -> impl Iterator<Item = &str> {
    prefix.split('/').filter(|part| !part.is_empty())
}

fn schedule(section: &Section<'_>, key: &str) -> Result<Option<Schedule>, ConfigError> {
    let name = format!("'{key}' of {}", section.name);
    let Some(table) = section.section(key, name, &["cron", "timezone"])? else {
        return Ok(None);
    };
    let (cron, cron_line) = table.needed_text("cron")?;
    let (timezone, timezone_line) = table.needed_text("timezone")?;
    match Schedule::new(&cron, &timezone) {
        Ok(schedule) => Ok(Some(schedule)),
        Err(ScheduleError::Cron(text)) => Err(table.wrong(cron_line, "cron", text)),
        Err(ScheduleError::Timezone(text)) => Err(table.wrong(timezone_line, "timezone", text)),
    }
}

fn guard(section: &Section<'_>) -> Result<Guard, ConfigError> {
    let name = format!("'guard' of {}", section.name);
    let default = Guard::default();
    let Some(table) = section.section("guard", name, &["max_share", "min_messages"])? else {
        return Ok(default);
    };
    Ok(Guard {
        max_share: table.share("max_share")?.unwrap_or(default.max_share),
        min_messages: table
            .number("min_messages", 0..=u64::MAX)?
            .unwrap_or(default.min_messages),
    })
}

/// What two triangles of one file may not have in common.
fn side_by_side(
    source: Source<'_>,
    (earlier, at): &(TriangleConfig, Lines),
    (later, here): &(TriangleConfig, Lines),
) -> Result<(), ConfigError> {
    if earlier.name == later.name {
        let text = format!(
            "a second triangle named '{}'; the first is in line {}",
            later.name, at.name
        );
        return Err(source.wrong(here.name, text));
    }
    if earlier.primary.identity() == later.primary.identity() {
        let text = format!(
            "the primary of '{}' is already the primary of '{}' (line {})",
            later.name, earlier.name, at.primary
        );
        return Err(source.wrong(here.primary, text));
    }
    let overlap = components(&earlier.standby_prefix)
        .zip(components(&later.standby_prefix))
        .all(|(a, b)| a.eq_ignore_ascii_case(b));
    if earlier.standby.identity() == later.standby.identity() && overlap {
        let text = format!(
            "'{}' shares its standby with '{}' (line {}): give each a standby_prefix outside the other's",
            later.name, earlier.name, at.standby
        );
        return Err(source.wrong(here.prefix, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

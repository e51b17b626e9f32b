//! A section of the file: takes its keys out by name and type, and says of whatever is wrong in which line
//! it stands and which key it is.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;

/// The file that is being read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    fn line(&self, at: Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(at.start);
        before.filter(|octet| **octet == b'\n').count() + 1
    }

    pub(super) fn wrong(&self, line: usize, text: impl Into<String>) -> ConfigError {
        ConfigError::Wrong {
            path: self.path.to_owned(),
            line,
            text: text.into(),
        }
    }

    /// What the TOML parser found: its description, without the file's text.
    pub(super) fn malformed(&self, error: &toml::de::Error) -> ConfigError {
        let line = error.span().map_or(1, |span| self.line(span));
        self.wrong(line, format!("this is no TOML: {}", error.message()))
    }
}

/// Keys of the whole file, which in TOML have to stand before the first section.
pub(super) const TOP: [&str; 4] = ["data_dir", "store_key_file", "triangle", "server"];

pub(super) struct Section<'a> {
    pub(super) source: Source<'a>,
    /// As messages name it: `[triangle.primary]`.
    pub(super) name: String,
    /// The line it begins in.
    pub(super) line: usize,
    table: &'a DeTable<'a>,
}

/// A value with its line.
pub(super) struct Found<'a> {
    pub(super) line: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Section<'a> {
    /// Opens a section and refuses keys that it does not have.
    pub(super) fn open(
        source: Source<'a>,
        name: String,
        line: usize,
        table: &'a DeTable<'a>,
        known: &[&str],
    ) -> Result<Self, ConfigError> {
        let unknown = table
            .keys()
            .filter(|key| !known.contains(&&**key.get_ref()))
            .min_by_key(|key| key.span().start);
        match unknown {
            None => Ok(Self {
                source,
                name,
                line,
                table,
            }),
            Some(key) => {
                let word: &str = key.get_ref();
                let hint = match nearest(word, known.iter().copied()) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None if TOP.contains(&word) => {
                        "it belongs at the top of the file, before the first section".to_owned()
                    }
                    None => format!("its keys are {}", known.join(", ")),
                };
                Err(source.wrong(
                    source.line(key.span()),
                    format!("unknown key '{}' in {name}; {hint}", word.escape_debug()),
                ))
            }
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<Found<'a>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(Found {
            line: self.source.line(key.span()),
            value: value.get_ref(),
        })
    }

    pub(super) fn missing(&self, key: &str) -> ConfigError {
        let text = format!("the key '{key}' is missing in {}", self.name);
        self.source.wrong(self.line, text)
    }

    /// An error about a key's value.
    pub(super) fn wrong(
        &self,
        line: usize,
        key: &str,
        text: impl std::fmt::Display,
    ) -> ConfigError {
        let text = format!("'{key}' in {} {text}", self.name);
        self.source.wrong(line, text)
    }

    fn mismatch(&self, found: &Found<'_>, key: &str, wanted: &str) -> ConfigError {
        let is = match found.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a section",
        };
        self.wrong(found.line, key, format!("must be {wanted}, not {is}"))
    }

    /// Text on one line, not empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<(String, usize)>, ConfigError> {
        let Some((text, line)) = self.any_text(key)? else {
            return Ok(None);
        };
        if text.is_empty() {
            return Err(self.wrong(line, key, "must not be empty"));
        }
        Ok(Some((text, line)))
    }

    /// Text on one line.
    pub(super) fn any_text(&self, key: &str) -> Result<Option<(String, usize)>, ConfigError> {
        let Some(found) = self.find(key) else {
            return Ok(None);
        };
        let DeValue::String(text) = found.value else {
            return Err(self.mismatch(&found, key, "text in quotes"));
        };
        if text.chars().any(char::is_control) {
            return Err(self.wrong(found.line, key, "must not hold control characters"));
        }
        Ok(Some((text.to_string(), found.line)))
    }

    pub(super) fn needed_text(&self, key: &str) -> Result<(String, usize), ConfigError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    /// A path; one that is relative starts at the file's folder. No shell reads it, so one that only a shell would
    /// understand is refused.
    pub(super) fn path(&self, key: &str) -> Result<Option<(PathBuf, usize)>, ConfigError> {
        let folder = self.source.path.parent().unwrap_or(Path::new(""));
        let Some((path, line)) = self.text(key)? else {
            return Ok(None);
        };
        if path.starts_with('~') {
            let text = format!(
                "must be a path as it is, and '{}' is expanded by a shell alone: write the folder out, such as /home/…, or begin it with ./ where the name is meant",
                path.escape_debug()
            );
            return Err(self.wrong(line, key, text));
        }
        Ok(Some((folder.join(path), line)))
    }

    pub(super) fn number(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(found) = self.find(key) else {
            return Ok(None);
        };
        let wanted = if *range.end() == u64::MAX {
            format!("a whole number from {}", range.start())
        } else {
            format!("a whole number from {} to {}", range.start(), range.end())
        };
        let DeValue::Integer(digits) = found.value else {
            return Err(self.mismatch(&found, key, &wanted));
        };
        match u64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(found.line, key, format!("must be {wanted}"))),
        }
    }

    /// A number from 0 to 1.
    pub(super) fn share(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        let Some(found) = self.find(key) else {
            return Ok(None);
        };
        let digits = match found.value {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => return Err(self.mismatch(&found, key, "a number from 0 to 1")),
        };
        match digits.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
            _ => Err(self.wrong(found.line, key, "must be a number from 0 to 1")),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        let Some(found) = self.find(key) else {
            return Ok(None);
        };
        match found.value {
            DeValue::Boolean(flag) => Ok(Some(*flag)),
            _ => Err(self.mismatch(&found, key, "true or false")),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(found) = self.find(key) else {
            return Ok(None);
        };
        let DeValue::Array(list) = found.value else {
            return Err(self.mismatch(&found, key, "a list of texts"));
        };
        let mut texts = Vec::new();
        for item in list.iter() {
            let line = self.source.line(item.span());
            match item.get_ref() {
                DeValue::String(text)
                    if !text.trim_matches('/').is_empty()
                        && !text.chars().any(char::is_control) =>
                {
                    texts.push(text.to_string());
                }
                DeValue::String(_) => {
                    let text = "must not hold empty texts or control characters";
                    return Err(self.wrong(line, key, text));
                }
                _ => return Err(self.wrong(line, key, "must be a list of texts")),
            }
        }
        Ok(Some(texts))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
    ) -> Result<Option<(T, usize)>, ConfigError> {
        let list = || {
            let all: Vec<String> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            all.join(" or ")
        };
        let Some(found) = self.find(key) else {
            return Ok(None);
        };
        let DeValue::String(text) = found.value else {
            return Err(self.mismatch(&found, key, &list()));
        };
        match words.iter().find(|(word, _)| *word == text.as_ref()) {
            Some((_, value)) => Ok(Some((*value, found.line))),
            None => {
                let text = format!("must be {}, not \"{}\"", list(), text.escape_debug());
                Err(self.wrong(found.line, key, text))
            }
        }
    }

    /// Whether a key holds text.
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.find(key)
            .is_some_and(|found| matches!(found.value, DeValue::String(_)))
    }

    /// A section in this one.
    pub(super) fn section(
        &self,
        key: &str,
        name: String,
        known: &[&str],
    ) -> Result<Option<Self>, ConfigError> {
        let Some(found) = self.find(key) else {
            return Ok(None);
        };
        let DeValue::Table(table) = found.value else {
            return Err(self.mismatch(&found, key, "a section"));
        };
        Self::open(self.source, name, found.line, table, known).map(Some)
    }

    /// The sections of a list of sections.
    pub(super) fn sections(
        &self,
        key: &str,
        name: &str,
        known: &[&str],
    ) -> Result<Vec<Self>, ConfigError> {
        let Some(found) = self.find(key) else {
            return Ok(Vec::new());
        };
        let wanted = format!("a list of sections, each under {name}");
        let DeValue::Array(list) = found.value else {
            return Err(self.mismatch(&found, key, &wanted));
        };
        let open = |item: &'a toml::Spanned<DeValue<'a>>| {
            let line = self.source.line(item.span());
            match item.get_ref() {
                DeValue::Table(table) => {
                    Self::open(self.source, name.to_owned(), line, table, known)
                }
                _ => Err(self.wrong(line, key, format!("must be {wanted}"))),
            }
        };
        list.iter().map(open).collect()
    }
}

/// The word most like another one, if one is like enough to be meant.
pub(super) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let allowed = word.chars().count() / 3 + 1;
    words
        .into_iter()
        .map(|known| {
            let apart = strsim::damerau_levenshtein(
                &word.to_ascii_lowercase(),
                &known.to_ascii_lowercase(),
            );
            (apart, known)
        })
        .filter(|(apart, _)| *apart <= allowed)
        .min_by_key(|(apart, _)| *apart)
        .map(|(_, known)| known)
}

//! Pages and their cursors. A cursor holds the last id of its page and a digest of list, tenant and
//! filters: with any other it is refused. It grants nothing, so that it needs no seal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maildreieck_api_spec::page::PageQuery;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
pub use crate::store::page::Window;

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// For the next page.
    pub next: Option<String>,
}

/// Which list a cursor belongs to.
pub struct List {
    digest: String,
}

impl List {
    /// A list by its name and the filters that are set.
    #[must_use]
    pub fn new(ctx: &Ctx, name: &str, filters: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in [ctx.tenant_key().as_str(), name].iter().chain(filters) {
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest: String = hex::encode(hash.finalize()).chars().take(16).collect();
        Self { digest }
    }

    /// The window that a query asks for.
    ///
    /// # Errors
    /// A cursor that is none, or of another list.
    pub fn window(&self, query: &PageQuery) -> Result<Window> {
        let below = query
            .cursor
            .as_deref()
            .map(|cursor| self.read(cursor))
            .transpose()?;
        Ok(Window {
            below,
            limit: query.limit.get(),
        })
    }

    fn read(&self, cursor: &str) -> Result<String> {
        let decoded = URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|octets| String::from_utf8(octets).ok());
        let last = decoded
            .as_deref()
            .and_then(|text| text.split_once(' '))
            .filter(|(digest, _)| *digest == self.digest)
            .and_then(|(_, last)| Uuid::parse_str(last).ok());
        last.map(|id| id.to_string()).ok_or_else(|| Error {
            kind: Kind::Malformed,
            ..Error::invalid(
                "?cursor",
                "the `next_cursor` of this list with these filters",
            )
        })
    }

    /// Cuts the rows to the page and makes the next one's cursor.
    pub fn page<T>(
        &self,
        window: &Window,
        mut rows: Vec<T>,
        id: impl Fn(&T) -> String,
    ) -> Paged<T> {
        let limit = usize::from(window.limit);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|last| URL_SAFE_NO_PAD.encode(format!("{} {}", self.digest, id(last))));
        Paged { items: rows, next }
    }
}

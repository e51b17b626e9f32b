//! A page of a list, as statements take it: newest first, below an id, one more than asked for to know
//! whether there is a next page.

/// Which rows.
#[derive(Debug, Clone)]
pub struct Window {
    /// Ids below this one, if it is not the first page.
    pub below: Option<String>,
    /// How many rows a page has.
    pub limit: u16,
}

impl Window {
    /// How many rows to ask for: one more than the page has.
    #[must_use]
    pub fn ask(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The upper bound, exclusive: above every id on the first page.
    #[must_use]
    pub fn bound(&self) -> String {
        self.below.clone().unwrap_or_else(|| "g".to_owned())
    }
}

//! The one error of services and store. It has a text that may leave the house and a context that may
//! not, and says whether trying again helps. Status codes are `problem.rs`'s business.

use crate::domain::field::Field;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request cannot be read: no JSON, a broken query.
    Malformed,
    /// The request reads well, but says what cannot be.
    Invalid,
    /// It says a time that has not come by the server's clock; once it has, it may be said again.
    ClocksDiffer,
    /// Nobody known, or no longer.
    Unauthenticated,
    /// An agent's counter did not grow.
    CloneSuspected,
    /// Known, but not allowed.
    Forbidden,
    /// It does not exist, at least not for this one.
    NotFound,
    /// It exists, but not under this method.
    MethodNotAllowed,
    /// It contradicts what is there.
    Conflict,
    /// A request with the same `Idempotency-Key` is being answered.
    InFlight,
    /// Another body under the same `Idempotency-Key`.
    KeyReused,
    /// What was to be changed has changed meanwhile.
    PreconditionFailed,
    /// A change without `If-Match`.
    PreconditionRequired,
    /// Too long.
    TooLarge,
    /// Not JSON.
    UnsupportedMediaType,
    /// Too much to do; temporary.
    Unavailable,
    /// Our own fault.
    Internal,
}

impl Kind {
    /// Whether the same request may succeed later without anybody doing anything.
    #[must_use]
    pub fn temporary(self) -> bool {
        matches!(self, Self::InFlight | Self::Unavailable | Self::Internal)
    }
}

/// A failure of a service.
#[derive(Debug, thiserror::Error)]
#[error("{public}")]
pub struct Error {
    /// What kind.
    pub kind: Kind,
    /// What may be told.
    pub public: String,
    /// The fields that were wrong.
    pub fields: Vec<Field>,
    /// What may not be told, for the log.
    #[source]
    pub private: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure with its public text.
    pub fn new(kind: Kind, public: impl Into<String>) -> Self {
        Self {
            kind,
            public: public.into(),
            fields: Vec::new(),
            private: None,
        }
    }

    /// Something that does not exist, or not for this one.
    #[must_use]
    pub fn not_found(noun: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no such {noun}."))
    }

    /// One field that says what cannot be.
    pub fn invalid(pointer: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::of_fields(vec![Field {
            pointer: pointer.into(),
            rule: rule.into(),
        }])
    }

    /// Fields that say what cannot be. The text names the first, for those who see no more than a line.
    #[must_use]
    pub fn of_fields(fields: Vec<Field>) -> Self {
        let first = fields.first().map_or(String::new(), |field| {
            let place = match field.pointer.as_str() {
                "" => "the body",
                pointer => pointer,
            };
            format!("{place}: {}", field.rule.trim_end_matches('.'))
        });
        let public = match fields.len() {
            0 => "The request says what cannot be.".to_owned(),
            1 => format!("The request says what cannot be in {first}."),
            count => {
                format!("The request says what cannot be in {count} fields, first in {first}.")
            }
        };
        Self {
            fields,
            ..Self::new(Kind::Invalid, public)
        }
    }

    /// Our own fault, with the reason for the log.
    pub fn internal(
        what: &'static str,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            private: Some(format!("{what}: {}", why.into()).into()),
            ..Self::new(Kind::Internal, "The server failed; its log says why.")
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::DatabaseErrorKind as Db;
        let kind = match &error {
            diesel::result::Error::DatabaseError(Db::UniqueViolation, _) => Kind::Conflict,
            diesel::result::Error::DatabaseError(Db::SerializationFailure, _) => Kind::Unavailable,
            _ => Kind::Internal,
        };
        let public = match kind {
            Kind::Conflict => "Something with the same key is already there.",
            Kind::Unavailable => "Too much at once; try again.",
            _ => "The server failed; its log says why.",
        };
        Self {
            private: Some(Box::new(error)),
            ..Self::new(kind, public)
        }
    }
}

/// What services and store return.
pub type Result<T> = std::result::Result<T, Error>;

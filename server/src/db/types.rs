//! How the house's types lie in rows: ids, words and checked texts as `Text`, instants as UTC
//! `Timestamp`, counts as `BigInt`. One generic reading each, the same on both databases; a value that
//! does not read is a damaged row, and an error.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamp};
use maildreieck_api_spec::{ids, text, vocabulary};

/// A `Text` column that reads as `T` through its JSON string form: ids, words, checked texts.
#[derive(Debug, FromSqlRow)]
pub struct Word<T>(pub T);

impl<T, DB> FromSql<Text, DB> for Word<T>
where
    DB: Backend,
    String: FromSql<Text, DB>,
    T: serde::de::DeserializeOwned,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let text = String::from_sql(bytes)?;
        Ok(Self(serde_json::from_value(serde_json::Value::String(
            text,
        ))?))
    }
}

/// The word of a value: its JSON string form, which is what a `Text` column keeps of it.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

/// A `Text` column that holds JSON.
#[derive(Debug, FromSqlRow)]
pub struct JsonText<T>(pub T);

impl<T, DB> FromSql<Text, DB> for JsonText<T>
where
    DB: Backend,
    String: FromSql<Text, DB>,
    T: serde::de::DeserializeOwned,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(&String::from_sql(bytes)?)?))
    }
}

/// A `Timestamp` column: an instant in UTC.
#[derive(Debug, FromSqlRow)]
pub struct Instant(pub DateTime<Utc>);

impl<DB> FromSql<Timestamp, DB> for Instant
where
    DB: Backend,
    NaiveDateTime: FromSql<Timestamp, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(NaiveDateTime::from_sql(bytes)?.and_utc()))
    }
}

/// A count that never is negative.
#[derive(Debug, FromSqlRow)]
pub struct Count(pub u64);

impl<DB> FromSql<BigInt, DB> for Count
where
    DB: Backend,
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(u64::try_from(i64::from_sql(bytes)?)?))
    }
}

/// An `Integer` column that reads as a small checked number.
#[derive(Debug, FromSqlRow)]
pub struct Small<T>(pub T);

impl<T, DB> FromSql<Integer, DB> for Small<T>
where
    DB: Backend,
    i32: FromSql<Integer, DB>,
    T: TryFrom<u32>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let number = u32::try_from(i32::from_sql(bytes)?)?;
        Ok(Self(T::try_from(number)?))
    }
}

/// A count as a `BigInt` column keeps it; what exceeds it is held at its end.
#[must_use]
pub fn big(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A nullable [`Word`].
#[derive(Debug, FromSqlRow)]
pub struct MaybeWord<T>(pub Option<T>);

impl<T, DB> FromSql<Nullable<Text>, DB> for MaybeWord<T>
where
    DB: Backend,
    String: FromSql<Text, DB>,
    T: serde::de::DeserializeOwned,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Word::from_sql(bytes).map(|word| Self(Some(word.0)))
    }

    fn from_nullable_sql(bytes: Option<DB::RawValue<'_>>) -> deserialize::Result<Self> {
        bytes.map_or(Ok(Self(None)), Self::from_sql)
    }
}

/// A nullable [`Instant`].
#[derive(Debug, FromSqlRow)]
pub struct MaybeInstant(pub Option<DateTime<Utc>>);

impl<DB> FromSql<Nullable<Timestamp>, DB> for MaybeInstant
where
    DB: Backend,
    NaiveDateTime: FromSql<Timestamp, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Instant::from_sql(bytes).map(|instant| Self(Some(instant.0)))
    }

    fn from_nullable_sql(bytes: Option<DB::RawValue<'_>>) -> deserialize::Result<Self> {
        bytes.map_or(Ok(Self(None)), Self::from_sql)
    }
}

/// A nullable [`Small`].
#[derive(Debug, FromSqlRow)]
pub struct MaybeSmall<T>(pub Option<T>);

impl<T, DB> FromSql<Nullable<Integer>, DB> for MaybeSmall<T>
where
    DB: Backend,
    i32: FromSql<Integer, DB>,
    T: TryFrom<u32>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Small::from_sql(bytes).map(|small| Self(Some(small.0)))
    }

    fn from_nullable_sql(bytes: Option<DB::RawValue<'_>>) -> deserialize::Result<Self> {
        bytes.map_or(Ok(Self(None)), Self::from_sql)
    }
}

macro_rules! unwraps {
    ($($wrapper:ty => $inner:ty),+ $(,)?) => {$(
        impl From<$wrapper> for $inner {
            fn from(wrapped: $wrapper) -> Self {
                wrapped.0
            }
        }
    )+};
}

unwraps! {
    Word<ids::TenantId> => ids::TenantId,
    Word<ids::SiteId> => ids::SiteId,
    Word<ids::AccountId> => ids::AccountId,
    Word<ids::TriangleId> => ids::TriangleId,
    Word<ids::AgentId> => ids::AgentId,
    Word<ids::UserId> => ids::UserId,
    Word<ids::ScheduleId> => ids::ScheduleId,
    Word<ids::RunId> => ids::RunId,
    Word<ids::EnrolmentCodeId> => ids::EnrolmentCodeId,
    Word<ids::DailyReportId> => ids::DailyReportId,
    Word<text::Name> => text::Name,
    Word<text::EmailAddress> => text::EmailAddress,
    Word<text::HostName> => text::HostName,
    Word<text::UserName> => text::UserName,
    Word<text::ZoneName> => text::ZoneName,
    Word<text::StandbyPrefix> => text::StandbyPrefix,
    Word<vocabulary::MemberRole> => vocabulary::MemberRole,
    Word<vocabulary::Language> => vocabulary::Language,
    Word<vocabulary::Tls> => vocabulary::Tls,
    Word<vocabulary::DayVerdict> => vocabulary::DayVerdict,
    Word<vocabulary::DeliveryState> => vocabulary::DeliveryState,
    MaybeWord<ids::AgentId> => Option<ids::AgentId>,
    MaybeWord<ids::RunId> => Option<ids::RunId>,
    MaybeWord<vocabulary::Verdict> => Option<vocabulary::Verdict>,
    JsonText<Vec<text::EmailAddress>> => Vec<text::EmailAddress>,
    JsonText<Vec<text::FolderName>> => Vec<text::FolderName>,
    Instant => DateTime<Utc>,
    MaybeInstant => Option<DateTime<Utc>>,
    Count => u64,
    Small<text::Port> => text::Port,
    Small<text::GraceMinutes> => text::GraceMinutes,
    MaybeSmall<text::GraceMinutes> => Option<text::GraceMinutes>,
}

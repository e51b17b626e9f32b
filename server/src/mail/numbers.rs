//! Numbers, sizes and times as the two languages write them.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use maildreieck_api_spec::vocabulary::Language;

/// A whole number with its thousands grouped.
pub fn count(language: Language, number: u64) -> String {
    let mark = match language {
        Language::De => '.',
        Language::En => ',',
    };
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(mark);
        }
        out.push(digit);
    }
    out
}

/// A size in the largest decimal unit that leaves a whole number, with one place.
pub fn size(language: Language, bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    let mark = match language {
        Language::De => ',',
        Language::En => '.',
    };
    let whole = count(language, u64::try_from(tenths / 10).unwrap_or(u64::MAX));
    format!("{whole}{mark}{} {name}", tenths % 10)
}

/// A day.
pub fn day(language: Language, day: NaiveDate) -> String {
    match language {
        Language::De => day.format("%d.%m.%Y").to_string(),
        Language::En => day.format("%-d %B %Y").to_string(),
    }
}

/// The time of day in a zone.
pub fn time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%H:%M").to_string()
}

/// Day and time in a zone.
pub fn day_and_time(language: Language, at: DateTime<Utc>, zone: Tz) -> String {
    let local = at.with_timezone(&zone);
    format!(
        "{}, {}",
        day(language, local.date_naive()),
        local.format("%H:%M")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use Language::{De, En};

    #[test]
    fn numbers_read_as_the_languages_write_them() {
        assert_eq!(count(De, 0), "0");
        assert_eq!(count(De, 999), "999");
        assert_eq!(count(De, 1_234_567), "1.234.567");
        assert_eq!(count(En, 50_000), "50,000");
        assert_eq!(size(En, 999), "999 B");
        assert_eq!(size(De, 1_250_000), "1,3 MB");
        assert_eq!(size(En, 976_000_000), "976.0 MB");
        assert_eq!(size(De, u64::MAX), "18.446.744.073,7 GB");
    }
}

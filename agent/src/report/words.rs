//! The words of what a person reads, in German or English; numbers and times as the language writes them.

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{LanguageIdentifier, Loader, langid};
use maildreieck_api_spec::vocabulary::{Corner, Language};

fluent_templates::static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

const GERMAN: LanguageIdentifier = langid!("de");
const ENGLISH: LanguageIdentifier = langid!("en");

/// The language that was asked for, else that of the environment, else English.
pub(super) fn chosen(
    asked: Option<Language>,
    variable: impl Fn(&str) -> Option<String>,
) -> Language {
    let locale = || {
        let mut set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter();
        set.find_map(|name| variable(name).filter(|value| !value.is_empty()))
    };
    asked.unwrap_or_else(|| {
        let locale = locale().unwrap_or_default().to_ascii_lowercase();
        let end = |c: char| !c.is_ascii_alphabetic();
        match locale.split(end).next() {
            Some("de" | "german") => Language::De,
            _ => Language::En,
        }
    })
}

/// Texts of one language.
#[derive(Clone, Copy)]
pub(super) struct Words(pub Language);

impl Words {
    pub(super) fn say(self, key: &str, values: &[(&'static str, &str)]) -> String {
        let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> = values
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), FluentValue::from(*value)))
            .collect();
        self.look_up(key, &arguments)
    }

    /// With a number that decides between one and many, besides its written form.
    pub(super) fn say_of(self, key: &str, number: u64, values: &[(&'static str, &str)]) -> String {
        let count = self.count(number);
        let mut arguments: HashMap<Cow<'static, str>, FluentValue<'_>> = values
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), FluentValue::from(*value)))
            .collect();
        arguments.insert(Cow::Borrowed("number"), FluentValue::from(number));
        arguments.insert(Cow::Borrowed("count"), FluentValue::from(count));
        self.look_up(key, &arguments)
    }

    fn look_up(self, key: &str, arguments: &HashMap<Cow<'static, str>, FluentValue<'_>>) -> String {
        let language = match self.0 {
            Language::De => &GERMAN,
            Language::En => &ENGLISH,
        };
        LOCALES.lookup_with_args(language, key, arguments)
    }

    pub(super) fn corner(self, corner: Corner) -> String {
        self.say(&format!("corner-{corner}"), &[])
    }

    pub(super) fn class(self, class: &str) -> String {
        self.say(&format!("class-{class}"), &[])
    }

    /// A whole number with its thousands grouped.
    pub(super) fn count(self, number: u64) -> String {
        let mark = match self.0 {
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

    /// An instant to the minute.
    pub(super) fn instant(self, at: DateTime<Utc>) -> String {
        let form = match self.0 {
            Language::De => "%d.%m.%Y %H:%M UTC",
            Language::En => "%Y-%m-%d %H:%M UTC",
        };
        at.format(form).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_asked_for_or_the_environments() {
        let check = |asked, set: &[(&str, &str)], expected| {
            let variable = |name: &str| {
                let found = set.iter().find(|(set, _)| *set == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(chosen(asked, variable), expected, "{set:?}");
        };
        use Language::{De, En};
        check(None, &[], En);
        check(None, &[("LANG", "de_DE.UTF-8")], De);
        check(None, &[("LANG", "C.UTF-8")], En);
        check(None, &[("LANG", "den_CA")], En);
        check(None, &[("LANG", "de_DE"), ("LC_ALL", "en_GB")], En);
        check(None, &[("LANG", "en_GB"), ("LC_MESSAGES", "de")], De);
        check(None, &[("LANG", "de_DE"), ("LC_ALL", "")], De);
        check(Some(En), &[("LANG", "de_DE")], En);
        check(Some(De), &[], De);
    }

    #[test]
    fn both_catalogues_say_the_same_keys() {
        let keys = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with(' '));
            let keys = lines.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()));
            keys.collect()
        };
        let (de, en) = (
            include_str!("../../locales/de/terminal.ftl"),
            include_str!("../../locales/en/terminal.ftl"),
        );
        assert_eq!(keys(de), keys(en));
        let variables = |text: &str| -> Vec<Vec<String>> {
            let lines = text.lines();
            let of = |line: &str| {
                let mut names: Vec<String> = line
                    .split("{ $")
                    .skip(1)
                    .filter_map(|rest| Some(rest.split_once(' ')?.0.to_owned()))
                    .collect();
                names.sort();
                names
            };
            lines.map(of).collect()
        };
        assert_eq!(variables(de), variables(en));
    }

    #[test]
    fn every_class_and_corner_has_a_word() {
        let corners = ["primary", "standby", "store"].map(|corner| format!("corner-{corner}"));
        let vocabulary = include_str!("../../../api-spec/src/vocabulary.rs");
        let names = vocabulary.lines().filter_map(|line| {
            let (variant, name) = line.trim().strip_suffix("\",")?.split_once(" => \"")?;
            variant.starts_with("Self::").then_some(name)
        });
        let en = include_str!("../../locales/en/terminal.ftl");
        let classes = en
            .lines()
            .filter_map(|line| Some(line.strip_prefix("class-")?.split_once(' ')?.0));
        let known: Vec<&str> = names.collect();
        let classes: Vec<&str> = classes.collect();
        assert_eq!(classes.len(), 20);
        assert!(classes.iter().all(|class| known.contains(class)));
        for key in corners
            .into_iter()
            .chain(classes.iter().map(|class| format!("class-{class}")))
        {
            for language in [Language::De, Language::En] {
                let text = Words(language).say(&key, &[]);
                assert!(!text.contains("Unknown"), "{text}");
            }
        }
    }
}

//! The daily report in words: German or English, as plain text and as HTML that both stand alone (tables
//! and inline styles, no script, no picture, nothing fetched).

use std::borrow::Cow;
use std::collections::HashMap;

use askama::Template;
use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{LanguageIdentifier, Loader, langid};
use maildreieck_api_spec::certificate::CornerFigures;
use maildreieck_api_spec::vocabulary::{Corner, DayVerdict, Language};

use super::numbers;
use crate::domain::day::{self, TxResult};
use crate::domain::report::{Day, Proof, Triangle, Tx, Words};

fluent_templates::static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

const GERMAN: LanguageIdentifier = langid!("de");
const ENGLISH: LanguageIdentifier = langid!("en");

/// Texts of one language.
#[derive(Clone, Copy)]
struct Texts {
    language: Language,
}

impl Texts {
    fn say(self, key: &str, values: &[(&'static str, &str)]) -> String {
        let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> = values
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), FluentValue::from(*value)))
            .collect();
        self.look_up(key, &arguments)
    }

    /// With a number that decides between one and many, besides its written form.
    fn say_of(self, key: &str, count: usize) -> String {
        let number = u64::try_from(count).unwrap_or(u64::MAX);
        let arguments = HashMap::from([
            (Cow::Borrowed("number"), FluentValue::from(number)),
            (
                Cow::Borrowed("count"),
                FluentValue::from(numbers::count(self.language, number)),
            ),
        ]);
        self.look_up(key, &arguments)
    }

    fn look_up(self, key: &str, arguments: &HashMap<Cow<'static, str>, FluentValue<'_>>) -> String {
        let language = match self.language {
            Language::De => &GERMAN,
            Language::En => &ENGLISH,
        };
        LOCALES.lookup_with_args(language, key, arguments)
    }
}

/// The colours of a verdict: background and ink, each pair readable in print too.
fn colours(verdict: DayVerdict) -> (&'static str, &'static str) {
    match verdict {
        DayVerdict::Balanced => ("#e3f4e6", "#14532d"),
        DayVerdict::NoTx => ("#eceff3", "#374151"),
        DayVerdict::Unproven => ("#fdf3d7", "#713f12"),
        DayVerdict::Unbalanced | DayVerdict::Missing => ("#fbe3e1", "#7f1d1d"),
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Html<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "report.txt", escape = "none")]
struct Text<'a> {
    view: &'a View,
}

/// The report as its layouts take it: every value a finished text.
struct View {
    language: &'static str,
    title: String,
    subject: String,
    verdict: String,
    advice: String,
    background: &'static str,
    ink: &'static str,
    triangles: Vec<TriangleView>,
    corrections_title: String,
    corrections: Vec<String>,
    footer: String,
}

struct TriangleView {
    name: String,
    none: String,
    tx: Vec<TxView>,
}

struct TxView {
    heading: String,
    verdict: String,
    background: &'static str,
    ink: &'static str,
    reason: String,
    corners: Vec<CornerView>,
    head: [String; 3],
    lists: Vec<ListView>,
    notes: Vec<String>,
}

struct CornerView {
    name: String,
    messages: String,
    counted: String,
    size: String,
}

struct ListView {
    title: String,
    rows: Vec<RowView>,
}

struct RowView {
    what: String,
    place: String,
    count: String,
    judgement: String,
}

/// Says a day in words.
///
/// # Errors
/// A layout's; none is known.
pub fn say(day: &Day) -> Result<Words, Box<dyn std::error::Error + Send + Sync>> {
    let view = view(day);
    Ok(Words {
        text: Text { view: &view }.render()?,
        html: Html { view: &view }.render()?,
        subject: view.subject,
    })
}

fn verdict_word(verdict: DayVerdict) -> &'static str {
    match verdict {
        DayVerdict::Missing => "missing",
        DayVerdict::Unbalanced => "unbalanced",
        DayVerdict::Unproven => "unproven",
        DayVerdict::Balanced => "balanced",
        DayVerdict::NoTx => "no_tx",
    }
}

fn view(day: &Day) -> View {
    let texts = Texts {
        language: day.language,
    };
    let date = numbers::day(day.language, day.day);
    let word = verdict_word(day.verdict);
    let (background, ink) = colours(day.verdict);
    View {
        language: match day.language {
            Language::De => "de",
            Language::En => "en",
        },
        title: texts.say("title", &[("tenant", &day.tenant), ("day", &date)]),
        subject: texts.say(
            &format!("subject-{word}"),
            &[("tenant", &day.tenant), ("day", &date)],
        ),
        verdict: texts.say(&format!("verdict-{word}"), &[]),
        advice: texts.say(&format!("advice-{word}"), &[]),
        background,
        ink,
        triangles: day
            .triangles
            .iter()
            .map(|triangle| triangle_view(texts, day, triangle))
            .collect(),
        corrections_title: texts.say("corrections", &[]),
        corrections: day
            .corrections
            .iter()
            .map(|correction| {
                let at = numbers::day_and_time(day.language, correction.due_at, day.zone);
                let said = correction.said.as_deref().unwrap_or("nothing");
                texts.say(
                    "correction",
                    &[
                        ("triangle", &correction.triangle),
                        ("at", &at),
                        ("said", &texts.say(&format!("result-{said}"), &[])),
                        (
                            "is",
                            &texts.say(&format!("result-{}", correction.is.as_str()), &[]),
                        ),
                    ],
                )
            })
            .collect(),
        footer: texts.say("footer", &[("zone", day.zone.name())]),
    }
}

fn triangle_view(texts: Texts, day: &Day, triangle: &Triangle) -> TriangleView {
    TriangleView {
        name: triangle.name.clone(),
        none: texts.say("no-tx-today", &[]),
        tx: triangle
            .tx
            .iter()
            .map(|tx| tx_view(texts, day, triangle, tx))
            .collect(),
    }
}

fn tx_view(texts: Texts, day: &Day, triangle: &Triangle, tx: &Tx) -> TxView {
    let at = numbers::time(tx.due_at, day.zone);
    let (background, ink) = colours(tx.result.verdict());
    let reason = match (tx.result, &tx.failure) {
        (TxResult::Missing, _) => texts.say("reason-missing", &[]),
        (_, Some((code, corner))) => {
            let reason = texts.say(&format!("failure-{code}"), &[]);
            match corner {
                Some(corner) => texts.say(
                    "failure-at",
                    &[
                        ("reason", &reason),
                        ("corner", &corner_name(texts, *corner)),
                    ],
                ),
                None => reason,
            }
        }
        (TxResult::Proved(_), None) => String::new(),
        (TxResult::Failed, None) => texts.say("failure-internal", &[]),
    };
    let proof = tx.proof.as_ref();
    TxView {
        heading: texts.say("tx", &[("at", &at)]),
        verdict: texts.say(&format!("result-{}", tx.result.as_str()), &[]),
        background,
        ink,
        reason,
        corners: proof.map_or_else(Vec::new, |proof| corners(texts, triangle, proof)),
        head: ["corner", "messages", "size"].map(|key| texts.say(key, &[])),
        lists: proof
            .into_iter()
            .flat_map(|proof| [differences(texts, proof), repairs(texts, proof)])
            .flatten()
            .collect(),
        notes: proof.map_or_else(Vec::new, |proof| notes(texts, day, proof)),
    }
}

fn corner_name(texts: Texts, corner: Corner) -> String {
    texts.say(&format!("corner-{corner}"), &[])
}

fn corners(texts: Texts, triangle: &Triangle, proof: &Proof) -> Vec<CornerView> {
    let row = |corner, account: &str, figures: &CornerFigures| {
        let name = corner_name(texts, corner);
        let bytes = numbers::count(texts.language, figures.bytes);
        CornerView {
            name: if account.is_empty() {
                name
            } else {
                format!("{name} ({account})")
            },
            messages: numbers::count(texts.language, figures.messages),
            counted: texts.say_of(
                "counted",
                usize::try_from(figures.messages).unwrap_or(usize::MAX),
            ),
            size: texts.say(
                "bytes",
                &[
                    ("size", &numbers::size(texts.language, figures.bytes)),
                    ("bytes", &bytes),
                ],
            ),
        }
    };
    vec![
        row(Corner::Primary, &triangle.primary, &proof.corners.primary),
        row(Corner::Standby, &triangle.standby, &proof.corners.standby),
        row(Corner::Store, "", &proof.corners.store),
    ]
}

fn differences(texts: Texts, proof: &Proof) -> Option<ListView> {
    let rows: Vec<RowView> = proof
        .differences
        .iter()
        .map(|found| RowView {
            what: texts.say(&format!("class-{}", found.class), &[]),
            place: corner_name(texts, found.corner),
            count: numbers::count(texts.language, found.count),
            judgement: texts.say(
                if found.explained {
                    "explained"
                } else {
                    "unexplained"
                },
                &[],
            ),
        })
        .collect();
    (!rows.is_empty()).then(|| ListView {
        title: texts.say_of("differences", rows.len()),
        rows,
    })
}

fn repairs(texts: Texts, proof: &Proof) -> Option<ListView> {
    let rows: Vec<RowView> = proof
        .repairs
        .iter()
        .map(|(class, corner, count)| RowView {
            what: texts.say(&format!("class-{class}"), &[]),
            place: corner_name(texts, *corner),
            count: numbers::count(texts.language, *count),
            judgement: texts.say("repaired", &[]),
        })
        .collect();
    (!rows.is_empty()).then(|| ListView {
        title: texts.say("repairs", &[]),
        rows,
    })
}

fn notes(texts: Texts, day: &Day, proof: &Proof) -> Vec<String> {
    let mut notes = Vec::new();
    if proof.new_tombstones > 0 {
        let count = usize::try_from(proof.new_tombstones).unwrap_or(usize::MAX);
        notes.push(texts.say_of("tombstones", count));
    }
    if let Some(oldest) = proof.oldest_proof {
        let at = numbers::day(day.language, day::of(oldest, day.zone));
        notes.push(texts.say("oldest-proof", &[("day", &at)]));
    }
    if let Some(broken) = proof.chain.filter(|chain| chain.is_broken()) {
        notes.push(texts.say(&format!("chain-{}", broken.as_str()), &[]));
    }
    notes
}

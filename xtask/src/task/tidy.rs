//! `cargo xtask tidy`: the house rules that no lint can express. Who may import whom stands in [`RULES`].
//!
//! Works on the text of the sources: comments, strings and test modules are set aside, then every path that a file
//! names, `use` lists unfolded, is held against the rules for that file.

mod paths;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::root;

/// The workspace's text files by their path from the root, with `/`.
pub type Files = BTreeMap<String, String>;

/// Something that the house does not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The file, from the root.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Files below `within` (but `except`) name nothing below `never` (but `unless`).
struct Rule {
    within: &'static [&'static str],
    except: &'static [&'static str],
    never: &'static [&'static str],
    unless: &'static [&'static str],
    because: &'static str,
}

/// What everybody may use of the contract.
const COMMON: &[&str] = &[
    "maildreieck_api_spec::ids",
    "maildreieck_api_spec::certificate",
    "maildreieck_api_spec::text",
    "maildreieck_api_spec::vocabulary",
];

const RULES: &[Rule] = &[
    Rule {
        within: &["api-spec/src/"],
        except: &[],
        never: &["maildreieck_server", "maildreieck_agent", "xtask"],
        unless: &[],
        because: "the contract imports none of ours",
    },
    Rule {
        within: &["server/src/", "agent/src/"],
        except: &[],
        never: &["xtask"],
        unless: &[],
        because: "the laboratory is for tests",
    },
    Rule {
        within: &["server/src/"],
        except: &[],
        never: &["maildreieck_agent"],
        unless: &[],
        because: "server and agent meet in api-spec alone",
    },
    Rule {
        within: &["agent/src/"],
        except: &[],
        never: &["maildreieck_server"],
        unless: &[],
        because: "server and agent meet in api-spec alone",
    },
    Rule {
        within: &["xtask/src/"],
        except: &[],
        never: &[
            "maildreieck_server",
            "maildreieck_agent",
            "maildreieck_api_spec",
            "tokio",
            "diesel",
            "reqwest",
        ],
        unless: &[],
        because: "what judges the programs shares nothing with them, and is compiled before everything",
    },
    // Server: http → service → {store, domain}; store → db; jobs → service; domain → nothing.
    Rule {
        within: &["server/src/http/"],
        except: &[],
        never: &[
            "crate::store",
            "crate::db",
            "crate::jobs",
            "crate::mail",
            "diesel",
        ],
        unless: &[],
        because: "http calls services; it never sees SQL or the schema",
    },
    Rule {
        within: &["server/src/service/"],
        except: &[],
        never: &[
            "crate::http",
            "crate::jobs",
            "crate::problem",
            "crate::db::schema",
            "actix_web",
        ],
        unless: &["actix_web::web::block"],
        because: "services know nothing of HTTP, jobs or the schema; SQL is the store's",
    },
    Rule {
        within: &["server/src/store/"],
        except: &[],
        never: &[
            "crate::http",
            "crate::service",
            "crate::jobs",
            "crate::mail",
            "crate::problem",
            "actix_web",
        ],
        unless: &[],
        because: "the store knows the database and nothing above it",
    },
    Rule {
        within: &["server/src/store/"],
        except: &[],
        never: &["maildreieck_api_spec"],
        unless: COMMON,
        because: "a table row is not an API type: the store uses only ids, certificate, text and vocabulary of the contract",
    },
    Rule {
        within: &["server/src/db/"],
        except: &[],
        never: &[
            "crate::http",
            "crate::service",
            "crate::jobs",
            "crate::mail",
            "crate::store",
            "crate::problem",
            "actix_web",
        ],
        unless: &[],
        because: "the database layer imports nothing above it",
    },
    Rule {
        within: &["server/src/jobs/"],
        except: &[],
        never: &[
            "crate::http",
            "crate::db::schema",
            "crate::problem",
            "actix_web",
        ],
        unless: &["actix_web::web::block"],
        because: "jobs call services",
    },
    Rule {
        within: &["server/src/domain/"],
        except: &[],
        never: &["crate"],
        unless: &["crate::domain"],
        because: "the domain imports nothing of ours",
    },
    Rule {
        within: &["server/src/domain/"],
        except: &[],
        never: &["maildreieck_api_spec"],
        unless: COMMON,
        because: "the domain knows no request or response",
    },
    Rule {
        within: &["server/src/domain/"],
        except: &[],
        never: &["diesel", "actix_web", "tokio", "lettre"],
        unless: &[],
        because: "the domain is pure",
    },
    // Agent: cycle → {snapshot, plan, execute, report}; plan knows types only.
    Rule {
        within: &["agent/src/"],
        except: &["agent/src/imap/", "agent/src/imap.rs"],
        never: &["async_imap", "imap_proto"],
        unless: &[],
        because: "one wrapper owns async-imap: its own parsers take a refusal for an empty mailbox",
    },
    Rule {
        within: &["agent/src/"],
        except: &["agent/src/server_api/", "agent/src/http.rs"],
        never: &["reqwest"],
        unless: &[],
        because: "only server_api and http name the HTTP client",
    },
    Rule {
        within: &["agent/src/"],
        except: &["agent/src/server_api/", "agent/src/oauth"],
        never: &["crate::http"],
        unless: &[],
        because: "only server_api and oauth speak HTTP",
    },
    Rule {
        within: &["agent/src/plan/"],
        except: &[],
        never: &[
            "crate::store",
            "crate::ledger",
            "crate::imap",
            "crate::pop",
            "crate::snapshot",
            "crate::execute",
            "crate::cycle",
            "crate::report",
            "crate::server_api",
            "crate::config",
            "crate::clock",
            "diesel",
            "tokio",
            "futures",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::SystemTime",
            "std::time::Instant",
        ],
        unless: &[],
        because: "plans are pure: types in, a plan out, no clock and no I/O",
    },
    Rule {
        within: &["agent/src/plan/"],
        except: &[],
        never: &[
            "std::collections::HashMap",
            "std::collections::HashSet",
            "HashMap",
            "HashSet",
        ],
        unless: &[],
        because: "a plan has an order: use BTreeMap and BTreeSet",
    },
    Rule {
        within: &[
            "agent/src/snapshot",
            "agent/src/execute",
            "agent/src/report",
            "agent/src/ledger",
            "agent/src/store",
            "agent/src/imap",
            "agent/src/pop",
        ],
        except: &[],
        never: &["crate::cycle"],
        unless: &[],
        because: "the cycle calls the others, never the other way round",
    },
    Rule {
        within: &[
            "agent/src/store",
            "agent/src/ledger",
            "agent/src/imap",
            "agent/src/pop",
            "agent/src/oauth",
        ],
        except: &[],
        never: &[
            "crate::snapshot",
            "crate::execute",
            "crate::report",
            "crate::server_api",
        ],
        unless: &[],
        because: "store, ledger, imap, pop and oauth are the ground: they import nothing above them",
    },
    // Everywhere.
    Rule {
        within: &["api-spec/", "server/", "agent/", "xtask/"],
        except: &["server/src/clock.rs", "agent/src/clock.rs"],
        never: &[
            "chrono::Utc::now",
            "Utc::now",
            "chrono::Local",
            "Local::now",
        ],
        unless: &[],
        because: "time comes from clock.rs, so that tests can move it",
    },
];

/// Reads the workspace, prints the long files, and fails with every violation.
///
/// # Errors
/// If there is a violation, or the sources cannot be read.
pub fn tidy() -> Result<()> {
    let files = read(&root()?)?;
    for (lines, file) in long_files(&files).into_iter().take(10) {
        eprintln!("    {lines:5} lines: {file}");
    }
    let violations = check(&files);
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} house rules are broken", violations.len());
    }
    eprintln!("    {} files are tidy", files.len());
    Ok(())
}

/// The sources, manifests and migrations below `root`.
///
/// # Errors
/// If they cannot be read.
pub fn read(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    for room in ["api-spec", "server", "agent", "xtask", "migrations"] {
        let path = root.join(room);
        if path.exists() {
            collect(root, &path, &mut files)?;
        }
    }
    Ok(files)
}

fn collect(root: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            if path
                .file_name()
                .is_some_and(|name| name != "target" && name != "vendor")
            {
                collect(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| {
            ["rs", "toml", "sql"]
                .iter()
                .any(|wanted| extension == *wanted)
        }) {
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.insert(
                name,
                std::fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?,
            );
        }
    }
    Ok(())
}

/// Everything that is wrong, in order.
#[must_use]
pub fn check(files: &Files) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, text) in files {
        if file.ends_with(".rs") {
            check_source(file, text, &mut violations);
        } else if file.ends_with("Cargo.toml") {
            check_manifest(file, text, &mut violations);
        }
    }
    check_migrations(files, &mut violations);
    violations.sort();
    violations.dedup();
    violations
}

fn check_source(file: &str, text: &str, violations: &mut Vec<Violation>) {
    let mut add = |line, message: String| {
        violations.push(Violation {
            file: file.to_owned(),
            line,
            message,
        })
    };
    if !text.trim_start().starts_with("//!") {
        add(
            1,
            "a module opens with //!: what it owns, what it never does, why".to_owned(),
        );
    }
    let code = paths::strip(text);
    for (number, line) in code.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("#[allow(") || line.starts_with("#![allow(") {
            add(
                number + 1,
                "use #[expect(lint, reason = \"…\")], not allow".to_owned(),
            );
        }
    }
    let named = paths::named(file, &code);
    for rule in RULES {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| file.starts_with(prefix));
        if !starts(rule.within) || starts(rule.except) {
            continue;
        }
        for (line, path) in &named {
            let below = |names: &[&str]| names.iter().any(|name| is_below(path, name));
            if below(rule.never) && !below(rule.unless) {
                add(
                    *line,
                    format!("`{path}` does not belong here: {}", rule.because),
                );
            }
        }
    }
}

/// Whether `path` is `name` or lies below it. A bare name (`schema`, `HashMap`) is also met in the middle.
fn is_below(path: &str, name: &str) -> bool {
    let under = |path: &str| {
        path == name
            || path
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with("::"))
    };
    if under(path) {
        return true;
    }
    matches!(name, "schema" | "Utc::now" | "Local::now")
        && path
            .match_indices("::")
            .any(|(at, _)| path.get(at + 2..).is_some_and(under))
}

/// Versions stand in the workspace's manifest, and so do the lints.
fn check_manifest(file: &str, text: &str, violations: &mut Vec<Violation>) {
    let mut add = |line, message: String| {
        violations.push(Violation {
            file: file.to_owned(),
            line,
            message,
        })
    };
    let mut section = String::new();
    let mut lints = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut section);
            continue;
        }
        if section == "lints" && line.replace(' ', "") == "workspace=true" {
            lints = true;
        }
        if section.ends_with("dependencies")
            && line.contains('=')
            && !line.starts_with('#')
            && !line.replace(' ', "").contains("workspace=true")
        {
            add(
                number + 1,
                "versions stand once, in [workspace.dependencies]: name.workspace = true"
                    .to_owned(),
            );
        }
    }
    if !lints {
        add(
            0,
            "the crate does not take the workspace's lints: [lints] workspace = true".to_owned(),
        );
    }
}

/// A migration exists for both databases, under one name.
fn check_migrations(files: &Files, violations: &mut Vec<Violation>) {
    let sides = ["migrations/server/sqlite/", "migrations/server/postgres/"];
    for (here, there) in [(0, 1), (1, 0)] {
        let (Some(here), Some(there)) = (sides.get(here), sides.get(there)) else {
            continue;
        };
        for file in files.keys() {
            if let Some(name) = file.strip_prefix(here)
                && !files.contains_key(&format!("{there}{name}"))
            {
                violations.push(Violation {
                    file: file.clone(),
                    line: 0,
                    message: format!("there is no {there}{name} beside it"),
                });
            }
        }
    }
}

/// Sources of more than 400 lines, the longest first.
fn long_files(files: &Files) -> Vec<(usize, &str)> {
    let mut long: Vec<(usize, &str)> = files
        .iter()
        .filter(|(file, _)| file.ends_with(".rs"))
        .map(|(file, text)| (text.lines().count(), file.as_str()))
        .filter(|(lines, _)| *lines > 400)
        .collect();
    long.sort_by(|one, other| other.cmp(one));
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        let files = Files::from([(file.to_owned(), text.to_owned())]);
        check(&files)
            .into_iter()
            .map(|violation| violation.to_string())
            .collect()
    }

    fn breaks(file: &str, line: &str, said: &str) {
        let violations = found(file, &format!("//! A module.\n\n{line}\n"));
        assert!(
            violations.iter().any(|violation| violation.contains(said)),
            "{file}: {line}: {violations:?}"
        );
    }

    fn keeps(file: &str, line: &str) {
        assert_eq!(
            found(file, &format!("//! A module.\n\n{line}\n")),
            Vec::<String>::new(),
            "{file}: {line}"
        );
    }

    #[test]
    fn every_rule_can_be_broken() {
        for rule in RULES {
            for (within, never) in rule
                .within
                .iter()
                .flat_map(|within| rule.never.iter().map(move |never| (within, never)))
            {
                let file = if within.ends_with('/') {
                    format!("{within}x.rs")
                } else {
                    format!("{within}/x.rs")
                };
                let line = if *never == "crate" {
                    "use crate::elsewhere;".to_owned()
                } else {
                    format!("use {never}::Thing;")
                };
                breaks(&file, &line, rule.because);
            }
        }
    }

    #[test]
    fn paths_are_seen_through() {
        breaks(
            "server/src/http/runs.rs",
            "use crate::{context::Ctx, db::{schema::runs, Pool}};",
            "never sees SQL",
        );
        breaks(
            "server/src/http/runs.rs",
            "fn f() { super::super::store::runs::get() }",
            "never sees SQL",
        );
        breaks(
            "agent/src/plan/mirror.rs",
            "use super::super::imap::Uid;",
            "plans are pure",
        );
        breaks(
            "agent/src/plan/mirror.rs",
            "use std::{collections::{BTreeMap, HashMap}, fmt};",
            "BTreeMap",
        );
        breaks(
            "agent/src/cycle.rs",
            "fn f() { let x = ::reqwest::get(); }",
            "server_api",
        );
        breaks(
            "server/src/service/x.rs",
            "let now = chrono::Utc::now();",
            "clock.rs",
        );
        breaks(
            "server/src/store/runs.rs",
            "use maildreieck_api_spec::runs::RunReport;",
            "not an API type",
        );
    }

    #[test]
    fn what_is_allowed_passes() {
        keeps(
            "server/src/http/runs.rs",
            "use crate::service::runs; // not crate::store\nconst A: &str = \"crate::store\";",
        );
        keeps(
            "server/src/store/runs.rs",
            "use maildreieck_api_spec::ids::RunId;\nuse crate::db::schema::runs;",
        );
        keeps("server/src/service/runs.rs", "use actix_web::web::block;");
        keeps(
            "server/src/domain/x.rs",
            "use crate::domain::y;\nuse super::z;",
        );
        keeps("server/src/clock.rs", "let now = chrono::Utc::now();");
        keeps("agent/src/imap/session.rs", "use async_imap::Session;");
        keeps(
            "agent/src/plan/x.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::store::X;\n    fn f() { {} }\n}",
        );
    }

    #[test]
    fn modules_speak_for_themselves_and_lints_are_expected() {
        assert!(found("agent/src/x.rs", "use std::fmt;\n")[0].contains("opens with //!"));
        breaks(
            "agent/src/x.rs",
            "#[allow(dead_code)]\nfn f() {}",
            "not allow",
        );
    }

    #[test]
    fn manifests_take_versions_and_lints_from_the_workspace() {
        assert!(
            found(
                "agent/Cargo.toml",
                "[dependencies]\nserde = \"1\"\n\n[lints]\nworkspace = true\n"
            )[0]
            .contains("versions stand once")
        );
        assert!(
            found(
                "agent/Cargo.toml",
                "[dependencies]\nserde.workspace = true\n"
            )[0]
            .contains("lints")
        );
        let good = "[dependencies]\nserde.workspace = true\nx = { workspace = true, features = [\"y\"] }\n\n[lints]\nworkspace = true\n";
        assert_eq!(found("agent/Cargo.toml", good), Vec::<String>::new());
    }

    #[test]
    fn migrations_come_in_pairs() {
        assert!(
            found("migrations/server/sqlite/1_first/up.sql", "")[0]
                .contains("postgres/1_first/up.sql")
        );
        assert!(
            found("migrations/server/postgres/1_first/up.sql", "")[0]
                .contains("sqlite/1_first/up.sql")
        );
    }
}

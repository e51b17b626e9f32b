//! What the machine must have: Debian packages, and cargo-nextest.
//!
//! As root the missing packages are installed, without starting the services that some of them bring; otherwise the one
//! line to run is printed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{cargo, run, say};
use crate::lab::daemon::is_root;

/// A Debian package and a file that shows it is there.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    package: &'static str,
    proofs: &'static [&'static str],
}

const fn need(package: &'static str, proofs: &'static [&'static str]) -> Need {
    Need { package, proofs }
}

/// What compiling needs.
pub const BUILD: &[Need] = &[
    need("gcc", &["/usr/bin/cc", "/usr/bin/gcc"]),
    need("libc6-dev", &["/usr/include/stdio.h"]),
    need("pkg-config", &["/usr/bin/pkg-config"]),
    need("libpq-dev", &["/usr/include/postgresql/libpq-fe.h"]),
];

/// The mail servers.
pub const MAIL: &[Need] = &[
    need("dovecot-imapd", &["/usr/lib/dovecot/imap"]),
    need("dovecot-lmtpd", &["/usr/lib/dovecot/lmtp"]),
    need("dovecot-pop3d", &["/usr/lib/dovecot/pop3"]),
    need("util-linux", &["/usr/bin/unshare"]),
];

/// The verifier in another language.
pub const PYTHON: &[Need] = &[
    need("python3", &["/usr/bin/python3"]),
    need(
        "python3-cryptography",
        &["/usr/lib/python3/dist-packages/cryptography/__init__.py"],
    ),
];

/// The SMTP server. It cannot live beside another one; then the laboratory's own relay takes its place.
pub const SMTP: &[Need] = &[need("opensmtpd", &["/usr/sbin/smtpd"])];

/// The database server.
pub const DATABASE: &[Need] = &[need(
    "postgresql",
    &[
        "/usr/lib/postgresql/13/bin/postgres",
        "/usr/lib/postgresql/14/bin/postgres",
        "/usr/lib/postgresql/15/bin/postgres",
        "/usr/lib/postgresql/16/bin/postgres",
        "/usr/lib/postgresql/17/bin/postgres",
        "/usr/lib/postgresql/18/bin/postgres",
    ],
)];

/// What the benchmarks compare with.
pub const RIVALS: &[Need] = &[
    need("interimap", &["/usr/bin/interimap"]),
    need("isync", &["/usr/bin/mbsync"]),
];

/// Sees to it that all `needs` are there.
///
/// # Errors
/// If something is missing and we may not, or cannot, install it.
pub fn packages(needs: &[&[Need]]) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!(
            "missing on this machine: {}\nrun this once, then again what you ran:\n\n    sudo apt-get install --no-install-recommends {}\n",
            missing.join(", "),
            missing.join(" ")
        );
    }
    say(&format!(
        "installing Debian packages: {}",
        missing.join(", ")
    ));
    let _quiet = HoldServices::begin()?;
    run(apt().arg("update"))?;
    run(apt()
        .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
        .args(&missing))
}

/// As [`packages`], for [`SMTP`]: where another mail server is at home, it is left in peace.
///
/// # Errors
/// As [`packages`], if no other mail server is there.
pub fn smtp() -> Result<()> {
    let others = ["/usr/sbin/postfix", "/usr/sbin/exim4", "/usr/sbin/sendmail"];
    if !missing(&[SMTP]).is_empty() && others.iter().any(|path| Path::new(path).exists()) {
        say(
            "another mail server is installed here: the laboratory's own relay stands in for OpenSMTPD",
        );
        return Ok(());
    }
    packages(&[SMTP])
}

/// What Courier watches folders with: without it each greeting begins with a complaint. Its place is built in, so it cannot
/// be unpacked elsewhere.
const WATCH: &[Need] = &[need(
    "gamin",
    &["/usr/libexec/gam_server", "/usr/lib/gamin/gam_server"],
)];

const COURIER: [&str; 3] = ["courier-base", "courier-authlib", "courier-imap"];

/// The libraries that packages need and this machine lacks.
fn libraries(packages: &[&str]) -> Result<Vec<String>> {
    let asked = Command::new("apt-cache")
        .arg("depends")
        .args(packages)
        .output()
        .context("running apt-cache")?;
    let asked = String::from_utf8_lossy(&asked.stdout);
    let mut libraries: Vec<String> = asked
        .lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches('|')
                .strip_prefix("Depends: lib")
        })
        .map(|name| format!("lib{name}"))
        .filter(|name| !is_installed(name))
        .collect();
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|said| said.stdout == b"installed")
}

/// Courier's programs, unpacked where the laboratory looks for them: its package and Dovecot's exclude each other.
///
/// # Errors
/// If they cannot be had or unpacked.
pub fn courier() -> Result<()> {
    let home = crate::lab::courier::home();
    let whole = home.join("whole");
    if whole.exists() {
        return Ok(());
    }
    let libraries = libraries(&COURIER)?;
    if libraries.iter().any(|name| name == "libgamin0") {
        packages(&[WATCH])?;
    }
    say("unpacking Courier (once)");
    let debs = home.join("packages");
    std::fs::create_dir_all(&debs).with_context(|| format!("making {}", debs.display()))?;
    run(apt()
        .arg("download")
        .args(COURIER)
        .args(libraries)
        .current_dir(&debs))?;
    for file in std::fs::read_dir(&debs)? {
        let file = file?.path();
        run(Command::new("dpkg-deb").arg("-x").arg(file).arg(&home))?;
    }
    std::fs::write(&whole, "").with_context(|| format!("writing {}", whole.display()))
}

fn missing(needs: &[&[Need]]) -> Vec<&'static str> {
    needs
        .iter()
        .flat_map(|group| group.iter())
        .filter(|need| !need.proofs.iter().any(|path| Path::new(path).exists()))
        .map(|need| need.package)
        .collect()
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet");
    command
}

/// While it lives, packages that are installed do not start their services (Debian's policy-rc.d).
struct HoldServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl HoldServices {
    fn begin() -> Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Self { ours: false });
        }
        std::fs::write(path, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("writing {POLICY}"))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for HoldServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

/// The version of cargo-nextest that is installed where there is none.
const NEXTEST: &str = "0.9.143";

/// Sees to it that `cargo nextest` is there.
///
/// # Errors
/// If it cannot be installed.
pub fn nextest() -> Result<()> {
    if has_subcommand("nextest") {
        return Ok(());
    }
    say("installing cargo-nextest (once)");
    run(cargo()
        .args([
            "install",
            "--locked",
            "--no-default-features",
            "--features",
            "default-no-update",
            "cargo-nextest",
        ])
        .args(["--version", NEXTEST])
        // Built quickly: it waits for tests most of its life.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off"))
}

/// Whether `cargo NAME` exists.
#[must_use]
pub fn has_subcommand(name: &str) -> bool {
    cargo()
        .args([name, "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

//! Passwords: argon2id, on a thread that may work long, a few at a time.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use secrecy::{ExposeSecret, SecretString};

use crate::app::App;
use crate::error::{Error, Result};

/// What an unknown person's password is held against, so that the answer takes as long.
static NOBODY: LazyLock<Option<String>> =
    LazyLock::new(|| hash_now("nobody has this password").ok());

fn hash_now(password: &str) -> Result<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash: PasswordHash| hash.to_string())
        .map_err(|error| Error::internal("hashing a password", error.to_string()))
}

/// The hash of a password, in the PHC form.
///
/// # Errors
/// Our own.
pub async fn hash(app: &App, password: SecretString) -> Result<String> {
    on_a_thread(app, move || hash_now(password.expose_secret())).await
}

/// Whether a password fits a hash; without one, it takes as long and does not.
///
/// # Errors
/// Our own.
pub async fn fits(app: &App, password: SecretString, hash: Option<String>) -> Result<bool> {
    on_a_thread(app, move || {
        let known = hash.is_some();
        let Some(hash) = hash.or_else(|| NOBODY.clone()) else {
            return Ok(false);
        };
        let fits = Argon2::default()
            .verify_password(password.expose_secret().as_bytes(), hash.as_str())
            .is_ok();
        Ok(fits && known)
    })
    .await
}

async fn on_a_thread<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let _turn = app
        .hashing
        .acquire()
        .await
        .map_err(|error| Error::internal("waiting for a turn to hash", error))?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("a hashing thread", error))?
}

//! What the program's commands do.

mod verify;

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use maildreieck_api_spec::ids::TenantId;
use maildreieck_api_spec::text::{EmailAddress, Name, Password};
use maildreieck_api_spec::vocabulary::MemberRole;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::app::{App, Settings};
use crate::clock::Clock;
use crate::config::cli::{AuditCommand, Cli, Command, Options, Role, UserAdd, UserCommand};
use crate::config::{Config, Tls, secret_file};
use crate::context::Ctx;
use crate::db::Db;
use crate::error::Kind;
use crate::keys::Keys;
use crate::mail::smtp::Sender;
use crate::service::transact::{Answer, Once};
use crate::{http, jobs, service};

/// Does what the command line says.
///
/// # Errors
/// With all that is needed to act on it.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Audit {
            command: AuditCommand::Verify(verify),
        } => return verify::verify(verify).await,
        Command::Serve(options) => serve(&options).await,
        Command::Migrate(options) => {
            let config = Config::load(&options)?;
            Db::open(&config.database, 2)?;
            println!("The tables are up to date.");
            Ok(())
        }
        Command::Openapi => {
            print!("{}", http::openapi::text()?);
            Ok(())
        }
        Command::User {
            command: UserCommand::Add(add),
        } => add_user(add).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

fn app(config: &Config, certificate_sha256: Option<String>) -> anyhow::Result<App> {
    let db = Db::open(&config.database, config.connections)?;
    let keys = Keys::open(&config.secrets_dir)?;
    if !db
        .is_served_with(keys.check())
        .context("comparing the server's key")?
    {
        bail!(
            "{} is another key than the one that this database has been served with: tokens, repeated requests and the \
             personal fields of the audit chain need that one. Instances on one database share the file; put back the \
             first one's",
            config.secrets_dir.join("server.key").display()
        );
    }
    Ok(App::new(
        db,
        Clock::System,
        keys,
        Settings {
            audience: config.public_url.clone(),
            certificate_sha256,
            mail_domain: config.mail_domain(),
        },
    ))
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let config = Config::load(options)?;
    let (tls, fingerprint) = match &config.tls {
        Some(tls) => {
            let (server, fingerprint) = listener_tls(tls).context("[tls]")?;
            (Some(server), Some(fingerprint))
        }
        None => (None, None),
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let app = app(&config, fingerprint)?;
    let sender = match &config.smtp {
        Some(smtp) => Some(Sender::new(smtp.clone()).context("[smtp]")?),
        None => {
            tracing::warn!("no [smtp]: reports are kept, and not sent");
            None
        }
    };
    let (server, addresses) = http::serve::bind(app.clone(), config.listen, tls)
        .with_context(|| format!("listening on {}", config.listen))?;
    let mut ticking = jobs::start(app, sender).await.context("starting to tick")?;
    if let (Some(path), Some(address)) = (&config.port_file, addresses.first()) {
        write_port(path, address.port())?;
    }
    for address in &addresses {
        println!("listening on {scheme}://{address}");
        tracing::info!(%address, database = config.database.kind(), "listening");
    }
    // Without a service manager there is nobody to tell.
    let _told = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    server.await.context("serving")?;
    ticking.shutdown().await.context("ceasing to tick")?;
    tracing::info!("stopped");
    Ok(())
}

/// Whole or not at all: whoever waits for the file must not read half a number.
fn write_port(path: &Path, port: u16) -> anyhow::Result<()> {
    let aside = path.with_extension("new");
    std::fs::write(&aside, format!("{port}\n"))
        .and_then(|()| std::fs::rename(&aside, path))
        .with_context(|| format!("writing the port to {}", path.display()))
}

fn listener_tls(tls: &Tls) -> anyhow::Result<(rustls::ServerConfig, String)> {
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading {}", tls.certificate.display()))?;
    let first = chain
        .first()
        .with_context(|| format!("{} holds no certificate", tls.certificate.display()))?;
    let fingerprint = hex::encode(Sha256::digest(first));
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .with_context(|| format!("reading {}", tls.key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key do not fit")?;
    Ok((server, fingerprint))
}

async fn add_user(add: UserAdd) -> anyhow::Result<()> {
    let email = EmailAddress::try_from(add.email.clone()).context("--email")?;
    let name = Name::try_from(add.name.clone()).context("--name")?;
    let tenant: Option<TenantId> = add
        .tenant
        .as_deref()
        .map(str::parse)
        .transpose()
        .context("--tenant: an id")?;
    if !add.provider_admin && add.role.is_none() {
        bail!("say what the person is: --provider-admin, or --role and --tenant");
    }
    let password = Password::try_from(password(&add)?).context("the password")?;
    let config = Config::load(&add.options)?;
    let app = app(&config, None)?;
    let ctx = Ctx::system("user add", app.clock.now());
    if let Some(tenant) = tenant {
        service::tenants::read(&app, &ctx.for_tenant(tenant))
            .await
            .context("--tenant")?;
    }
    let new = service::users::NewUser {
        email,
        name,
        password: SecretString::from(password.expose().to_owned()),
        provider_admin: add.provider_admin,
    };
    let answer = service::users::create(&app, &ctx, new, once()).await;
    let answer = match answer {
        Err(error) if error.kind == Kind::Conflict => bail!("{}", error.public),
        other => other
            .map_err(anyhow::Error::from)
            .context("adding the person")?,
    };
    let id: maildreieck_api_spec::ids::UserId = serde_json::from_value(answer.body)?;
    if let (Some(tenant), Some(role)) = (tenant, add.role) {
        let role = match role {
            Role::Technician => MemberRole::Technician,
            Role::Auditor => MemberRole::Auditor,
            Role::Owner => MemberRole::Owner,
        };
        service::members::put(&app, &ctx.for_tenant(tenant), id, role)
            .await
            .context("giving the person a role")?;
    }
    println!("{id}");
    Ok(())
}

/// The answer to the command line: the person's id.
fn once() -> Once<service::users::Person> {
    let answer = |person: &service::users::Person| Answer {
        status: 201,
        body: serde_json::Value::String(person.user.id.to_string()),
        location: None,
        etag: None,
    };
    Once {
        kept: None,
        answer,
        repeat: answer,
    }
}

fn password(add: &UserAdd) -> anyhow::Result<String> {
    if let Some(path) = &add.password_file {
        return secret_file(path, "--password-file");
    }
    let mut input = std::io::stdin();
    if input.is_terminal() {
        bail!(
            "the password comes by standard input or --password-file, so that no terminal shows it"
        );
    }
    let mut text = String::new();
    input
        .read_to_string(&mut text)
        .context("reading the password from standard input")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

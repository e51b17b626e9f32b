//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use maildreieck_api_spec::ids::TenantId;

use crate::domain::chain::Checkpoint;

/// The server of Maildreieck: tenants, schedules, runs and the owner's daily report.
#[derive(Debug, Parser)]
#[command(
    name = "maildreieck-server",
    version,
    about,
    after_help = "Example:\n  maildreieck-server user add --config server.toml --email admin@example.org --name Admin --provider-admin --password-stdin < password\n  maildreieck-server serve --config server.toml"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, follow schedules, send reports
    #[command(
        after_help = "Example:\n  maildreieck-server serve --config /etc/maildreieck/server.toml"
    )]
    Serve(Options),
    /// Bring the database's tables up to date, and end
    #[command(
        after_help = "Example:\n  maildreieck-server migrate --config /etc/maildreieck/server.toml"
    )]
    Migrate(Options),
    /// Print the API's description, OpenAPI 3.1 in JSON
    #[command(after_help = "Example:\n  maildreieck-server openapi > openapi.json")]
    Openapi,
    /// People
    User {
        /// What to do with them.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// The audit chains
    Audit {
        /// What to do with them.
        #[command(subcommand)]
        command: AuditCommand,
    },
}

/// What to do with the audit chains.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify them, in the database or in an export, and name the first record that is broken
    #[command(
        after_help = "Prints for each chain how many records it has and its last one as SEQ:HASH: kept somewhere else, that is the next time's \
                      --checkpoint.\n\nExit codes: 0 all is sound; 3 a chain is broken; 2 bad usage; 1 something cannot be read.\n\n\
                      Examples:\n  maildreieck-server audit verify --config server.toml\n  \
                      maildreieck-server audit verify --config server.toml --tenant provider --checkpoint 42:9f86d081…\n  \
                      maildreieck-server audit verify --export audit.ndjson --checkpoint 42:9f86d081…"
    )]
    Verify(AuditVerify),
}

/// Which chains to verify.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("one").args(["tenant", "export"]))]
pub struct AuditVerify {
    /// Where settings come from.
    #[command(flatten)]
    pub options: Options,
    /// One chain alone: the tenant's, by its id, or `provider`
    #[arg(long, value_name = "ID", value_parser = owner)]
    pub tenant: Option<Owner>,
    /// An export, in place of a database; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Demand that the chain has this record, so that what was cut off or written anew is found
    #[arg(long, value_name = "SEQ:HASH", requires = "one")]
    pub checkpoint: Option<Checkpoint>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Whose chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The provider's own.
    Provider,
    /// A tenant's.
    Tenant(TenantId),
}

fn owner(text: &str) -> Result<Owner, &'static str> {
    match text {
        "provider" => Ok(Owner::Provider),
        id => id
            .parse()
            .map(Owner::Tenant)
            .map_err(|_| "a tenant's id, or `provider`"),
    }
}

/// What to do with people.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a person: the first administrator, above all
    #[command(
        after_help = "Examples:\n  maildreieck-server user add --config server.toml --email admin@example.org --name Admin --provider-admin --password-stdin < password\n  maildreieck-server user add --config server.toml --email owner@example.org --name Owner --role owner --tenant 0192f0c1-2f4e-7b5a-9c1d-3e8f5a6b7c8d --password-file password"
    )]
    Add(UserAdd),
}

/// Where settings come from.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// The configuration, TOML
    #[arg(long, value_name = "FILE", env = "MAILDREIECK_SERVER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "MAILDREIECK_SERVER_LISTEN")]
    pub listen: Option<String>,
    /// How people and agents reach the server
    #[arg(long, value_name = "URL", env = "MAILDREIECK_SERVER_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// sqlite:// and a path, or postgres://user@host/database (give the password by file)
    #[arg(
        long,
        value_name = "URL",
        env = "MAILDREIECK_SERVER_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// Where database and secrets lie, if nothing else is said
    #[arg(long, value_name = "FOLDER", env = "MAILDREIECK_SERVER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Write the port that is really listened on into this file
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
}

/// A person to add.
#[derive(Debug, Args)]
pub struct UserAdd {
    /// Where settings come from.
    #[command(flatten)]
    pub options: Options,
    /// What the person logs in with
    #[arg(long, value_name = "ADDRESS")]
    pub email: String,
    /// The person's name
    #[arg(long)]
    pub name: String,
    /// The person administers the provider
    #[arg(long, conflicts_with_all = ["role", "tenant"])]
    pub provider_admin: bool,
    /// What the person is in the tenant
    #[arg(long, requires = "tenant")]
    pub role: Option<Role>,
    /// The tenant, by its id
    #[arg(long, requires = "role", value_name = "ID")]
    pub tenant: Option<String>,
    /// Read the password from standard input, which is also what happens without --password-file
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// Read the password from a file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// What a person may be in a tenant; `provider-admin` is the same as the flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Of the provider: sets up and looks after the tenant's triangles
    Technician,
    /// Reads, changes nothing
    Auditor,
    /// Of the business itself
    Owner,
}

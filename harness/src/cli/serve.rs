//! `mirrorlab serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CliError, Exit};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The flags of `mirrorlab serve`. A flag that is given wins over the configuration file.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Settings come from the TOML file, or from flags, which win over it. SIGTERM and
Ctrl-C end it after the calls under way.

Examples:
  mirrorlab keys new keys
  mirrorlab serve --application-id my-app --trust keys/trust \\
    --application-key keys/application-private-key.xml --mirrors mirrors \\
    --tls-cert keys/tls-certificate.pem --tls-key keys/tls-private-key.pem
  mirrorlab serve --config mirrorlab.toml --listen 0.0.0.0:8443
  mirrorlab serve --config mirrorlab.toml --plain-http    (behind a TLS proxy)")]
pub struct ServeArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen on this address; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The TLS certificate, PEM, with its chain
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        conflicts_with = "plain_http"
    )]
    pub tls_cert: Option<PathBuf>,
    /// The TLS certificate's private key, PEM
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        conflicts_with = "plain_http"
    )]
    pub tls_key: Option<PathBuf>,
    /// Speak HTTP without TLS, for behind a proxy that has it
    #[arg(long)]
    pub plain_http: bool,
    /// The application's id, as tokens name it
    #[arg(long, value_name = "ID")]
    pub application_id: Option<String>,
    /// The application's private key: RSA XML or PEM
    #[arg(long, value_name = "FILE")]
    pub application_key: Option<PathBuf>,
    /// Trust the SuperOffice certificates in this directory; it is read again when it changes
    #[arg(long, value_name = "DIR")]
    pub trust: Option<PathBuf>,
    /// Ask this OpenID discovery URL for certificates that are not known yet
    #[arg(long, value_name = "URL")]
    pub resolver: Option<String>,
    /// Keep the mirrors in this directory
    #[arg(long, value_name = "DIR")]
    pub mirrors: Option<PathBuf>,
    /// Name each tenant's mirror so; `{context}` is the tenant [default: Mirror_{context}]
    #[arg(long, value_name = "TEMPLATE")]
    pub name_template: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,mirrorlab_server=debug`
    #[arg(long, value_name = "FILTER", env = "MIRRORLAB_LOG", hide_env_values = true)]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: ServeArgs) -> Result<Exit, CliError> {
    let _ = args;
    Err(CliError::broken("`mirrorlab serve` is not in this build"))
}

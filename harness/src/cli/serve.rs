//! `mirrorlab serve`.
//!
//! - `log`: what is logged, and how it looks
//! - `mistakes`: what is wrong with the settings, named as the person gave them
//! - `sql_server`: the SQL Server of the mirrors, looked at once in the beginning

mod log;
mod mistakes;
mod sql_server;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_protocol::datetime::DateTime;
use mirrorlab_protocol::names::SERVICE_FILE;
use mirrorlab_server::config::{Config, Mirrors, Overrides};
use mirrorlab_server::http;
use tokio::net::TcpListener;

use super::{CliError, Exit, print, signals, values};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// As the settings file names it.
    fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// The flags of `mirrorlab serve`. A flag that is given wins over the configuration file.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Settings come from the TOML file, or from flags, which win over it; docs/serve.toml
shows them all. Limits are settings of the file alone: a call may have 256 MiB, all
calls under way 512 MiB together (bytes_in_flight_max); what does not fit waits a
minute and is then refused with HTTP 503. The endpoint's URL is printed once calls
are taken, the log goes to stderr. SIGTERM and Ctrl-C end it after the calls under
way, a second one at once.

Examples:
  mirrorlab keys new keys
  mirrorlab serve --application-id my-app --trust keys/trust \\
    --application-key keys/application-private-key.xml --mirrors mirrors \\
    --tls-cert keys/tls-certificate.pem --tls-key keys/tls-private-key.pem
  mirrorlab serve --config mirrorlab.toml --listen 0.0.0.0:8443
  mirrorlab serve --config mirrorlab.toml --plain-http    (behind a TLS proxy)
  mirrorlab serve --config mirrorlab.toml --sql-server env:MIRRORS_CONNECTION")]
pub struct ServeArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen on this address; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::address)]
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
    #[arg(long, value_name = "DIR", conflicts_with = "sql_server")]
    pub mirrors: Option<PathBuf>,
    /// Keep the mirrors in databases of a SQL Server, in place of --mirrors: env:NAME or @FILE, which hold
    /// mssql://user:password@host:port
    #[arg(long, value_name = "CONNECTION")]
    pub sql_server: Option<String>,
    /// Use databases that a person made on the SQL Server, and make none
    #[arg(long, conflicts_with = "mirrors")]
    pub existing_databases: bool,
    /// Name each tenant's mirror so; `{context}` is the tenant [default: Mirror_{context}]
    #[arg(long, value_name = "TEMPLATE")]
    pub name_template: Option<String>,
    /// Refuse a TableSchema that would drop more than half of ten or more tables
    #[arg(long)]
    pub drop_guard: bool,
    /// Refuse a token that was seen before
    #[arg(long)]
    pub refuse_replayed_nonces: bool,
    /// What is logged: off, error, warn, info, debug, trace, or a filter such as `info,mirrorlab_server=debug`;
    /// info unless said
    #[arg(long, value_name = "FILTER", env = "MIRRORLAB_LOG", hide_env_values = true)]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

impl ServeArgs {
    fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.map(|address| address.to_string()),
            tls_certificate: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            plain_http: self.plain_http,
            application_id: self.application_id.clone(),
            application_key: self.application_key.clone(),
            trusted_certificates: self.trust.clone(),
            resolver: self.resolver.clone(),
            mirrors: self.mirrors.clone(),
            sql_server: self.sql_server.clone(),
            existing_databases: self.existing_databases,
            name: self.name_template.clone(),
            drop_guard: self.drop_guard,
            refuse_replayed_nonces: self.refuse_replayed_nonces,
            log: self.log_format.map(|format| format.name().to_owned()),
        }
    }
}

/// Runs the command, until a signal ends it.
///
/// # Errors
/// [`CliError`].
pub fn run(args: ServeArgs) -> Result<Exit, CliError> {
    let filter = log::filter(args.log.as_deref()).map_err(CliError::usage)?;
    let log = log::start(filter, log::format(args.log_format, args.config.as_deref()))?;
    let config = Config::load(args.config.as_deref(), args.overrides())
        .map_err(|error| CliError::usage(mistakes::explain(&error, &args)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| CliError::broken(format!("cannot start the network runtime: {why}")))?;
    let ended = runtime.block_on(serve(config, &log));
    // After a second signal nobody waits for what still runs; SQLite forgets what it did not commit.
    runtime.shutdown_background();
    ended
}

async fn serve(config: Config, log: &log::Log) -> Result<Exit, CliError> {
    // Listening comes first: where the port is in use, no directory has been made.
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| cannot_listen(config.listen, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen(config.listen, &error))?;
    let signals = signals::Signals::new()
        .map_err(|why| CliError::broken(format!("cannot listen to signals: {why}")))?;
    let http = config.http.clone();
    let expired = config.tls_valid_until.filter(|until| *until < SystemClock.now());
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let grace = http.shutdown_grace;
    let mirrors = config.mirrors.clone();
    let service = config
        .into_service(Arc::new(SystemClock))
        .map_err(CliError::usage)?;
    log.release();
    if let Some(until) = expired {
        let until = DateTime::from_unix_seconds(until).unwrap_or(DateTime::MIN);
        let mut date = Vec::new();
        until.write_iso(&mut date, 0);
        let until = String::from_utf8_lossy(&date).into_owned();
        tracing::warn!(until, "the TLS certificate has expired: senders refuse it");
    }
    if let Mirrors::SqlServer { address, options } = mirrors {
        // Nobody waits for it: calls come when they come, and each says for itself what is wrong.
        tokio::task::spawn_blocking(move || sql_server::look_at(&address, &options));
    }
    let url = format!("{scheme}://{address}/{SERVICE_FILE}");
    tracing::info!(url, "listening");
    // Whoever started it may have closed its stdout since; that is no reason to end.
    if let Err(error) = print(&format!("listening on {url}\n")) {
        tracing::warn!(%error, "the URL could not be printed");
    }
    let (first, second) = signals.halves();
    let shutdown = async move {
        let signal = first.await;
        tracing::info!(
            signal,
            grace_seconds = grace.as_secs(),
            "ending after the calls under way; a second signal ends at once"
        );
    };
    tokio::select! {
        served = http::serve(listener, Arc::new(service), http, shutdown) => {
            served.map_err(|error| CliError::broken(format!("the listener failed: {error}")))?;
            tracing::info!("ended");
            Ok(Exit::Held)
        }
        signal = second => Err(CliError::broken(format!(
            "a second signal, {signal}: ended at once; nothing of the calls that were cut off is kept"
        ))),
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> CliError {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use by another program, or by another `mirrorlab serve`; --listen names another"
                .into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        io::ErrorKind::PermissionDenied => {
            format!("it is not allowed to you ({error}); ports below 1024 are often kept for the system")
        }
        _ => error.to_string(),
    };
    CliError::broken(format!("cannot listen on {address}: {why}"))
}

//! `mirrorlab record`.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mirrorlab_protocol::names::{Operation, SERVICE_FILE};
use mirrorlab_server::http::tls;
use mirrorlab_simulator::capture::form::{Call, Outcome};
use mirrorlab_simulator::capture::redact::Redaction;
use mirrorlab_simulator::endpoint::https::{
    CONNECT_TIMEOUT_DEFAULT, HttpsError, HttpsOptions, Trust, client, shown,
};
use tokio::net::TcpListener;

use super::{CliError, Exit, print, signals, values};
use crate::record::files::Files;
use crate::record::{Proxy, SHUTDOWN_GRACE};
use crate::report::failure::printable;

/// The flags of `mirrorlab record`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Stands between SuperOffice (or `mirrorlab simulate`) and an endpoint: passes every
call on as it is, and its answer back, and writes both into a file of its own in
--out. docs/recording.md shows such a file. `mirrorlab replay` sends them again, and
a TableSchema call is a schema for `simulate` and scenarios. The files hold tokens,
and customers' data: they are yours alone, unless --redact masks what they say.

SIGTERM and Ctrl-C end it after the calls under way, a second one at once.

Examples:
  mirrorlab record --upstream https://localhost:5001/MirroringClientService.svc --ca dev-ca.pem \\
    --listen 0.0.0.0:8443 --tls-cert tls-cert.pem --tls-key tls-key.pem --out calls
  mirrorlab record --plain-http --listen 127.0.0.1:8080 --out calls --redact all \\
    --upstream http://localhost:5000/MirroringClientService.svc    (behind a TLS proxy)

Exit code 0: ended by a signal. 4: a call could not be written down.")]
pub struct RecordArgs {
    /// Listen on this address; port 0 takes a free one and prints it
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        value_parser = values::address,
        default_value = "127.0.0.1:8443"
    )]
    pub listen: SocketAddr,
    /// The endpoint's URL: every call goes there, whatever path it came by
    #[arg(long, value_name = "URL")]
    pub upstream: String,
    /// Write the calls into this directory, which is made where it is missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Mask `tokens` (and ClientState), `cells` (and all other text but names, types and LSNs), or `all`, in the files
    #[arg(long, value_name = "WHAT")]
    pub redact: Option<Redaction>,
    /// This proxy's TLS certificate, PEM, with its chain
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        required_unless_present = "plain_http",
        conflicts_with = "plain_http"
    )]
    pub tls_cert: Option<PathBuf>,
    /// The TLS certificate's private key, PEM
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        required_unless_present = "plain_http",
        conflicts_with = "plain_http"
    )]
    pub tls_key: Option<PathBuf>,
    /// Speak HTTP without TLS to callers, for behind a proxy that has it
    #[arg(long)]
    pub plain_http: bool,
    /// Trust the endpoint's certificate by this authority, PEM, and by no other
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Do not check the endpoint's certificate at all
    #[arg(long)]
    pub insecure: bool,
    /// Wait so long for the endpoint's answer: 30s, 10min
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = values::duration)]
    pub timeout: Duration,
}

/// Runs the command, until a signal ends it.
///
/// # Errors
/// [`CliError`].
pub fn run(args: RecordArgs) -> Result<Exit, CliError> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            let read = |flag: &str, path: &PathBuf| {
                std::fs::read(path)
                    .map_err(|why| CliError::usage(format!("{flag} {}: {why}", path.display())))
            };
            let (certificate, key) = (read("--tls-cert", certificate)?, read("--tls-key", key)?);
            Some(tls::server_config(&certificate, &key).map_err(|error| {
                let flag = match error {
                    tls::TlsError::Key(_) => "--tls-key",
                    _ => "--tls-cert",
                };
                CliError::usage(format!("{flag}: {error}"))
            })?)
        }
        _ => None,
    };
    let upstream = upstream(
        &args.upstream,
        args.ca.as_ref(),
        args.insecure,
        "--upstream",
        args.timeout,
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| CliError::broken(format!("cannot start the network runtime: {why}")))?;
    let ended = runtime.block_on(record(&args, upstream, tls));
    runtime.shutdown_background();
    ended
}

/// How the endpoint behind a flag is called.
pub(super) fn upstream(
    url: &str,
    ca: Option<&PathBuf>,
    insecure: bool,
    flag: &str,
    timeout: Duration,
) -> Result<HttpsOptions, CliError> {
    let plain = url.trim_start().to_ascii_lowercase().starts_with("http:");
    let trust = match ca {
        Some(_) if plain => {
            return Err(CliError::usage(format!(
                "--ca: {flag} begins with http://, where there is no certificate to check; expected https://"
            )));
        }
        Some(file) => Trust::File(file.clone()),
        None if insecure => Trust::Anyone,
        None => Trust::System,
    };
    let options = HttpsOptions {
        trust,
        connect_timeout: CONNECT_TIMEOUT_DEFAULT.min(timeout),
        call_timeout: timeout,
        ..HttpsOptions::new(url)
    };
    if insecure {
        say(&format!(
            "warning: --insecure: the certificate of {flag} is not checked; whoever answers gets every row"
        ));
    } else if plain {
        say(&format!(
            "warning: {flag} begins with http://: tokens and rows travel unencrypted"
        ));
    }
    Ok(options)
}

async fn record(
    args: &RecordArgs,
    upstream: HttpsOptions,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<Exit, CliError> {
    // Listening comes first: where the port is in use, no directory has been made.
    let cannot_listen = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "the port is in use by another program; --listen names another one".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; 0.0.0.0 stands for all it has".to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "the system does not allow it; ports below 1024 are often kept back".to_owned()
            }
            _ => error.to_string(),
        };
        CliError::broken(format!("cannot listen on {}: {why}", args.listen))
    };
    let listener = TcpListener::bind(args.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let signals = signals::Signals::new()
        .map_err(|why| CliError::broken(format!("cannot listen to signals: {why}")))?;
    // Nothing is made for an upstream that can be none.
    let _ = client(&upstream).map_err(|error| {
        let flag = match error {
            HttpsError::Authorities { .. } => "--ca",
            _ => "--upstream",
        };
        CliError::usage(format!("{flag}: {error}"))
    })?;
    let redaction = args.redact.unwrap_or_default();
    let files = Files::new(&args.out, redaction, Box::new(tell)).map_err(|why| {
        let why = match args.out.exists() && !args.out.is_dir() {
            true => "it is a file".to_owned(),
            false => why.to_string(),
        };
        CliError::usage(format!(
            "--out {}: calls cannot be written there: {why}; expected a directory, or a path where one can be made",
            args.out.display()
        ))
    })?;
    let files = Arc::new(files);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let proxy = Proxy::new(upstream, tls, Arc::clone(&files)).map_err(CliError::usage)?;
    if let Some(warning) = warning(redaction) {
        say(&format!("warning: {}: {warning}", args.out.display()));
    }
    print(&format!(
        "listening on {scheme}://{address}/{SERVICE_FILE}\npassing calls on to {}, writing them into {}\n",
        // Its query may be a key, and stdout is often kept.
        shown(&args.upstream),
        args.out.display()
    ))?;
    let (first, second) = signals.halves();
    let shutdown = async move {
        let signal = first.await;
        say(&format!(
            "{signal}: ending after the calls under way, within {} s; a second signal ends at once",
            SHUTDOWN_GRACE.as_secs()
        ));
    };
    tokio::select! {
        () = Arc::new(proxy).serve(listener, shutdown) => {}
        signal = second => {
            return Err(CliError::broken(format!(
                "a second signal, {signal}: ended at once; calls under way are not written down"
            )));
        }
    }
    let count = files.written();
    let calls = if count == 1 { "call" } else { "calls" };
    print(&format!("{count} {calls} recorded in {}\n", args.out.display()))?;
    match files.failure() {
        Some(failure) => Err(CliError::broken(format!(
            "{failure}; the calls were passed on, but not all of them are written down"
        ))),
        None => Ok(Exit::Held),
    }
}

/// What whoever records should know of the files.
fn warning(redaction: Redaction) -> Option<&'static str> {
    match (redaction.tokens, redaction.cells) {
        (true, true) => None,
        (true, false) => Some("the files hold customers' data; keep them as safe as the database"),
        (false, true) => Some("the files hold signed tokens, each good for six minutes"),
        (false, false) => Some(
            "the files hold signed tokens and customers' data; keep them as safe as the database, or mask them with --redact",
        ),
    }
}

/// A line for each call, once it is written down.
fn tell(call: &Call) {
    let outcome = match &call.outcome {
        Outcome::Answered { status, .. } => format!("HTTP {status}"),
        Outcome::NoAnswer(why) => format!("no answer: {why}"),
    };
    let line = format!(
        "{:05} {} {} {outcome}, {} ms",
        call.number,
        call.tenant.as_deref().unwrap_or("(no tenant)"),
        call.operation.map_or("(unknown operation)", Operation::name),
        call.took_ms
    );
    // Whoever started it may have closed its stdout since; that is no reason to end.
    let _ = print(&format!("{}\n", printable(&line)));
}

fn say(text: &str) {
    // Where not even stderr takes it, there is nobody to hear.
    let _ = writeln!(io::stderr(), "{text}");
}

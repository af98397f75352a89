//! `mirrorlab replay`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mirrorlab_protocol::clock::SystemClock;
use mirrorlab_protocol::token::check_context;
use mirrorlab_simulator::endpoint::https::HttpsEndpoint;

use super::{CliError, Exit, record, tell, values};
use crate::conformance::keys::CallerKeys;
use crate::conformance::probe::reach;
use crate::conformance::wire::{Limits, Wire};
use crate::replay::load::load;
use crate::replay::{Ignored, Options, Replay, ReplayError, Signer};
use crate::report::failure::Failure;

/// What may differ between two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ignore {
    /// The texts of errors and faults.
    ErrorText,
    /// The LSNs that TableSchema answers.
    Lsn,
}

/// The flags of `mirrorlab replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Sends recorded calls to an endpoint, one after the other in their order, and says
where it answers otherwise than it did then: status, IsSuccessful, ErrorMessage,
faults, LSNs. Tokens are signed anew by --keys for the tenants of the recording, or
for others (--tenant), and Authenticate's answers must be signed for them.

A FILE is one that `mirrorlab record` wrote, a message that `mirrorlab run --keep`
left (its answer is found beside it), a request saved by hand, or a directory of
them. Answers agree only where both endpoints began in the same state: with empty
mirrors, for a recording from the first cycle on.

Examples:
  mirrorlab replay calls --endpoint https://localhost:8443/MirroringClientService.svc \\
    --keys keys --ca keys/tls-ca.pem
  mirrorlab replay calls --endpoint … --keys keys --tenant Cust24709=Cust10001 --ignore error-text
  mirrorlab replay calls/00007-Cust24709-RowData.call --endpoint … --as-recorded

Exit code 0: every call was answered as it was. 1: one was answered otherwise.
2: files or flags are wrong. 4: there is no endpoint.")]
pub struct ReplayArgs {
    /// Recorded calls: files, and directories of them
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The endpoint's URL
    #[arg(long, value_name = "URL")]
    pub endpoint: String,
    /// The directory with SuperOffice's key and the application's public key, as `keys new` makes it: signs tokens anew
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "as_recorded",
        conflicts_with = "as_recorded"
    )]
    pub keys: Option<PathBuf>,
    /// Send every byte as it was recorded, the old tokens too
    #[arg(long)]
    pub as_recorded: bool,
    /// The application's id, where it is not the one that the recorded tokens name
    #[arg(long, value_name = "ID", value_parser = values::application_id, conflicts_with = "as_recorded")]
    pub application_id: Option<String>,
    /// Send the calls of one tenant as another's; may be given several times
    #[arg(long = "tenant", value_name = "OLD=NEW", value_parser = rename, conflicts_with = "as_recorded")]
    pub tenants: Vec<(String, String)>,
    /// What may differ; may be given several times
    #[arg(long, value_name = "WHAT", value_enum)]
    pub ignore: Vec<Ignore>,
    /// Trust the endpoint's certificate by this authority, PEM, and by no other
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Do not check the endpoint's certificate at all
    #[arg(long)]
    pub insecure: bool,
    /// Wait so long for an answer: 30s, 5min
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = values::duration)]
    pub timeout: Duration,
    /// Show every call, not only those that are answered otherwise
    #[arg(long)]
    pub verbose: bool,
}

fn rename(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("`{text}` renames no tenant; expected OLD=NEW, as in Cust24709=Cust10001");
    let (old, new) = text.split_once('=').ok_or_else(wrong)?;
    for name in [old, new] {
        check_context(name).map_err(|_| wrong())?;
    }
    Ok((old.to_owned(), new.to_owned()))
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: ReplayArgs) -> Result<Exit, CliError> {
    let items = load(&args.files).map_err(CliError::usage)?;
    let signer = match &args.keys {
        Some(dir) => {
            let keys = CallerKeys::load(dir).map_err(|error| CliError::usage(format!("--keys: {error}")))?;
            Some(Signer {
                authority: keys.authority,
                application_key: keys.application,
                application_id: args.application_id.clone(),
                // Never the same: an endpoint may refuse a nonce that it saw before.
                seed: rand::random(),
            })
        }
        None => None,
    };
    let options = Options {
        signer,
        renamed: args.tenants.clone(),
        ignored: Ignored {
            error_text: args.ignore.contains(&Ignore::ErrorText),
            lsn: args.ignore.contains(&Ignore::Lsn),
        },
        command: command(),
    };
    let failed = |error: ReplayError| match error {
        ReplayError::Usage(text) => CliError::usage(text),
        ReplayError::NoEndpoint(text) => CliError::broken(text),
    };
    Replay::check(&items, &options).map_err(failed)?;
    let upstream = record::upstream(
        &args.endpoint,
        args.ca.as_ref(),
        args.insecure,
        "--endpoint",
        args.timeout,
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| CliError::broken(format!("cannot start the network runtime: {why}")))?;
    let limits = Limits {
        connect: upstream.connect_timeout,
        call: upstream.call_timeout,
    };
    let wire = Wire::new(&upstream.url, &upstream.trust, limits).map_err(CliError::usage)?;
    let endpoint = HttpsEndpoint::new(upstream, runtime.handle().clone()).map_err(CliError::usage)?;
    let endpoint = Arc::new(endpoint);
    let mut replay = Replay::new(endpoint.as_ref(), &SystemClock, &options);
    let (mut equal, mut differing, mut uncompared) = (0_usize, 0_usize, 0_usize);
    for item in &items {
        let replayed = match replay.one(item) {
            Err(error) => {
                if equal + differing == 0 {
                    // Every command says the same of what is no endpoint.
                    reach(&wire, "replayed").map_err(CliError::broken)?;
                }
                return Err(failed(error));
            }
            Ok(replayed) => replayed,
        };
        let mut out = String::new();
        if !replayed.failures.is_empty() {
            if equal + differing == 0 && replayed.failures.iter().any(is_strange) {
                // Whether it is an endpoint at all, where nothing says so yet.
                reach(&wire, "replayed").map_err(CliError::broken)?;
            }
            differing += 1;
            let _ = writeln!(out, "FAIL {}", replayed.name);
            for failure in &replayed.failures {
                out.push_str(&failure.text());
            }
        } else if let Some(why) = &replayed.not_compared {
            uncompared += 1;
            let why = crate::report::failure::printable(why);
            let _ = writeln!(out, "-    {}: not compared: {why}", replayed.name);
        } else {
            equal += 1;
            if args.verbose {
                let _ = writeln!(out, "ok   {}", replayed.name);
            }
        }
        tell(&out)?;
    }
    let mut summary = match items.len() {
        1 => format!("1 call: {equal} answered as it was"),
        count => format!("{count} calls: {equal} answered as they were"),
    };
    if differing > 0 {
        let _ = write!(summary, ", {differing} otherwise");
    }
    if uncompared > 0 {
        let _ = write!(summary, ", {uncompared} not compared");
    }
    tell(&format!("{summary}\n"))?;
    if equal + differing == 0 {
        return Err(CliError::broken(
            "nothing was compared, so nothing is known; the lines above say why",
        ));
    }
    Ok(match differing {
        0 => Exit::Held,
        _ => Exit::Failed,
    })
}

/// Whether what came in place of the recorded answer may not be an endpoint's.
fn is_strange(failure: &Failure) -> bool {
    ["replay-answer", "replay-no-answer"].contains(&failure.check.as_str())
}

/// The command line that was given.
fn command() -> String {
    let mut words = vec!["mirrorlab".to_owned()];
    for word in std::env::args().skip(1) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,".contains(c);
        words.push(if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        });
    }
    words.join(" ")
}

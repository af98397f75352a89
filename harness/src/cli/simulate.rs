//! `mirrorlab simulate`.
//!
//! - `office`: tenants, their databases, and keys
//! - `pace`: cycles on the real clock, business between them, what became of them

mod office;
mod pace;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_simulator::endpoint::https::{HttpsEndpoint, HttpsOptions, Trust};
use mirrorlab_simulator::schedule::Pause;

use super::{CliError, Exit, print, signals, values};
use crate::conformance::probe::Probe;
use crate::conformance::wire::{Limits, Wire};

/// The flags of `mirrorlab simulate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Makes source databases for the tenants Cust10001, Cust10002 …, approves the
application for each, and pushes them to the endpoint as SuperOffice's mirroring
task does: at once, then every 20 minutes unless told otherwise. Each cycle's
event is printed. Of the application's key only the public half is needed.
The endpoint is asked first whether it is one: with --cycles the run ends there
if it is not, without it that is a warning, and each cycle tries again.
SIGTERM and Ctrl-C end it after the cycles under way, a second one at once.

Exit codes: 0 where every cycle succeeded, 1 where one failed, 2 for wrong usage,
4 where it could not run.

Examples:
  mirrorlab simulate --keys keys --application-id my-app --cycles 1 \\
    --endpoint https://localhost:8443/MirroringClientService.svc \\
    --ca keys/tls-ca.pem
  mirrorlab simulate --keys keys --application-id my-app --tenants 3 \\
    --endpoint https://example.com/crm/MirroringClientService.svc \\
    --every 30s --changes 50 --events events.jsonl --data sources
  mirrorlab simulate … --schema calls/00002-Cust24709-TableSchema.call --rows 20")]
pub struct SimulateArgs {
    /// The endpoint's URL
    #[arg(long, value_name = "URL")]
    pub endpoint: String,
    /// The directory with SuperOffice's key and the application's public key, as `keys new` makes it
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// The application's id, as tokens name it
    #[arg(long, value_name = "ID", value_parser = values::application_id)]
    pub application_id: String,
    /// How many tenants there are
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub tenants: u32,
    /// Stop after so many cycles of each tenant [default: go on until stopped]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub cycles: Option<u64>,
    /// Begin a cycle this often: 30s, 20min; with --cycles also 0s, one right after the other
    #[arg(long, value_name = "TIME", default_value = "20min", value_parser = values::interval)]
    pub every: Duration,
    /// Begin no cycle at this time of day in Oslo: 01:30-03:00 is SuperOffice's nightly pause
    #[arg(long, value_name = "FROM-TO")]
    pub pause: Option<Pause>,
    /// So many random business changes in each tenant before each further cycle, each a transaction of one to three rows
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub changes: u32,
    /// Rows that each table of a new source database gets
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub rows: u64,
    /// A table that the SkipTable preference names; may be given several times
    #[arg(long, value_name = "TABLE")]
    pub skip: Vec<String>,
    /// Trust the endpoint's certificate by this authority, PEM, and by no other
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Do not check the endpoint's certificate at all
    #[arg(long)]
    pub insecure: bool,
    /// Take the tables from this schema file, or from a captured TableSchema call, in place of the built-in ones
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Add the event log to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Draw rows and changes from this seed; without it a fresh one is drawn and printed
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Keep the source databases in this directory, and go on from those that are there [default: thrown away]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: SimulateArgs) -> Result<Exit, CliError> {
    if args.every.is_zero() && args.cycles.is_none() {
        return Err(CliError::usage(
            "--every 0s: the endpoint would never have a rest; expected --cycles with it",
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| CliError::broken(format!("cannot start the network runtime: {why}")))?;
    // Everything that can be wrong without a call is looked at before anything is made.
    let keys = office::Keys::load(&args.keys)?;
    let (tables, skip) = office::tables(args.schema.as_deref(), &args.skip)?;
    let seed = args.seed.unwrap_or_else(rand::random);
    // Never the same: a server may refuse a token's nonce that it saw before, in an earlier start too.
    let tokens_seed = rand::random();
    let options = options(&args, tokens_seed)?;
    let endpoint = HttpsEndpoint::new(options.clone(), runtime.handle().clone()).map_err(CliError::usage)?;
    let record = pace::Record::new(args.events.as_deref())?;
    let place = office::Place::new(args.data.as_deref())?;
    let stop = Arc::new(pace::Stop::default());
    listen_to_signals(&runtime, &stop, place.passing())?;
    ask_first(&args, &options, &keys)?;
    print(&format!("seed {seed}\n"))?;

    let mut office = office::open(
        &args,
        keys,
        Arc::new(endpoint),
        Arc::clone(&record),
        skip.clone(),
        tokens_seed,
    )?;
    for number in 1..=args.tenants {
        if stop.is_set() {
            break;
        }
        print(&office::add_tenant(
            &mut office,
            number,
            &place,
            &tables,
            args.rows,
            seed,
        )?)?;
    }
    let pace = pace::RealPace::new(&args, skip, seed, Arc::clone(&stop), Arc::clone(&record));
    office.run_each(&pace);
    // Databases close before their temporary directory goes.
    drop(office);
    runtime.shutdown_background();
    record.end()
}

fn options(args: &SimulateArgs, seed: u64) -> Result<HttpsOptions, CliError> {
    let plain = args
        .endpoint
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("http:");
    let trust = match &args.ca {
        Some(_) if plain => {
            return Err(CliError::usage(
                "--ca: the endpoint's URL begins with http://, where there is no certificate to check; expected https://",
            ));
        }
        Some(file) => Trust::File(file.clone()),
        None if args.insecure => Trust::Anyone,
        None => Trust::System,
    };
    if args.insecure {
        say(
            "warning: --insecure: the endpoint's certificate is not checked; whoever answers gets every row of the tenants",
        );
    } else if plain {
        say("warning: the endpoint's URL begins with http://: tokens and rows travel unencrypted");
    }
    Ok(HttpsOptions {
        trust,
        seed,
        ..HttpsOptions::new(&args.endpoint)
    })
}

/// Asks the endpoint whether it is one, before anything is made for it. Whoever wants so many cycles and no more is told
/// that there is none; who lets the task run for ever is warned, and an endpoint that comes later is found by a later
/// cycle, as SuperOffice finds it.
fn ask_first(args: &SimulateArgs, options: &HttpsOptions, keys: &office::Keys) -> Result<(), CliError> {
    let limits = Limits {
        connect: options.connect_timeout,
        call: options.call_timeout,
    };
    let wire = Wire::new(&options.url, &options.trust, limits).map_err(CliError::usage)?;
    let probe = Probe {
        wire: &wire,
        authority: &keys.authority,
        application_id: &args.application_id,
        context: office::FIRST_TENANT,
        // Its nonces are none of the cycles'.
        seed: options.seed ^ 1,
        now: SystemClock.now(),
        done: "sent",
    };
    match (probe.ask(), args.cycles) {
        (Ok(()), _) => Ok(()),
        (Err(why), Some(_)) => Err(CliError::broken(why)),
        (Err(why), None) => {
            say(&format!("warning: {why} yet; each cycle tries it again"));
            Ok(())
        }
    }
}

fn listen_to_signals(
    runtime: &tokio::runtime::Runtime,
    stop: &Arc<pace::Stop>,
    passing: Option<PathBuf>,
) -> Result<(), CliError> {
    let taken = runtime.block_on(async { signals::Signals::new() });
    let (first, second) = taken
        .map_err(|why| CliError::broken(format!("cannot listen to signals: {why}")))?
        .halves();
    let stop = Arc::clone(stop);
    runtime.spawn(async move {
        let signal = first.await;
        say(&format!(
            "{signal}: ending after the cycles under way; a second signal ends at once"
        ));
        stop.set();
        second.await;
        // The endpoint forgets a call that breaks off, and sources that are kept are never torn.
        if let Some(dir) = passing {
            let _ = std::fs::remove_dir_all(dir);
        }
        std::process::exit(i32::from(Exit::Broken.code()));
    });
    Ok(())
}

/// Says something beside the event log.
fn say(text: &str) {
    // Where not even stderr takes it, there is nobody to hear.
    let _ = writeln!(io::stderr(), "{text}");
}

//! `mirrorlab run`.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mirrorlab_engines::mssql::Address;
use mirrorlab_engines::private;
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_simulator::endpoint::https::Trust;
use mirrorlab_simulator::schema_file::superoffice;
use tokio::runtime::Handle;

use super::{CliError, Exit, unless_unread, values};
use crate::conformance::MirrorAt;
use crate::report::{RunVerdict, Style, Terminal};
use crate::run::foreign::{self, Target, TargetError};
use crate::run::host::{ChildServer, Transport};
use crate::run::keys::{APPLICATION_ID, RunKeys};
use crate::run::runner::{self, Progress, RunSettings};
use crate::run::tenants;
use crate::run::world::WorldSettings;
use crate::run::{mirror, mssql, source};
use crate::scenario::Catalogue;
use crate::scenario::discover::{DiscoverError, discover};

/// How wide a mistake in a scenario file is shown, in characters.
const WIDTH: usize = 110;

/// The flags of `mirrorlab run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Starts a mirroring server on loopback, with TLS and mirrors in a temporary
place, and a simulator with certificates of its own; plays every scenario,
compares mirror and source, and says for each whether it holds.

Examples:
  mirrorlab run scenarios
  mirrorlab run scenarios/restore --keep out       keeps databases, keys and every message
  mirrorlab run scenarios --only restore-ahead --seed 42
  mirrorlab run my-scenario.yaml --json run.json
  mirrorlab run scenarios --endpoint https://localhost:8443/MirroringClientService.svc \\
    --keys keys --ca keys/tls-ca.pem --application-id my-app --mirror sqlite:mirrors
  mirrorlab run scenarios --source env:SQL_SERVER --mirror env:SQL_SERVER

With --endpoint it is that server, whosever it is, and tenants have fresh names.
What a scenario needs and cannot have there (a setting of the server, its death,
the mirror where no --mirror is given) is told, and the scenario is skipped: it
counts for nothing. Without --mirror a scenario is judged by answers and LSNs
alone. docs/endpoint.md says more.

With --source, or --mirror without --endpoint, sources or mirrors are databases of
a SQL Server: env:NAME or @FILE, which hold mssql://user:password@host:port. Their
names are drawn, and they are dropped at the end unless --keep is given. Two on
one server are compared by the server. What an engine cannot do is taken another
way, or the scenario is skipped. docs/sql-server.md says more.

Exit code 0: every scenario that was run holds. 1: one does not. 4: there is no
endpoint, a scenario broke, or none could be run.")]
pub struct RunArgs {
    /// Scenario files, and directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Keep databases, keys and every message in this directory, which must be empty or new
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Run only the scenario with this id; may be given several times
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// Draw everything from this seed; another one draws other rows and changes
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// How many scenarios run side by side
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Make sources on this SQL Server [default: SQLite files]
    #[arg(long, value_name = "CONNECTION")]
    pub source: Option<String>,
    /// Write the result as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Hand each call straight to the server, with the same bytes but without HTTPS
    #[arg(long, conflicts_with_all = ["process", "endpoint"])]
    pub in_process: bool,
    /// Run the server as a process of its own, `mirrorlab serve`
    #[arg(long, conflicts_with = "endpoint")]
    pub process: bool,
    /// An endpoint that is not ours.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// The flags that name an endpoint that is not ours.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Run against this URL instead of the built-in server
    #[arg(long, value_name = "URL", requires = "keys")]
    pub endpoint: Option<String>,
    /// The directory with SuperOffice's key and the application's public key, as `keys new` makes it
    #[arg(long, value_name = "DIR", requires = "endpoint")]
    pub keys: Option<PathBuf>,
    /// The application's id, as tokens name it
    #[arg(
        long,
        value_name = "ID",
        requires = "endpoint",
        default_value = APPLICATION_ID,
        value_parser = values::application_id
    )]
    pub application_id: String,
    /// Trust the endpoint's certificate by this authority, PEM, and by no other
    #[arg(long, value_name = "FILE", requires = "endpoint", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Do not check the endpoint's certificate at all
    #[arg(long, requires = "endpoint")]
    pub insecure: bool,
    /// Where the endpoint's mirrors are: `sqlite:` and a directory of Mirror_{context}.db, or a path with {context} in it; or
    /// env:NAME or @FILE, which hold mssql://user:password@host:port/Mirror_{context};
    /// without --endpoint the SQL Server on which the built-in server keeps them [default: SQLite files]
    #[arg(long, value_name = "MIRROR")]
    pub mirror: Option<String>,
    /// Begin tenants' names so
    #[arg(
        long,
        value_name = "PREFIX",
        requires = "endpoint",
        default_value = tenants::PREFIX_DEFAULT,
        value_parser = tenants::prefix
    )]
    pub tenant_prefix: String,
    /// Wait so long for an answer: 30s, 2min
    #[arg(long, value_name = "TIME", requires = "endpoint", default_value = "2min", value_parser = values::duration)]
    pub timeout: Duration,
}

impl TargetArgs {
    /// The endpoint that was named, if one was.
    ///
    /// # Errors
    /// [`CliError`] for keys that cannot be read.
    pub fn target(&self) -> Result<Option<Target>, CliError> {
        let (Some(url), Some(keys)) = (&self.endpoint, &self.keys) else {
            return Ok(None);
        };
        let target = Target::new(url, &self.application_id, keys)
            .map_err(|error| CliError::usage(format!("--keys: {error}")))?;
        Ok(Some(Target {
            trust: match (&self.ca, self.insecure) {
                (Some(file), _) => Trust::File(file.clone()),
                (None, true) => Trust::Anyone,
                (None, false) => Trust::System,
            },
            mirror: self
                .place()?
                .as_ref()
                .map(|place| foreign::kind(place).map_err(|why| CliError::broken(format!("--mirror: {why}"))))
                .transpose()?,
            tenant_prefix: self.tenant_prefix.clone(),
            call_timeout: self.timeout,
            ..target
        }))
    }

    /// Where the endpoint's mirrors are, if that was said.
    fn place(&self) -> Result<Option<MirrorAt>, CliError> {
        let text = self.mirror.as_deref().filter(|_| self.endpoint.is_some());
        text.map(|text| MirrorAt::parse(text).map_err(|why| CliError::usage(format!("--mirror: {why}"))))
            .transpose()
    }

    /// The same flags, as a command that repeats something says them.
    pub fn repeat_flags(&self) -> String {
        let mut flags = String::new();
        let mut flag = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                flags.push_str(&format!(" {name} {}", runner::quoted(value)));
            }
        };
        flag("--endpoint", self.endpoint.as_deref());
        flag("--keys", self.keys.as_deref().and_then(Path::to_str));
        flag(
            "--application-id",
            (self.application_id != APPLICATION_ID).then_some(&self.application_id),
        );
        flag("--ca", self.ca.as_deref().and_then(Path::to_str));
        // Without an endpoint it may hold a password; the mirrors say themselves how they were given.
        let place = self.place().ok().flatten();
        flag("--mirror", place.map(|place| place.shown()).as_deref());
        if self.insecure {
            flags.push_str(" --insecure");
        }
        flags
    }
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: RunArgs) -> Result<Exit, CliError> {
    let catalogue = Catalogue::new(superoffice().iter().cloned());
    let scenarios = discover(&args.paths, &args.only, &catalogue).map_err(|error| cannot_read(&error))?;
    // Asked before anything is done, so that an hour's run is not lost to a wrong path.
    if let Some(json) = &args.json {
        std::fs::File::create(json)
            .map_err(|why| CliError::usage(format!("cannot write {}: {why}", json.display())))?;
    }
    let place = Place::new(args.keep.as_deref())?;
    let seed = args.seed;
    let target = args.target.target()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| CliError::broken(format!("cannot start the network runtime: {why}")))?;
    let world = match &target {
        Some(target) => target
            .settings(seed, runtime.handle())
            .map_err(|error| match error {
                TargetError::Usage(text) => CliError::usage(text),
                TargetError::NoEndpoint(text) => CliError::broken(text),
            })?,
        None => own_server(&args, &place, runtime.handle())?,
    };
    let mut world = WorldSettings {
        keep_messages: args.keep.is_some(),
        repeat_flags: match (args.in_process, args.process) {
            (true, _) => " --in-process".to_owned(),
            (_, true) => " --process".to_owned(),
            _ => args.target.repeat_flags(),
        },
        ..world
    };
    let databases = Databases::of(&args)?;
    if let Some(sources) = &databases.sources {
        world.sources = Arc::new(source::mssql::MssqlDatabases::new(Arc::clone(sources)));
    }
    if let Some(mirrors) = &databases.mirrors {
        world.mirrors = Some(Arc::new(mirror::mssql::MssqlDatabases::new(Arc::clone(mirrors))));
    }
    let settings = RunSettings {
        world,
        jobs: usize::from(args.jobs),
        dir: place.path().to_owned(),
        keep: args.keep.is_some(),
    };
    let mut out = io::stdout().lock();
    let count = match scenarios.len() {
        1 => "1 scenario".to_owned(),
        n => format!("{n} scenarios"),
    };
    let named = settings.world.tenants.beginning();
    let named = named.map(|beginning| format!(", tenants {beginning}…"));
    unless_unread(writeln!(out, "seed {seed}, {count}{}", named.unwrap_or_default()))?;
    if databases.sources.is_some() {
        unless_unread(writeln!(out, "sources: {}", settings.world.sources.describe()))?;
    }
    if let (Some(_), Some(mirrors)) = (&databases.mirrors, &settings.world.mirrors) {
        unless_unread(writeln!(out, "mirrors: {}", mirrors.describe()))?;
    }
    if args.keep.is_some() {
        for databases in databases.all() {
            unless_unread(writeln!(out, "databases that are kept: {}_…", databases.prefix()))?;
        }
    }
    let names = scenarios.iter().map(|s| (s.id.as_str(), s.title.as_str()));
    let mut terminal = Terminal::new(out, Style::detect(), names);
    let mut failed = None;
    let result = runner::run(&scenarios, &settings, &mut |progress| match progress {
        Progress::Begins(scenario) => terminal.begins(&scenario.id),
        Progress::Ended(ended) => {
            if let Err(error) = terminal.ended(ended) {
                failed.get_or_insert(error);
            }
        }
    });
    unless_unread(failed.map_or(Ok(()), Err))?;
    unless_unread(terminal.run_ended(&result).map(drop))?;
    if let Some(json) = &args.json {
        result
            .write_json(json)
            .map_err(|why| CliError::broken(format!("cannot write {}: {why}", json.display())))?;
    }
    if result.counts()[2] == result.scenarios.len() {
        return Err(CliError::broken(
            "none of the scenarios could be run; nothing was checked",
        ));
    }
    Ok(match result.verdict() {
        RunVerdict::Held => Exit::Held,
        RunVerdict::Failed => Exit::Failed,
        RunVerdict::Broken => Exit::Broken,
    })
}

/// Keys of a run's own, and the built-in server with them.
fn own_server(args: &RunArgs, place: &Place, runtime: &Handle) -> Result<WorldSettings, CliError> {
    let keys = RunKeys::generate(SystemClock.now()).map_err(CliError::broken)?;
    if let (Some(_), Some(set)) = (&args.keep, &keys.set) {
        set.write(&place.path().join("keys")).map_err(CliError::broken)?;
    }
    let transport = match (args.in_process, args.process) {
        (true, _) => Transport::InProcess,
        (_, true) => Transport::Child(ChildServer {
            program: std::env::current_exe()
                .map_err(|why| CliError::broken(format!("cannot find the program itself: {why}")))?,
            runtime: runtime.clone(),
        }),
        _ => Transport::Tls(runtime.clone()),
    };
    Ok(WorldSettings {
        program: std::env::current_exe().ok(),
        ..WorldSettings::new(keys, args.seed, transport)
    })
}

/// The SQL Servers of a run.
struct Databases {
    sources: Option<Arc<mssql::Databases>>,
    mirrors: Option<Arc<mssql::Databases>>,
}

impl Databases {
    fn of(args: &RunArgs) -> Result<Databases, CliError> {
        let keep = args.keep.is_some();
        let connect = |flag: &str, text: &str| {
            if !Address::is_one(text) {
                return Err(CliError::usage(format!(
                    "{flag}: this is no SQL Server; expected env:NAME or @FILE, which hold mssql://user:password@host:port"
                )));
            }
            let address = Address::read(text).map_err(|e| CliError::usage(format!("{flag}: {e}")))?;
            let connected = mssql::Databases::connect(address, text, keep);
            connected.map_err(|e| CliError::broken(format!("{flag}: {e}")))
        };
        let sources = args
            .source
            .as_deref()
            .map(|text| connect("--source", text))
            .transpose()?;
        // An endpoint's mirrors are where it keeps them.
        let mirror = args
            .target
            .mirror
            .as_ref()
            .filter(|_| args.target.endpoint.is_none());
        let mirrors = match (mirror, &sources) {
            (Some(text), Some(sources)) if Some(text) == args.source.as_ref() => Some(Arc::clone(sources)),
            (Some(text), _) => Some(connect("--mirror", text)?),
            (None, _) => None,
        };
        Ok(Databases { sources, mirrors })
    }

    fn all(&self) -> impl Iterator<Item = &Arc<mssql::Databases>> {
        let other = |m: &&Arc<mssql::Databases>| self.sources.as_ref().is_none_or(|s| !Arc::ptr_eq(s, m));
        self.sources.iter().chain(self.mirrors.iter().filter(other))
    }
}

/// Where worlds are made.
enum Place {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Place {
    fn new(keep: Option<&Path>) -> Result<Place, CliError> {
        let Some(dir) = keep else {
            let made = tempfile::Builder::new().prefix("mirrorlab-").tempdir();
            let failed = |why| CliError::broken(format!("cannot make a temporary directory: {why}"));
            return made.map(Place::Passing).map_err(failed);
        };
        let failed = |why: io::Error| CliError::usage(format!("--keep {}: {why}", dir.display()));
        if dir.exists() && !dir.is_dir() {
            return Err(CliError::usage(format!(
                "--keep {}: it is not a directory",
                dir.display()
            )));
        }
        private::create_dir_all(dir).map_err(failed)?;
        if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
            return Err(CliError::usage(format!(
                "--keep {}: the directory is not empty; name a new one",
                dir.display()
            )));
        }
        Ok(Place::Kept(dir.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Place::Kept(path) => path,
            Place::Passing(dir) => dir.path(),
        }
    }
}

fn cannot_read(error: &DiscoverError) -> CliError {
    match error {
        DiscoverError::NoSuchId { .. } => CliError::usage(error),
        other => CliError::scenario(other.render(WIDTH, io::stderr().is_terminal()).trim_end()),
    }
}

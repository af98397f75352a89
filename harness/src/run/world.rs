//! The world of one scenario: SuperOffice with its tenants and their databases, the server, and what lies between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab_protocol::clock::{Clock, ManualClock, SystemClock};
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use mirrorlab_server::admin::MirrorAdmin;
use mirrorlab_simulator::blocked::SkipTable;
use mirrorlab_simulator::draw::{DrawError, Style, seeded};
use mirrorlab_simulator::endpoint::Endpoint;
use mirrorlab_simulator::endpoint::record::Recorder;
use mirrorlab_simulator::event_log::EventLog;
use mirrorlab_simulator::office::{Application, Office, OfficeError, OfficeParts, Together};
use mirrorlab_simulator::schedule::{Pause, Schedule, ScheduleError};
use mirrorlab_simulator::source::{Source, SourceError};
use mirrorlab_simulator::task::{self, TableFilter};
use rand_chacha::ChaCha8Rng;

use super::admin::RunAdmin;
use super::faults::{FaultyEndpoint, OwnServer};
use super::host::{ChildServer, Host, HostError, HostSettings, ServerOptions, Transport};
use super::keys::RunKeys;
use super::lsns::LsnBook;
use super::mirror::sqlite::SqliteMirrors;
use super::mirror::{Mirror, MirrorKind, Mirrors};
use super::population;
use super::source::{SourceKind, Sources};
use super::tenants::TenantNames;
use super::{mirror, source};
use crate::scenario::model::{
    CertificateStrategy, QuietTables, Repopulate, Scenario, Settings, Step, StepKind, Tenant,
};

/// The source's clock at a scenario's start where the file says nothing: Monday 2026-01-05 08:00 UTC.
pub const START: i64 = 1_767_600_000;

/// What a run hands to each of its worlds.
#[derive(Clone)]
pub struct WorldSettings {
    /// The run's keys.
    pub keys: RunKeys,
    /// Draws everything.
    pub seed: u64,
    /// Which server is under test, and how calls reach it.
    pub transport: Transport,
    /// Where mirrors are; `None` where they cannot be reached, so that answers and LSNs alone are judged. A server of our
    /// own has to have them.
    pub mirrors: Option<Arc<dyn MirrorKind>>,
    /// In which database sources are.
    pub sources: Arc<dyn SourceKind>,
    /// How tenants are named.
    pub tenants: TenantNames,
    /// What the file wrote in place of names that [`tenants`](WorldSettings::tenants) gave: rows are drawn by those, so that
    /// they are the same in every run.
    pub written: BTreeMap<String, String>,
    /// Whether every message is kept, in the world's directory.
    pub keep_messages: bool,
    /// `mirrorlab` itself, where it is known: a server of this process then becomes a process of its own for a scenario that
    /// kills it.
    pub program: Option<PathBuf>,
    /// What a command that repeats a scenario has to say beside file and seed, with a blank before it.
    pub repeat_flags: String,
}

impl WorldSettings {
    /// Sources and mirrors in SQLite files in each world's own directory; no message is kept.
    pub fn new(keys: RunKeys, seed: u64, transport: Transport) -> WorldSettings {
        WorldSettings {
            repeat_flags: match transport.is_in_process() {
                true => " --in-process".to_owned(),
                false => String::new(),
            },
            keys,
            seed,
            transport,
            mirrors: Some(Arc::new(mirror::sqlite::SqliteFiles::default())),
            sources: Arc::new(source::sqlite::SqliteFiles),
            tenants: TenantNames::AsWritten,
            program: None,
            written: BTreeMap::new(),
            keep_messages: false,
        }
    }

    /// The same for one scenario: one that kills the server gets a process that can be killed, where calls go over the wire
    /// anyway and the program is known.
    #[must_use]
    pub fn suited_to(&self, scenario: &Scenario) -> WorldSettings {
        let mut settings = self.clone();
        let kills = |step: &Step| matches!(&step.kind, StepKind::Fault(fault) if fault.kind.kills());
        if let (Transport::Tls(runtime), Some(program)) = (&self.transport, &self.program)
            && scenario.steps.iter().any(kills)
        {
            settings.transport = Transport::Child(ChildServer {
                program: program.clone(),
                runtime: runtime.clone(),
            });
        }
        settings
    }
}

/// A world that could not be made, or that broke. It says nothing of the mirror.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The server.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Rows that could not be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// SuperOffice.
    #[error(transparent)]
    Office(#[from] OfficeError),
    /// The schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A file or directory.
    #[error("{path}: {why}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A mirror, at a person's hands.
    #[error("{0}")]
    Mirror(String),
    /// A step that cannot be done as it is written.
    #[error("{0}")]
    Step(String),
}

impl WorldError {
    /// An error of the file system.
    pub fn file(path: &Path, why: impl std::fmt::Display) -> WorldError {
        WorldError::File {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}

/// Tables that the blocked list or the application's preference leaves out.
struct LeftOut(SkipTable);

impl TableFilter for LeftOut {
    fn left_out(&self, table: &str) -> Option<String> {
        self.0.why_not(table).map(|reason| reason.to_string())
    }
}

/// One scenario's world.
pub struct World {
    /// Holds every file of it.
    pub dir: PathBuf,
    /// The server.
    pub host: Arc<Host>,
    /// What lies before the server.
    pub faults: Arc<FaultyEndpoint>,
    /// What the endpoint must remember, where mirrors cannot be reached.
    pub lsns: Arc<LsnBook>,
    /// The partner's side.
    pub admin: Arc<RunAdmin>,
    /// SuperOffice, with its tenants and their sources.
    pub office: Office,
    /// Where mirrors are; `None` where they cannot be reached.
    pub mirrors: Option<Arc<dyn Mirrors>>,
    /// Where sources are.
    pub sources: Arc<dyn Sources>,
    /// What drawn rows look like.
    pub style: Style,
    /// Whether the server's errors are in our words.
    pub has_our_words: bool,
    /// Whether the server's log is ours to read.
    pub has_our_log: bool,
    /// Schedule and retention.
    pub source_clock: Arc<ManualClock>,
    /// As the file sets them, until here.
    settings: Settings,
    /// Draws each tenant's rows and changes.
    draws: BTreeMap<String, ChaCha8Rng>,
    /// From and to, on the source's clock.
    maintenance: Vec<(i64, i64)>,
    /// Whether a run has to repeat exactly.
    inline: bool,
}

impl World {
    /// Makes the world in `dir`: sources filled, the server started.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn new(scenario: &Scenario, dir: &Path, settings: &WorldSettings) -> Result<World, WorldError> {
        let start = scenario.settings.start.unwrap_or(START);
        let source_clock = Arc::new(ManualClock::new(start));
        // Where both sides live in this process, the wire's clock is virtual too. It stands still.
        let wire_clock: Arc<dyn Clock> = match settings.transport.shares_our_clock() {
            true => Arc::new(ManualClock::new(start)),
            false => Arc::new(SystemClock),
        };
        std::fs::create_dir_all(dir).map_err(|why| WorldError::file(dir, why))?;
        let mirrors = settings.mirrors.as_ref().map(|kind| kind.open(dir)).transpose()?;
        let sources = settings.sources.open(dir)?;
        let admin = Arc::new(match &mirrors {
            Some(mirrors) => RunAdmin::at(Arc::clone(mirrors)),
            None => RunAdmin::at(Arc::new(SqliteMirrors::in_dir(dir.to_owned()))),
        });
        let host = Arc::new(Host::new(HostSettings {
            keys: settings.keys.clone(),
            dir: dir.to_owned(),
            clock: Arc::clone(&wire_clock),
            admin: Arc::clone(&admin) as Arc<dyn MirrorAdmin>,
            mirrors: mirrors.clone(),
            transport: settings.transport.clone(),
        })?);
        let seed = scenario.seed.unwrap_or(settings.seed);
        let mut endpoint: Arc<dyn Endpoint> = Arc::clone(&host) as Arc<dyn Endpoint>;
        if settings.keep_messages {
            let messages = dir.join("messages");
            let recorder =
                Recorder::new(endpoint, &messages).map_err(|why| WorldError::file(&messages, why))?;
            endpoint = Arc::new(recorder);
        }
        let lsns = Arc::new(LsnBook::new(
            Arc::clone(&endpoint),
            settings.keys.clone(),
            Arc::clone(&wire_clock),
            seed,
        ));
        if mirrors.is_none() {
            // Where the mirror can be looked at, nobody has to ask.
            endpoint = Arc::clone(&lsns) as Arc<dyn Endpoint>;
        }
        let faults = Arc::new(FaultyEndpoint::new(
            endpoint,
            Arc::clone(&host) as Arc<dyn OwnServer>,
            settings.keys.clone(),
            Arc::clone(&wire_clock),
        ));
        let inline = settings.transport.is_in_process();
        let style = Style {
            nul: settings.sources.takes_nul() && settings.mirrors.as_ref().is_none_or(|m| m.takes_nul()),
            ..Style::default()
        };
        let office = Office::new(OfficeParts {
            application: Application {
                id: settings.keys.application_id.clone(),
                key: settings.keys.application.clone(),
                endpoint: Arc::clone(&faults) as Arc<dyn Endpoint>,
            },
            authority: Arc::clone(&settings.keys.authority),
            seed,
            settings: task::Settings::default(),
            filter: Arc::new(LeftOut(SkipTable::default())),
            wire_clock,
            source_clock: Arc::clone(&source_clock) as Arc<dyn Clock>,
            schedule: Schedule::default(),
            log: Arc::new(EventLog::default()),
            together: if inline {
                Together::OneByOne
            } else {
                Together::SideBySide(scenario.tenants.len())
            },
        });
        let mut world = World {
            dir: dir.to_owned(),
            host,
            faults,
            lsns,
            admin,
            office,
            mirrors,
            sources,
            style,
            has_our_words: settings.transport.has_our_words(),
            has_our_log: settings.transport.has_our_log(),
            source_clock,
            settings: scenario.settings.clone(),
            draws: BTreeMap::new(),
            maintenance: Vec::new(),
            inline,
        };
        world.apply_settings()?;
        world.start_server()?;
        for tenant in &scenario.tenants {
            let written = settings.written.get(&tenant.context.value);
            let drawn_as = written.unwrap_or(&tenant.context.value);
            let rng = seeded(seed, &[&scenario.id.value, drawn_as]);
            world.add_tenant(tenant, rng)?;
        }
        Ok(world)
    }

    fn add_tenant(&mut self, tenant: &Tenant, mut rng: ChaCha8Rng) -> Result<(), WorldError> {
        let context = tenant.context.value.clone();
        let mut source = self.sources.make(&context)?;
        source.set_now(self.source_clock.now())?;
        for table in &tenant.tables {
            population::fill(source.as_mut(), table, &self.style, &mut rng)?;
        }
        self.draws.insert(context.clone(), rng);
        self.office.add_tenant(&context, source)?;
        if tenant.approved {
            self.office.approve(&context)?;
        }
        Ok(())
    }

    /// Takes over what a step sets.
    ///
    /// # Errors
    /// [`WorldError`] of settings that cannot be.
    pub fn change_settings(&mut self, settings: &Settings) -> Result<(), WorldError> {
        self.settings.merge(settings);
        self.apply_settings()?;
        if !settings.server.is_empty() {
            self.host.kill();
            self.start_server()?;
        }
        Ok(())
    }

    /// SuperOffice is closed between two times of the source's clock.
    ///
    /// # Errors
    /// [`WorldError::Schedule`].
    pub fn add_maintenance(&mut self, from: i64, to: i64) -> Result<(), WorldError> {
        self.maintenance.push((from, to));
        self.apply_settings()
    }

    fn apply_settings(&mut self) -> Result<(), WorldError> {
        let settings = &self.settings;
        let mut task = task::Settings::default();
        if let Some(bytes) = settings.batch_size {
            task.batch_bytes_max = bytes as usize;
        }
        task.share_calls = settings.share_calls.unwrap_or(task.share_calls);
        if settings.repopulate == Some(Repopulate::OnlyAhead) {
            task.repopulate = task::Repopulate::OnlyTablesAhead;
        }
        if settings.quiet_tables == Some(QuietTables::Refresh) {
            task.quiet = task::Quiet::RefreshLsn;
        }
        if self.inline {
            task.pipeline = task::Pipeline::Inline;
        }
        let mut schedule = Schedule::default();
        if let Some(every) = settings.every {
            schedule = schedule.every(i64::try_from(every.as_secs()).unwrap_or(i64::MAX))?;
        }
        if let Some(zone) = &settings.time_zone {
            schedule = schedule.in_zone(zone)?;
        }
        if let Some(pause) = settings.quiet_hours {
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let pause: Pause = format!("{}-{}", clock(pause.from), clock(pause.to)).parse()?;
            schedule = schedule.with_pauses(vec![pause]);
        }
        for (from, to) in &self.maintenance {
            schedule.add_maintenance(*from, *to)?;
        }
        let skip = skip_table(settings);
        *self.office.settings() = task;
        *self.office.schedule() = schedule;
        self.office.set_filter(Arc::new(LeftOut(skip)));
        Ok(())
    }

    /// Starts the server with the settings of now.
    ///
    /// # Errors
    /// [`WorldError::Host`].
    pub fn start_server(&self) -> Result<(), WorldError> {
        let server = &self.settings.server;
        self.admin
            .set_do_not_replicate(server.do_not_replicate.unwrap_or(false));
        self.host.start(ServerOptions {
            drop_guard: server.drop_guard.unwrap_or(false),
            refuse_replays: server.refuse_replays.unwrap_or(false),
            certificates: server.certificates.unwrap_or(CertificateStrategy::Directory),
            clock_skew: server.clock_skew.unwrap_or(0),
        })?;
        Ok(())
    }

    /// Whether a table of a source is mirrored.
    pub fn is_mirrored(&self, table: &str) -> bool {
        skip_table(&self.settings).why_not(table).is_none()
    }

    /// A tenant's database, and what its changes are drawn from.
    ///
    /// # Errors
    /// Never for a name that the file was checked for.
    pub fn source_and_draw(
        &mut self,
        context: &str,
    ) -> Result<(&mut dyn Source, &mut ChaCha8Rng), WorldError> {
        let draw = self
            .draws
            .get_mut(context)
            .ok_or_else(|| WorldError::Step(format!("there is no tenant {context}")))?;
        Ok((self.office.tenant(context)?.source(), draw))
    }

    /// A tenant's mirror.
    ///
    /// # Errors
    /// [`WorldError::Mirror`] where mirrors cannot be reached.
    pub fn mirror(&self, context: &str) -> Result<Box<dyn Mirror>, WorldError> {
        let mirrors = self.mirrors.as_ref();
        let mirrors = mirrors.ok_or_else(|| WorldError::Mirror("nobody said where mirrors are".into()))?;
        Ok(mirrors.of(context))
    }
}

/// What is left out, with these settings.
fn skip_table(settings: &Settings) -> SkipTable {
    SkipTable::new(settings.skip_tables.iter().flatten().map(|t| t.as_str()))
        .with_captured(&settings.not_blocked)
}

impl Drop for World {
    fn drop(&mut self) {
        self.host.kill();
    }
}

/// A table of a source as it is now.
///
/// # Errors
/// [`WorldError`] where it is not there.
pub fn table_of(source: &mut dyn Source, name: &str) -> Result<Table, WorldError> {
    let found = source.tables()?.into_iter().find(|t| same_name(&t.name, name));
    found.ok_or_else(|| WorldError::Step(format!("the source has no table `{name}`")))
}

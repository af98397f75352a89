//! The world of one scenario: SuperOffice with its tenants and their databases, the server, and what lies between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::clock::{Clock, ManualClock};
use mirrorlab_protocol::keys::PublicKey;
use mirrorlab_protocol::schema::Table;
use mirrorlab_simulator::authority::Tokens;
use mirrorlab_simulator::blocked::SkipTable;
use mirrorlab_simulator::endpoint::Endpoint;
use mirrorlab_simulator::endpoint::record::Recorder;
use mirrorlab_simulator::source::sqlite::SqliteSource;
use mirrorlab_simulator::source::{Source, SourceError};
use mirrorlab_simulator::task;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::admin::RunAdmin;
use super::faults::FaultyEndpoint;
use super::host::{Host, HostError, HostSettings, ServerOptions, Transport};
use super::keys::{APPLICATION_ID, RunKeys};
use super::population;
use crate::scenario::model::{CertificateStrategy, QuietTables, Repopulate, Scenario, Settings, Tenant};

/// The source's clock at a scenario's start where the file says nothing: Monday 2026-01-05 08:00 UTC.
pub const START: i64 = 1_767_600_000;

/// What a run hands to each of its worlds.
#[derive(Clone)]
pub struct WorldSettings {
    /// The run's keys.
    pub keys: RunKeys,
    /// Draws everything.
    pub seed: u64,
    /// How calls reach the server.
    pub transport: Transport,
    /// Whether every message is kept, in the world's directory.
    pub keep_messages: bool,
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
        WorldError::File { path: path.to_owned(), why: why.to_string() }
    }
}

/// A customer of SuperOffice.
pub struct TenantWorld {
    /// `Cust10001`.
    pub context: String,
    /// The customer's database.
    pub source: SqliteSource,
    /// Makes the tokens of its calls.
    pub tokens: Tokens,
    /// Draws its rows and changes.
    pub rng: ChaCha8Rng,
    /// Whether it has approved the application.
    pub approved: bool,
    /// When the next cycle is due, on the source's clock; `None` until time first moves.
    pub due: Option<i64>,
}

/// One scenario's world.
pub struct World {
    /// Holds every file of it.
    pub dir: PathBuf,
    /// The server.
    pub host: Arc<Host>,
    /// What lies before the server.
    pub faults: Arc<FaultyEndpoint>,
    /// The partner's side.
    pub admin: Arc<RunAdmin>,
    /// Schedule and retention.
    pub source_clock: Arc<ManualClock>,
    /// Tokens and answers. Both sides live in this process, so it is virtual too, and stands still.
    pub wire_clock: Arc<ManualClock>,
    /// The application's public half, which SuperOffice checks answers with.
    pub application_key: PublicKey,
    /// As the file sets them, until here.
    pub settings: Settings,
    /// The customers.
    pub tenants: Vec<TenantWorld>,
    /// Whether tenants' cycles run side by side.
    pub side_by_side: bool,
    /// Maintenance windows so far, from and to on the source's clock.
    pub maintenance: Vec<(i64, i64)>,
}

impl World {
    /// Makes the world in `dir`: sources filled, the server started.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn new(scenario: &Scenario, dir: &Path, settings: &WorldSettings) -> Result<World, WorldError> {
        let start = scenario.settings.start.unwrap_or(START);
        let source_clock = Arc::new(ManualClock::new(start));
        let wire_clock = Arc::new(ManualClock::new(start));
        let mirrors = dir.join("mirrors");
        std::fs::create_dir_all(&mirrors).map_err(|why| WorldError::file(&mirrors, why))?;
        let admin = Arc::new(RunAdmin::new(mirrors));
        let host = Arc::new(Host::new(HostSettings {
            keys: settings.keys.clone(),
            dir: dir.to_owned(),
            clock: Arc::clone(&wire_clock) as Arc<dyn Clock>,
            admin: Arc::clone(&admin) as Arc<dyn mirrorlab_server::admin::MirrorAdmin>,
            transport: settings.transport.clone(),
        })?);
        let mut endpoint: Arc<dyn Endpoint> = Arc::clone(&host) as Arc<dyn Endpoint>;
        if settings.keep_messages {
            let messages = dir.join("messages");
            let recorder = Recorder::new(endpoint, &messages).map_err(|why| WorldError::file(&messages, why))?;
            endpoint = Arc::new(recorder);
        }
        let stopped = Arc::clone(&host);
        let faults = Arc::new(FaultyEndpoint::new(
            endpoint,
            Box::new(move || stopped.kill()),
            settings.keys.clone(),
            Arc::clone(&wire_clock) as Arc<dyn Clock>,
        ));
        let mut world = World {
            dir: dir.to_owned(),
            host,
            faults,
            admin,
            source_clock,
            wire_clock,
            application_key: settings.keys.application.public(),
            settings: scenario.settings.clone(),
            tenants: Vec::new(),
            side_by_side: matches!(settings.transport, Transport::Tls(_)),
            maintenance: Vec::new(),
        };
        world.start_server()?;
        let seed = scenario.seed.unwrap_or(settings.seed);
        for tenant in &scenario.tenants {
            let made = world.make_tenant(tenant, seed, &scenario.id, &settings.keys)?;
            world.tenants.push(made);
        }
        Ok(world)
    }

    fn make_tenant(
        &self,
        tenant: &Tenant,
        seed: u64,
        scenario: &str,
        keys: &RunKeys,
    ) -> Result<TenantWorld, WorldError> {
        let context = tenant.context.value.clone();
        let sources = self.dir.join("sources");
        std::fs::create_dir_all(&sources).map_err(|why| WorldError::file(&sources, why))?;
        let mut source = SqliteSource::open(&sources.join(format!("{context}.db")), Durability::Fast)?;
        source.set_now(self.source_clock.now())?;
        let mut rng = rng_for(seed, &[scenario, &context]);
        for table in &tenant.tables {
            population::fill(&mut source, table, &mut rng)?;
        }
        Ok(TenantWorld {
            tokens: Tokens::new(Arc::clone(&keys.authority), APPLICATION_ID, &context, seed),
            approved: tenant.approved,
            context,
            source,
            rng,
            due: None,
        })
    }

    /// Starts the server with the settings of now.
    ///
    /// # Errors
    /// [`WorldError::Host`].
    pub fn start_server(&self) -> Result<(), WorldError> {
        let server = &self.settings.server;
        self.admin.set_do_not_replicate(server.do_not_replicate.unwrap_or(false));
        self.host.start(ServerOptions {
            drop_guard: server.drop_guard.unwrap_or(false),
            refuse_replays: server.refuse_replays.unwrap_or(false),
            certificates: server.certificates.unwrap_or(CertificateStrategy::Directory),
        })?;
        Ok(())
    }

    /// The mirroring task's preferences, as the scenario sets them.
    pub fn task_settings(&self) -> task::Settings {
        let mut task = task::Settings::default();
        if let Some(bytes) = self.settings.batch_size {
            task.batch_bytes_max = bytes as usize;
        }
        if self.settings.repopulate == Some(Repopulate::OnlyAhead) {
            task.repopulate = task::Repopulate::OnlyTablesAhead;
        }
        if self.settings.quiet_tables == Some(QuietTables::Refresh) {
            task.quiet = task::Quiet::RefreshLsn;
        }
        if !self.side_by_side {
            task.pipeline = task::Pipeline::Inline;
        }
        task
    }

    /// Why a table of the source is not mirrored, `None` for one that is.
    pub fn left_out(&self, table: &str) -> Option<String> {
        self.skip_table().why_not(table).map(|reason| reason.to_string())
    }

    /// The application's SkipTable preference.
    pub fn skip_table(&self) -> SkipTable {
        SkipTable::new(self.settings.skip_tables.iter().flatten().map(|t| t.as_str()))
    }

    /// A tenant of the file.
    ///
    /// # Errors
    /// Never for a name that the file was checked for.
    pub fn tenant(&mut self, context: &str) -> Result<&mut TenantWorld, WorldError> {
        self.tenants
            .iter_mut()
            .find(|t| t.context == context)
            .ok_or_else(|| WorldError::Step(format!("there is no tenant {context}")))
    }

    /// Where a tenant's mirror is.
    pub fn mirror(&self, context: &str) -> PathBuf {
        self.admin.mirror(context)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.host.kill();
    }
}

impl TenantWorld {
    /// A table of the source as it is now.
    ///
    /// # Errors
    /// [`WorldError`] where it is not there.
    pub fn table(&mut self, name: &str) -> Result<Table, WorldError> {
        let found = self.source.tables()?.into_iter().find(|t| mirrorlab_protocol::names::same_name(&t.name, name));
        found.ok_or_else(|| WorldError::Step(format!("the source of {} has no table `{name}`", self.context)))
    }
}

/// A generator of its own for each purpose, all from one seed.
pub fn rng_for(seed: u64, purpose: &[&str]) -> ChaCha8Rng {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    for part in purpose {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    ChaCha8Rng::from_seed(hasher.finalize().into())
}

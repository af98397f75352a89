//! The server under test: started, stopped, killed and started anew on what it had committed. Or one that is not ours.
//!
//! - `builtin`: the built-in server inside this process, sound or with a defect
//! - `child`: the same as a process of its own
//! - `way`: how a server is reached over the network, and what a call may meet on the way

mod builtin;
mod child;
mod way;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mirrorlab_protocol::clock::Clock;
use mirrorlab_server::admin::MirrorAdmin;
use mirrorlab_server::store::MirrorPlace;
use mirrorlab_simulator::endpoint::https::{HttpsOptions, Trust as Roots};
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use self::builtin::Direct;
use self::child::ChildProcess;
use self::way::{Way, pretend};
use super::faults::{Meeting, OwnServer};
use super::keys::RunKeys;
use super::mirror::Mirrors;
use super::store::{StoreFault, StoreFaults};
use super::wire::{Death, KillPoint, WireFault};
use crate::defects::{Defect, Layers};
use crate::keyset::KeySet;
use crate::scenario::model::CertificateStrategy;

/// The file with the authority of the listener's certificate.
const CA: &str = "tls-ca.pem";

/// Which server is under test, and how calls reach it. What a scenario needs and such a server cannot give is in
/// [`needs`](super::needs).
#[derive(Debug, Clone)]
pub enum Transport {
    /// The built-in one, over TLS on loopback: the real wire.
    Tls(Handle),
    /// Straight into its service, with the same bytes: one thread, and it repeats.
    InProcess,
    /// As [`Transport::InProcess`], into a server with a defect.
    Defective(&'static Defect),
    /// The built-in one as a process of its own, over plain HTTP on loopback, so that the points of a call at which it dies
    /// are exact; its death is a real one.
    Child(ChildServer),
    /// Somebody's, of which the URL is known.
    Foreign(ForeignEndpoint),
}

/// How a server of our own becomes a process of its own.
#[derive(Debug, Clone)]
pub struct ChildServer {
    /// `mirrorlab` itself.
    pub program: PathBuf,
    /// Calls it.
    pub runtime: Handle,
}

/// An endpoint that is not ours.
#[derive(Debug, Clone)]
pub struct ForeignEndpoint {
    /// How it is called.
    pub options: HttpsOptions,
    /// Calls it.
    pub runtime: Handle,
}

impl Transport {
    /// Whether both sides are one thread, so that a run repeats.
    pub fn is_in_process(&self) -> bool {
        matches!(self, Transport::InProcess | Transport::Defective(_))
    }

    /// Whether the wire's clock may be virtual: where both sides live in this process.
    pub fn shares_our_clock(&self) -> bool {
        matches!(
            self,
            Transport::Tls(_) | Transport::InProcess | Transport::Defective(_)
        )
    }
}

/// How the server is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOptions {
    /// Refuse a TableSchema that would drop more than half of ten or more tables.
    pub drop_guard: bool,
    /// Refuse a nonce that was seen before.
    pub refuse_replays: bool,
    /// Where SuperOffice's certificate is found.
    pub certificates: CertificateStrategy,
    /// How many seconds its clock is ahead of SuperOffice's; negative where it is behind.
    pub clock_skew: i64,
}

/// A server that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the server cannot be started: {0}")]
pub struct HostError(pub String);

/// What a server needs, from one start to the next.
pub struct HostSettings {
    /// The run's keys.
    pub keys: RunKeys,
    /// Holds the directory of trusted certificates.
    pub dir: PathBuf,
    /// Dates tokens and answers.
    pub clock: Arc<dyn Clock>,
    /// The partner's side.
    pub admin: Arc<dyn MirrorAdmin>,
    /// Where its mirrors are; a foreign endpoint knows that itself.
    pub mirrors: Option<Arc<dyn Mirrors>>,
    /// Which server, and how calls reach it.
    pub transport: Transport,
}

impl HostSettings {
    fn mirrors(&self) -> Result<&dyn Mirrors, HostError> {
        let mirrors = self.mirrors.as_deref();
        mirrors.ok_or_else(|| HostError("nobody said where its mirrors are".into()))
    }

    fn key_set(&self) -> Result<&KeySet, HostError> {
        let set = self.keys.set.as_deref();
        set.ok_or_else(|| HostError("the run has no keys of its own".into()))
    }

    /// How a server of our own is called.
    fn options(&self, url: &str) -> HttpsOptions {
        HttpsOptions {
            trust: Roots::File(self.dir.join(CA)),
            ..HttpsOptions::new(url)
        }
    }
}

/// The server under test. As an [`Endpoint`] it leads to whichever start of it is running; to none, the connection is
/// refused.
pub struct Host {
    settings: HostSettings,
    reached: RwLock<Option<Reached>>,
    store_faults: Arc<StoreFaults>,
    /// What the next call of a tenant meets on the wire.
    wire_faults: Mutex<BTreeMap<String, WireFault>>,
    running: Arc<Mutex<Option<Running>>>,
}

/// How the server is reached now.
#[derive(Clone)]
enum Reached {
    /// There is no wire.
    Straight(Arc<dyn Endpoint>),
    /// Over the network.
    Over(Arc<Way>),
}

/// What ends with the server.
enum Running {
    Task(JoinHandle<io::Result<()>>),
    Child(ChildProcess),
}

impl Host {
    /// A server that is not started yet.
    ///
    /// # Errors
    /// [`HostError`] where its directory cannot be written.
    pub fn new(settings: HostSettings) -> Result<Host, HostError> {
        if !matches!(settings.transport, Transport::Foreign(_)) {
            settings.write()?;
        }
        Ok(Host {
            settings,
            reached: RwLock::new(None),
            store_faults: Arc::default(),
            wire_faults: Mutex::default(),
            running: Arc::default(),
        })
    }

    /// Whether it is running. Of one that is not ours, nobody here knows otherwise.
    pub fn is_running(&self) -> bool {
        self.reached
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Starts it, on what an earlier start committed. One that is not ours runs already; it heeds no options.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn start(&self, options: ServerOptions) -> Result<(), HostError> {
        let over = |way: Way| Reached::Over(Arc::new(way));
        let reached = match &self.settings.transport {
            Transport::InProcess => Reached::Straight(Arc::new(Direct {
                service: self.service(options, None)?,
            })),
            Transport::Tls(handle) => over(self.listen(handle, Arc::new(self.service(options, None)?))?),
            Transport::Defective(defect) => {
                let layers = Layers::new(defect);
                let service = self.service(layers.options(options), Some(&layers))?;
                let keys = self.settings.keys.clone();
                Reached::Straight(layers.endpoint(service, keys, Arc::clone(&self.settings.clock)))
            }
            Transport::Child(child) => over(self.start_child(child, options)?),
            Transport::Foreign(foreign) => over(
                Way::new(foreign.options.clone(), &foreign.runtime)
                    .map_err(|error| HostError(error.to_string()))?,
            ),
        };
        *self.reached.write().unwrap_or_else(PoisonError::into_inner) = Some(reached);
        Ok(())
    }

    /// Ends it at once, as a killed process ends: nothing is said to anybody. One that is not ours goes on running;
    /// nobody calls it any more.
    pub fn kill(&self) {
        *self.reached.write().unwrap_or_else(PoisonError::into_inner) = None;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        match running {
            Some(Running::Task(task)) => task.abort(),
            Some(Running::Child(mut process)) => process.kill(),
            None => {}
        }
    }

    /// A call under which the server dies: really where it is a process of its own, and as it would look like elsewhere.
    fn dies_under(
        &self,
        call: &OutgoingCall,
        reached: &Reached,
        fault: WireFault,
    ) -> Result<Reply, TransportError> {
        let is_child = matches!(self.settings.transport, Transport::Child(_));
        let answered = match reached {
            Reached::Over(way) if is_child => {
                let running = Arc::clone(&self.running);
                let kill = move || {
                    let taken = running.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(Running::Child(mut process)) = taken {
                        process.kill();
                    }
                };
                way.call_over(
                    call,
                    fault,
                    Death {
                        kill: Box::new(kill),
                        log: self.log_of(&call.context),
                    },
                )
            }
            Reached::Over(way) => pretend(way.as_ref(), call, fault),
            Reached::Straight(endpoint) => {
                if matches!(fault, WireFault::Killed(KillPoint::Working | KillPoint::Log(_))) {
                    // It works on the call to its commit, and what it answers nobody hears.
                    self.store_faults.set(&call.context, Some(StoreFault::Dies));
                    let _ = endpoint.call(call);
                    self.store_faults.set(&call.context, None);
                }
                pretend(endpoint.as_ref(), call, fault)
            }
        };
        self.kill();
        answered
    }

    /// SQLite's own log of a tenant's mirror.
    fn log_of(&self, context: &str) -> PathBuf {
        match self
            .settings
            .mirrors
            .as_ref()
            .map(|mirrors| mirrors.place(context))
        {
            Some(MirrorPlace::SqliteFile(path)) => {
                let mut log = path.into_os_string();
                log.push("-wal");
                log.into()
            }
            _ => PathBuf::new(),
        }
    }

    fn runs(&self, running: Running) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }
}

impl Endpoint for Host {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let reached = self
            .reached
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let fault = self
            .wire_faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&call.context);
        if let (Some(reached), Some(fault @ WireFault::Killed(_))) = (&reached, fault) {
            return self.dies_under(call, reached, fault);
        }
        match (reached, fault) {
            (Some(Reached::Straight(endpoint)), None) => endpoint.call(call),
            (Some(Reached::Straight(endpoint)), Some(fault)) => pretend(endpoint.as_ref(), call, fault),
            (Some(Reached::Over(way)), None) => way.call(call),
            (Some(Reached::Over(way)), Some(fault)) => way.call_over(call, fault, Death::none()),
            (None, _) => Err(TransportError::Connect {
                endpoint: "the server".into(),
                why: "connection refused: it is not running".into(),
            }),
        }
    }
}

impl OwnServer for Host {
    fn stop(&self) {
        self.kill();
    }

    fn meets(&self, context: &str, meeting: Option<Meeting>) {
        let mut wire = self.wire_faults.lock().unwrap_or_else(PoisonError::into_inner);
        match meeting {
            Some(Meeting::Wire(fault)) => {
                wire.insert(context.to_owned(), fault);
            }
            Some(Meeting::Store(fault)) => self.store_faults.set(context, Some(fault)),
            None => {
                wire.remove(context);
                self.store_faults.set(context, None);
            }
        }
    }
}

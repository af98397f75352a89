//! The server under test: started, stopped, killed and started anew on what it had committed.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::names::{CONTENT_TYPE, SERVICE_FILE};
use mirrorlab_server::admin::MirrorAdmin;
use mirrorlab_server::http::{self, HttpSettings, tls};
use mirrorlab_server::operations::{Mirroring, Options};
use mirrorlab_server::service::{Call, CallHead, Service};
use mirrorlab_server::store::MirrorStore;
use mirrorlab_server::store::sqlite::{SqliteOptions, SqliteStore};
use mirrorlab_server::trust::Trust;
use mirrorlab_server::trust::directory::CertificateDirectory;
use mirrorlab_server::trust::resolver::{CertificateResolver, KeyId, ResolveError, ResolverLimits};
use mirrorlab_simulator::endpoint::https::{
    CALL_TIMEOUT_DEFAULT, HttpsEndpoint, HttpsOptions, Trust as Roots,
};
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::faults::{Meeting, OwnServer};
use super::keys::{APPLICATION_ID, RunKeys};
use super::store::{FaultyStore, StoreFaults};
use super::wire::{OneCall, WireFault};
use crate::defects::{Defect, Layers};
use crate::scenario::model::CertificateStrategy;

/// The file with the authority of the listener's certificate.
const CA: &str = "tls-ca.pem";

/// How calls reach the server.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Over TLS on loopback: the real wire.
    Tls(Handle),
    /// Straight into the service, with the same bytes: one thread, and it repeats.
    InProcess,
    /// As [`Transport::InProcess`], into a server with a defect.
    Defective(&'static Defect),
}

impl Transport {
    /// Whether both sides are one thread, so that a run repeats.
    pub fn is_in_process(&self) -> bool {
        !matches!(self, Transport::Tls(_))
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
    /// How calls reach it.
    pub transport: Transport,
}

/// The server under test. As an [`Endpoint`] it leads to whichever start of it is running; to none, the connection is
/// refused.
pub struct Host {
    settings: HostSettings,
    endpoint: RwLock<Option<Arc<dyn Endpoint>>>,
    /// Where it listens, while it does.
    address: Mutex<Option<SocketAddr>>,
    store_faults: Arc<StoreFaults>,
    /// What the next call of a tenant meets on the wire.
    wire_faults: Mutex<BTreeMap<String, WireFault>>,
    running: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Host {
    /// A server that is not started yet.
    ///
    /// # Errors
    /// [`HostError`] where its directory cannot be written.
    pub fn new(settings: HostSettings) -> Result<Host, HostError> {
        let trusted = trusted_dir(&settings.dir);
        let write = || {
            std::fs::create_dir_all(&trusted)?;
            std::fs::write(
                trusted.join("superoffice.cer"),
                settings.keys.authority.certificate_pem(),
            )?;
            std::fs::write(settings.dir.join(CA), &settings.keys.set.tls_ca)
        };
        write().map_err(|error| HostError(format!("{}: {error}", trusted.display())))?;
        Ok(Host {
            settings,
            endpoint: RwLock::new(None),
            address: Mutex::new(None),
            store_faults: Arc::default(),
            wire_faults: Mutex::default(),
            running: Mutex::new(None),
        })
    }

    /// Whether it is running.
    pub fn is_running(&self) -> bool {
        self.endpoint
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Starts it, on what an earlier start committed.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn start(&self, options: ServerOptions) -> Result<(), HostError> {
        let endpoint: Arc<dyn Endpoint> = match &self.settings.transport {
            Transport::InProcess => Arc::new(Direct {
                service: self.service(options, None)?,
            }),
            Transport::Tls(handle) => self.listen(handle, Arc::new(self.service(options, None)?))?,
            Transport::Defective(defect) => {
                let layers = Layers::new(defect);
                let service = self.service(layers.options(options), Some(&layers))?;
                let keys = self.settings.keys.clone();
                layers.endpoint(service, keys, Arc::clone(&self.settings.clock))
            }
        };
        *self.endpoint.write().unwrap_or_else(PoisonError::into_inner) = Some(endpoint);
        Ok(())
    }

    /// Ends it at once, as a killed process ends: nothing is said to anybody.
    pub fn kill(&self) {
        *self.endpoint.write().unwrap_or_else(PoisonError::into_inner) = None;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = running {
            task.abort();
        }
    }

    fn service(&self, options: ServerOptions, layers: Option<&Layers>) -> Result<Service, HostError> {
        let failed = |error: &dyn std::fmt::Display| HostError(error.to_string());
        let clock: Arc<dyn Clock> = Arc::new(Skewed {
            clock: Arc::clone(&self.settings.clock),
            seconds: options.clock_skew,
        });
        let mut trust = Trust::new(APPLICATION_ID, Arc::clone(&clock));
        trust = match options.certificates {
            CertificateStrategy::Directory => {
                let directory =
                    CertificateDirectory::open(&trusted_dir(&self.settings.dir)).map_err(|e| failed(&e))?;
                trust.with_directory(directory)
            }
            CertificateStrategy::Resolver => {
                let known = self.settings.keys.authority.certificate().clone();
                trust.with_resolver(Box::new(KnowsOne(known)), ResolverLimits::default())
            }
        };
        if options.refuse_replays {
            trust = trust.refusing_replays();
        }
        let mut store: Arc<dyn MirrorStore> = Arc::new(FaultyStore::new(
            Arc::new(SqliteStore::new(SqliteOptions {
                durability: Durability::Fast,
                ..SqliteOptions::default()
            })),
            Arc::clone(&self.store_faults),
        ));
        let mut admin = Arc::clone(&self.settings.admin);
        if let Some(layers) = layers {
            store = layers.store(store);
            admin = layers.admin(admin);
        }
        let mirroring = Mirroring {
            store,
            admin,
            options: Options {
                drop_guard: options.drop_guard,
            },
        };
        Ok(Service::new(
            trust,
            mirroring,
            self.settings.keys.application.clone(),
            clock,
        ))
    }

    fn listen(&self, handle: &Handle, service: Arc<Service>) -> Result<Arc<dyn Endpoint>, HostError> {
        let failed = |error: &dyn std::fmt::Display| HostError(error.to_string());
        let keys = &self.settings.keys;
        let tls = tls::server_config(keys.set.tls_certificate.as_bytes(), keys.set.tls_key.as_bytes())
            .map_err(|e| failed(&e))?;
        let http = HttpSettings {
            tls: Some(tls),
            ..HttpSettings::default()
        };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = handle
            .block_on(TcpListener::bind(loopback))
            .map_err(|e| failed(&e))?;
        let address = listener.local_addr().map_err(|e| failed(&e))?;
        let task = handle.spawn(http::serve(listener, service, http, std::future::pending()));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        let endpoint = HttpsEndpoint::new(self.client(address.port(), false), handle.clone());
        Ok(Arc::new(endpoint.map_err(|e| failed(&e))?))
    }

    fn client(&self, port: u16, close: bool) -> HttpsOptions {
        HttpsOptions {
            trust: Roots::File(self.settings.dir.join(CA)),
            close,
            ..HttpsOptions::new(&format!("https://localhost:{port}/{SERVICE_FILE}"))
        }
    }

    /// A call that meets something on the wire: really there, and as it would look like where there is no wire.
    fn call_over(
        &self,
        endpoint: &dyn Endpoint,
        call: &OutgoingCall,
        fault: WireFault,
    ) -> Result<Reply, TransportError> {
        let address = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
        let (Transport::Tls(runtime), Some(address)) = (&self.settings.transport, address) else {
            return pretend(endpoint, call, fault);
        };
        let broken = |why: String| TransportError::Broken {
            endpoint: "the server".into(),
            why,
        };
        let mut proxy = OneCall::new(runtime, address, fault, call.body.len())
            .map_err(|error| broken(format!("this run has no port for a proxy: {error}")))?;
        let client = HttpsEndpoint::new(self.client(proxy.port, true), runtime.clone())
            .map_err(|error| broken(error.to_string()))?;
        let patience = &mut proxy.patience;
        let answered = client.call_until(call, async {
            if patience.await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        // The call's own connection goes with its client; only then is the proxy done.
        drop(client);
        if let Err(error) = proxy.finish(runtime) {
            tracing::debug!(%error, ?fault, "a proxy's connection ended otherwise than meant");
        }
        answered
    }
}

fn trusted_dir(dir: &Path) -> PathBuf {
    dir.join("trusted")
}

impl Endpoint for Host {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let endpoint = self
            .endpoint
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let fault = self
            .wire_faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&call.context);
        match (endpoint, fault) {
            (Some(endpoint), None) => endpoint.call(call),
            (Some(endpoint), Some(fault)) => self.call_over(endpoint.as_ref(), call, fault),
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

/// What a call comes to where there is no wire.
fn pretend(endpoint: &dyn Endpoint, call: &OutgoingCall, fault: WireFault) -> Result<Reply, TransportError> {
    let server = || "the server".to_owned();
    let broken = |why: &str| TransportError::Broken {
        endpoint: server(),
        why: why.to_owned(),
    };
    let late = TransportError::TimedOut {
        endpoint: server(),
        limit: CALL_TIMEOUT_DEFAULT,
    };
    match fault {
        WireFault::Refused => Err(TransportError::Connect {
            endpoint: server(),
            why: "connection refused; nothing listens there".into(),
        }),
        WireFault::ResetBefore | WireFault::ResetHalfway => {
            Err(broken("it was reset before the call had arrived"))
        }
        WireFault::Stalled => Err(late),
        WireFault::AnswerLost => {
            endpoint.call(call)?;
            Err(broken("it was reset before the answer had arrived"))
        }
        WireFault::AnswerTruncated => {
            endpoint.call(call)?;
            Err(broken("it was closed before the answer was whole"))
        }
        WireFault::AnswerLate => {
            endpoint.call(call)?;
            Err(late)
        }
    }
}

/// A clock that is off.
struct Skewed {
    clock: Arc<dyn Clock>,
    seconds: i64,
}

impl Clock for Skewed {
    fn now(&self) -> i64 {
        self.clock.now().saturating_add(self.seconds)
    }
}

/// Straight into the service.
struct Direct {
    service: Service,
}

impl Endpoint for Direct {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let action = format!("\"{}\"", call.operation.action());
        let head = CallHead {
            method: "POST",
            address: SERVICE_FILE,
            query: None,
            content_type: Some(CONTENT_TYPE),
            soap_action: Some(&action),
        };
        let answer = self.service.handle(&Call {
            head,
            body: &call.body,
        });
        Ok(Reply {
            status: answer.status,
            content_type: answer.content_type.to_owned(),
            body: answer.body,
        })
    }
}

/// A resolver that knows the run's own SuperOffice.
struct KnowsOne(Certificate);

impl CertificateResolver for KnowsOne {
    fn resolve(&self, key: &KeyId) -> Result<Option<Certificate>, ResolveError> {
        Ok(key.names(&self.0).then(|| self.0.clone()))
    }
}

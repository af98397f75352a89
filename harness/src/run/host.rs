//! The server under test: started, stopped, killed and started anew on what it had committed.

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
use mirrorlab_simulator::endpoint::https::{HttpsEndpoint, HttpsOptions, Trust as Roots};
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::keys::{APPLICATION_ID, RunKeys};
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
        let clock = Arc::clone(&self.settings.clock);
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
        let mut store: Arc<dyn MirrorStore> = Arc::new(SqliteStore::new(SqliteOptions {
            durability: Durability::Fast,
            ..SqliteOptions::default()
        }));
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
        let url = format!("https://localhost:{}/{SERVICE_FILE}", address.port());
        let options = HttpsOptions {
            trust: Roots::File(self.settings.dir.join(CA)),
            ..HttpsOptions::new(&url)
        };
        let endpoint = HttpsEndpoint::new(options, handle.clone()).map_err(|e| failed(&e))?;
        Ok(Arc::new(endpoint))
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
        match endpoint {
            Some(endpoint) => endpoint.call(call),
            None => Err(TransportError::Connect {
                endpoint: "the server".into(),
                why: "connection refused: it is not running".into(),
            }),
        }
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

//! The built-in server inside this process: its service, its listener, the straight way in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::names::{CONTENT_TYPE, SERVICE_FILE};
use mirrorlab_server::http::{self, HttpSettings, tls};
use mirrorlab_server::operations::{Mirroring, Options};
use mirrorlab_server::service::{Call, CallHead, Service};
use mirrorlab_server::store::MirrorStore;
use mirrorlab_server::trust::Trust;
use mirrorlab_server::trust::directory::CertificateDirectory;
use mirrorlab_server::trust::resolver::{CertificateResolver, KeyId, ResolveError, ResolverLimits};
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::way::Way;
use super::{Host, HostError, HostSettings, Running, ServerOptions};
use crate::defects::Layers;
use crate::run::store::FaultyStore;
use crate::scenario::model::CertificateStrategy;

impl Host {
    pub(super) fn service(
        &self,
        options: ServerOptions,
        layers: Option<&Layers>,
    ) -> Result<Service, HostError> {
        let failed = |error: &dyn std::fmt::Display| HostError(error.to_string());
        let clock: Arc<dyn Clock> = Arc::new(Skewed {
            clock: Arc::clone(&self.settings.clock),
            seconds: options.clock_skew,
        });
        let keys = &self.settings.keys;
        let mut trust = Trust::new(&keys.application_id, Arc::clone(&clock));
        trust = match options.certificates {
            CertificateStrategy::Directory => {
                let directory =
                    CertificateDirectory::open(&trusted_dir(&self.settings.dir)).map_err(|e| failed(&e))?;
                trust.with_directory(directory)
            }
            CertificateStrategy::Resolver => {
                let known = keys.authority.certificate().clone();
                trust.with_resolver(Box::new(KnowsOne(known)), ResolverLimits::default())
            }
        };
        if options.refuse_replays {
            trust = trust.refusing_replays();
        }
        let mut store: Arc<dyn MirrorStore> = Arc::new(FaultyStore::new(
            self.settings.mirrors()?.store(),
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
            keys.signer
                .clone()
                .ok_or_else(|| failed(&"it has no key to sign with"))?,
            clock,
        ))
    }

    pub(super) fn listen(&self, handle: &Handle, service: Arc<Service>) -> Result<Way, HostError> {
        let failed = |error: &dyn std::fmt::Display| HostError(error.to_string());
        let set = self.settings.key_set()?;
        let tls = tls::server_config(set.tls_certificate.as_bytes(), set.tls_key.as_bytes())
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
        self.runs(Running::Task(task));
        let url = format!("https://localhost:{}/{SERVICE_FILE}", address.port());
        Way::new(self.settings.options(&url), handle).map_err(|e| failed(&e))
    }
}

impl HostSettings {
    /// Writes what servers read at their start.
    pub(super) fn write(&self) -> Result<(), HostError> {
        let trusted = trusted_dir(&self.dir);
        let set = self.key_set()?;
        let write = || {
            std::fs::create_dir_all(&trusted)?;
            std::fs::write(
                trusted.join("superoffice.cer"),
                self.keys.authority.certificate_pem(),
            )?;
            std::fs::write(self.dir.join(super::CA), &set.tls_ca)
        };
        write().map_err(|error| HostError(format!("{}: {error}", trusted.display())))
    }
}

/// The directory of SuperOffice's certificates that a server of this world trusts.
pub(super) fn trusted_dir(dir: &Path) -> PathBuf {
    dir.join("trusted")
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
pub(super) struct Direct {
    pub(super) service: Service,
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

//! Broken servers: mirroring servers with one mistake each, as partners really make them. A harness that calls one of
//! them right is not worth running.
//!
//! A defect is a layer around the sound server: around its store and its transactions, around MirrorAdmin, around the
//! check of tokens, around the bytes of calls and answers. Production code holds no trace of any.
//!
//! - [`catalogue`]: all of them
//! - [`cells`]: values that are stored as others
//! - [`store`]: what is done to tables, rows and LSNs
//! - [`admin`]: the partner's side
//! - [`trust`]: who is let in
//! - [`messages`]: calls and answers
//! - [`memory`]: what the layers of one server know together
//! - [`hunt`]: which scenario catches a defect, and by which check

pub mod admin;
pub mod catalogue;
pub mod cells;
pub mod hunt;
pub mod memory;
pub mod messages;
pub mod store;
pub mod trust;

use std::sync::Arc;

use mirrorlab_protocol::clock::Clock;
use mirrorlab_server::admin::MirrorAdmin;
use mirrorlab_server::service::Service;
use mirrorlab_server::store::MirrorStore;
use mirrorlab_simulator::endpoint::Endpoint;

use self::admin::AdminMistake;
use self::cells::CellMistake;
use self::memory::Memory;
use self::messages::MessageMistake;
use self::store::StoreMistake;
use self::trust::TrustMistake;
use crate::run::host::ServerOptions;
use crate::run::keys::RunKeys;

/// One broken server.
#[derive(Debug, Clone, Copy)]
pub struct Defect {
    /// Lower-case words with hyphens; it never changes.
    pub id: &'static str,
    /// What is wrong, as seen from outside.
    pub title: &'static str,
    /// What a partner did to get there.
    pub mistake: &'static str,
    /// The scenario that catches it.
    pub scenario: &'static str,
    /// The check of that scenario which fails first.
    pub check: &'static str,
    /// The layer that makes it.
    pub layer: Layer,
}

/// Where a mistake is made.
#[derive(Debug, Clone, Copy)]
pub enum Layer {
    /// A value on its way into the store.
    Cells(CellMistake),
    /// Tables, rows and LSNs.
    Store(StoreMistake),
    /// The partner's side.
    Admin(AdminMistake),
    /// Who is let in.
    Trust(TrustMistake),
    /// Calls and answers.
    Messages(MessageMistake),
    /// A setting that the server does not heed.
    Options(fn(&mut ServerOptions)),
}

/// The layers around one start of a server.
pub struct Layers {
    defect: &'static Defect,
    memory: Arc<Memory>,
}

impl Layers {
    /// A server with this defect, which remembers nothing yet.
    pub fn new(defect: &'static Defect) -> Layers {
        Layers {
            defect,
            memory: Arc::new(Memory::default()),
        }
    }

    /// The settings as the server heeds them.
    pub fn options(&self, mut options: ServerOptions) -> ServerOptions {
        if let Layer::Options(change) = self.defect.layer {
            change(&mut options);
        }
        options
    }

    /// The store, with its layer.
    pub fn store(&self, inner: Arc<dyn MirrorStore>) -> Arc<dyn MirrorStore> {
        let mistake = match self.defect.layer {
            Layer::Cells(mistake) => StoreMistake::Cells(mistake),
            Layer::Store(mistake) => mistake,
            _ => return inner,
        };
        Arc::new(store::BrokenStore::new(inner, mistake, Arc::clone(&self.memory)))
    }

    /// MirrorAdmin, with its layer.
    pub fn admin(&self, inner: Arc<dyn MirrorAdmin>) -> Arc<dyn MirrorAdmin> {
        match self.defect.layer {
            Layer::Admin(mistake) => Arc::new(admin::BrokenAdmin::new(inner, mistake)),
            _ => inner,
        }
    }

    /// The way into the service, with the layers before and behind it.
    pub fn endpoint(&self, service: Service, keys: RunKeys, clock: Arc<dyn Clock>) -> Arc<dyn Endpoint> {
        Arc::new(self.broken(service, keys, clock))
    }

    /// The same, for whoever has a call's HTTP head too.
    pub fn broken(&self, service: Service, keys: RunKeys, clock: Arc<dyn Clock>) -> messages::BrokenEndpoint {
        messages::BrokenEndpoint::new(service, self.defect.layer, keys, clock, Arc::clone(&self.memory))
    }
}

//! The partner's side of the server under test: where mirrors are, and a log that scenarios can look into.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mirrorlab_server::admin::{AdminError, AuthenticateAnswer, DO_NOT_REPLICATE, MirrorAdmin};
use mirrorlab_server::events::Event;
use mirrorlab_server::store::MirrorPlace;

use super::mirror::Mirrors;
use super::mirror::sqlite::SqliteMirrors;

/// Knows where mirrors are, and keeps every event.
pub struct RunAdmin {
    mirrors: Arc<dyn Mirrors>,
    events: Mutex<Vec<Event>>,
    do_not_replicate: AtomicBool,
}

impl RunAdmin {
    /// Mirrors are SQLite files in a directory.
    pub fn new(mirrors: PathBuf) -> RunAdmin {
        RunAdmin::at(Arc::new(SqliteMirrors::in_dir(mirrors)))
    }

    /// Mirrors are where `mirrors` says.
    pub fn at(mirrors: Arc<dyn Mirrors>) -> RunAdmin {
        RunAdmin {
            mirrors,
            events: Mutex::new(Vec::new()),
            do_not_replicate: AtomicBool::new(false),
        }
    }

    /// Whether Authenticate answers `doNotReplicate` from now on.
    pub fn set_do_not_replicate(&self, on: bool) {
        self.do_not_replicate.store(on, Ordering::SeqCst);
    }

    /// The events since the last time, of one tenant and of none.
    pub fn take_events(&self, context: &str) -> Vec<Event> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = |event: &Event| event.context == context || event.context.is_empty();
        let taken = events.iter().filter(|e| of_tenant(e)).cloned().collect();
        events.retain(|event| event.context != context);
        taken
    }
}

impl MirrorAdmin for RunAdmin {
    fn resolve_connection(
        &self,
        context: &str,
        _client_state: Option<&str>,
    ) -> Result<MirrorPlace, AdminError> {
        Ok(self.mirrors.place(context))
    }

    fn on_authenticate(
        &self,
        _context: &str,
        _client_state: Option<&str>,
    ) -> Result<AuthenticateAnswer, AdminError> {
        Ok(AuthenticateAnswer {
            client_state: None,
            additional_information_json: self
                .do_not_replicate
                .load(Ordering::SeqCst)
                .then(|| DO_NOT_REPLICATE.to_owned()),
        })
    }

    fn acts_on_wipe(&self) -> bool {
        false
    }

    fn log_event(&self, event: &Event) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event.clone());
    }
}

//! Mistakes of the partner's own side.

use std::sync::{Arc, Mutex, PoisonError};

use mirrorlab_protocol::message::ReplicationSummary;
use mirrorlab_server::admin::{AdminError, AuthenticateAnswer, MirrorAdmin, TableChange};
use mirrorlab_server::events::{Event, EventKind};
use mirrorlab_server::store::{MirrorPlace, MirrorTransaction};

/// What the partner's side does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminMistake {
    /// Every tenant gets the place of the first one.
    OneDatabaseForAll,
    /// Errors are not logged.
    ErrorsNotLogged,
    /// Warnings are not logged.
    WarningsNotLogged,
    /// `doNotReplicate` is never said.
    NeverDeclines,
    /// What is wanted is written, but not as the contract has it.
    DeclinesInOtherWords,
}

/// MirrorAdmin with a mistake.
pub struct BrokenAdmin {
    inner: Arc<dyn MirrorAdmin>,
    mistake: AdminMistake,
    first: Mutex<Option<MirrorPlace>>,
}

impl BrokenAdmin {
    /// Around `inner`.
    pub fn new(inner: Arc<dyn MirrorAdmin>, mistake: AdminMistake) -> BrokenAdmin {
        BrokenAdmin {
            inner,
            mistake,
            first: Mutex::new(None),
        }
    }
}

impl MirrorAdmin for BrokenAdmin {
    fn resolve_connection(
        &self,
        context: &str,
        client_state: Option<&str>,
    ) -> Result<MirrorPlace, AdminError> {
        let place = self.inner.resolve_connection(context, client_state)?;
        if self.mistake != AdminMistake::OneDatabaseForAll {
            return Ok(place);
        }
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(first.get_or_insert(place).clone())
    }

    fn on_authenticate(
        &self,
        context: &str,
        client_state: Option<&str>,
    ) -> Result<AuthenticateAnswer, AdminError> {
        let mut answer = self.inner.on_authenticate(context, client_state)?;
        answer.additional_information_json = match self.mistake {
            AdminMistake::NeverDeclines => None,
            AdminMistake::DeclinesInOtherWords => answer
                .additional_information_json
                .map(|_| r#"{ "replicate": "false" }"#.to_owned()),
            _ => answer.additional_information_json,
        };
        Ok(answer)
    }

    fn on_before_replicate_table(
        &self,
        context: &str,
        table: &str,
        change: &TableChange,
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        self.inner
            .on_before_replicate_table(context, table, change, client_state, transaction)
    }

    fn acts_on_wipe(&self) -> bool {
        self.inner.acts_on_wipe()
    }

    fn on_wipe(
        &self,
        context: &str,
        table: &str,
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        self.inner.on_wipe(context, table, client_state, transaction)
    }

    fn on_replication_completed(
        &self,
        context: &str,
        changed: &[ReplicationSummary<'_>],
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        self.inner
            .on_replication_completed(context, changed, client_state, transaction)
    }

    fn log_event(&self, event: &Event) {
        let lost = match self.mistake {
            AdminMistake::ErrorsNotLogged => event.kind == EventKind::Error,
            AdminMistake::WarningsNotLogged => event.kind == EventKind::Warning,
            _ => false,
        };
        if !lost {
            self.inner.log_event(event);
        }
    }
}

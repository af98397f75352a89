//! MirrorAdmin: the partner's side of the server, after the vendor's IMirrorAdmin (doc).
//!
//! Calls are re-entrant: many tenants and tables at once, on many threads. A hook gets the call's own transaction, so
//! that what it does is kept or lost together with the rows. A hook that fails refuses its call; one that fails in
//! ReplicationCompleted too, so that the sender's log shows it (assumed).
//!
//! While a hook has the transaction, nobody else can write to the tenant's mirror. So whatever may take long and needs
//! no transaction, a call over the network above all, is done in [`MirrorAdmin::announce`], which holds nothing.

use mirrorlab_protocol::message::ReplicationSummary;

use crate::events::Event;
use crate::store::{MirrorPlace, MirrorTransaction, StoreError};

/// What a TableSchema call did to a table, before its rows come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableChange {
    /// Nothing: it is as it was.
    Unchanged,
    /// It is new, or was gone, and is empty.
    Created,
    /// It was changed in place; its rows are still there.
    Altered {
        /// Columns that are there now and were not.
        added: Vec<String>,
        /// Columns that were there and are gone.
        dropped: Vec<String>,
        /// Columns with another type, nullability or default.
        changed: Vec<String>,
    },
    /// It was dropped and made anew, and is empty.
    Recreated {
        /// What could not be done in place.
        reason: String,
    },
}

/// What is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// Tables are about to be made or changed.
    Tables,
    /// A table is about to be emptied.
    Wipe,
    /// A cycle has ended.
    Completed,
}

/// Something that a call is about to do, told while no transaction is open.
#[derive(Debug, Clone, Copy)]
pub enum Announcement<'a> {
    /// This table is about to be made or changed so.
    Table {
        /// The table.
        table: &'a str,
        /// Never [`TableChange::Unchanged`].
        change: &'a TableChange,
    },
    /// This table is about to be emptied.
    Wipe {
        /// The table.
        table: &'a str,
    },
    /// A cycle has ended.
    Completed {
        /// Empty after a quiet cycle (seen).
        changed: &'a [ReplicationSummary<'a>],
    },
}

/// What a partner's Authenticate answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthenticateAnswer {
    /// Handed back in every later request of the cycle (doc).
    pub client_state: Option<String>,
    /// [`DO_NOT_REPLICATE`] ends the cycle there, without error (doc).
    pub additional_information_json: Option<String>,
}

/// The answer's JSON that tells the sender to leave this cycle out (doc).
pub const DO_NOT_REPLICATE: &str = r#"{ "doNotReplicate": "true" }"#;

/// Why a partner's hook failed. Displayed, it is part of the refusal's text.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct AdminError {
    /// What failed, and what to do about it. No secrets: the sender's log shows it.
    pub message: String,
    /// Details for the server's own log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl AdminError {
    /// An error that has nothing but its text.
    pub fn new(message: impl Into<String>) -> AdminError {
        AdminError {
            message: message.into(),
            source: None,
        }
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> AdminError {
        AdminError {
            message: error.to_string(),
            source: Some(Box::new(error)),
        }
    }
}

/// What a partner decides: where mirrors live, and what happens around replication.
pub trait MirrorAdmin: Send + Sync {
    /// Where the mirror of tenant `context` lives. It is made there on the tenant's first call. Asked in every call but
    /// Authenticate; the same tenant must get the same place each time.
    ///
    /// # Errors
    /// [`AdminError`] refuses the call.
    fn resolve_connection(
        &self,
        context: &str,
        client_state: Option<&str>,
    ) -> Result<MirrorPlace, AdminError>;

    /// What Authenticate answers beside its signed token. Unless a partner says otherwise: nothing to hand back, and
    /// replicate.
    ///
    /// # Errors
    /// [`AdminError`] refuses the call, which ends the sender's cycle with an error.
    fn on_authenticate(
        &self,
        context: &str,
        client_state: Option<&str>,
    ) -> Result<AuthenticateAnswer, AdminError> {
        let _ = (context, client_state);
        Ok(AuthenticateAnswer::default())
    }

    /// Whether [`MirrorAdmin::announce`] wants to be told. Where it does not, the mirror is not looked at twice.
    fn announces(&self, what: Announced) -> bool {
        let _ = what;
        false
    }

    /// A call is about to do all of `announcements`. Told before the call's transaction, in which the other hooks come:
    /// who looks into the mirror still sees it as it was, and may write to it. What was announced may still fail, and a
    /// call that meets a passing error of its database is announced again.
    ///
    /// # Errors
    /// [`AdminError`] refuses the call; nothing of it is done.
    fn announce(
        &self,
        context: &str,
        client_state: Option<&str>,
        announcements: &[Announcement<'_>],
    ) -> Result<(), AdminError> {
        let _ = (context, client_state, announcements);
        Ok(())
    }

    /// A TableSchema call has brought `table` up to date, and rows may follow. Called for every table of the call, after
    /// all of them are in shape, in the order sent.
    ///
    /// # Errors
    /// [`AdminError`] refuses the call; nothing of it is kept.
    fn on_before_replicate_table(
        &self,
        context: &str,
        table: &str,
        change: &TableChange,
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        let _ = (context, table, change, client_state, transaction);
        Ok(())
    }

    /// Whether [`MirrorAdmin::on_wipe`] does anything. Where it does, a Wipe call has the tenant's mirror to itself; where it
    /// does not, calls on other tables may go on beside it.
    fn acts_on_wipe(&self) -> bool {
        true
    }

    /// `table` was emptied.
    ///
    /// # Errors
    /// [`AdminError`] refuses the call; the rows are kept.
    fn on_wipe(
        &self,
        context: &str,
        table: &str,
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        let _ = (context, table, client_state, transaction);
        Ok(())
    }

    /// A cycle has ended: the place for indexes and derived data. `changed` is empty after a quiet cycle (seen).
    ///
    /// # Errors
    /// [`AdminError`] refuses the call. The cycle's rows were kept by their own calls.
    fn on_replication_completed(
        &self,
        context: &str,
        changed: &[ReplicationSummary<'_>],
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        let _ = (context, changed, client_state, transaction);
        Ok(())
    }

    /// Something happened that the partner's log should have.
    fn log_event(&self, event: &Event);
}

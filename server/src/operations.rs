//! The five operations on a tenant's mirror: each call is one transaction, kept whole or not at all.
//!
//! - `table_schema`: every mirrored table's schema, answered with the LSNs
//! - `row_data`: rows
//!
//! A refusal names the tenant, says what is wrong and what to do about it, and is an Error event as well.

mod row_data;
mod table_schema;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use mirrorlab_protocol::message::{
    AuthenticateDetail, ReplicationSummary, Request, Response, ResponseDetail,
};
use mirrorlab_protocol::names::Operation;

use crate::admin::{AdminError, Announced, Announcement, MirrorAdmin};
use crate::events::{Event, EventKind};
use crate::store::{MirrorPlace, MirrorStore, MirrorTransaction, Scope, StoreError, StoredTable};

/// `SupportedInterfaces` of every Authenticate answer (seen).
pub const SUPPORTED_INTERFACES: &str = "1";
/// `SuperOfficeMirroringBuild` of every Authenticate answer (seen).
pub const BUILD: &str = "4.0.0.0/Release_1";

/// What a partner may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Refuse a TableSchema call that would drop more than half of ten or more tables, instead of only warning.
    pub drop_guard: bool,
}

/// The mirroring service behind its door: who calls is known by now, what they ask is done here.
pub struct Mirroring {
    /// Where mirrors live.
    pub store: Arc<dyn MirrorStore>,
    /// The partner's side.
    pub admin: Arc<dyn MirrorAdmin>,
    /// What the partner chose.
    pub options: Options,
}

/// Why a call was refused. Displayed, it is the text for the caller, without the tenant.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{hook} failed: {error}")]
    Admin {
        /// MirrorAdmin's call.
        hook: &'static str,
        #[source]
        error: AdminError,
    },
    #[error("{0}")]
    Request(String),
}

impl Refusal {
    fn admin(hook: &'static str) -> impl Fn(AdminError) -> Refusal {
        move |error| Refusal::Admin { hook, error }
    }
}

/// What every call needs to know.
#[derive(Clone, Copy)]
struct Call<'c> {
    context: &'c str,
    client_state: Option<&'c str>,
}

impl Mirroring {
    /// Does what `request` asks for tenant `context`. A refusal is a response too, and an Error event. Authenticate's
    /// `signed_application_token` is left `None`: who holds the key fills it in.
    pub fn run(&self, context: &str, request: &Request<'_>) -> Response {
        let call = Call {
            context,
            client_state: request.client_state(),
        };
        let operation = request.operation();
        let (came, mut attempt) = (Instant::now(), 1);
        let done = loop {
            match self.work(call, request) {
                Err(Refusal::Store(error)) => {
                    match self.store.pause_before_retry(&error, attempt, came.elapsed()) {
                        // Nothing of it was kept: the whole call is done anew, hooks too.
                        Some(pause) => {
                            tracing::info!(context, %operation, %error, attempt, "doing the call anew");
                            std::thread::sleep(pause);
                            attempt += 1;
                        }
                        None => break Err(Refusal::Store(error)),
                    }
                }
                done => break done,
            }
        };
        match done {
            Ok(detail) => Response::success(detail),
            Err(refusal) => {
                let kept = match operation {
                    Operation::Authenticate => "",
                    _ => "; nothing of this call is kept",
                };
                let text = format!("{context}, {operation}: {refusal}{kept}");
                self.log(call, operation, EventKind::Error, text.clone(), causes(&refusal));
                Response::refusal(operation, text)
            }
        }
    }

    fn work(&self, call: Call<'_>, request: &Request<'_>) -> Result<ResponseDetail, Refusal> {
        match request {
            Request::Authenticate { .. } => self.authenticate(call),
            Request::TableSchema { tables, .. } => self.table_schema(call, tables),
            Request::RowData { batches, .. } => self.row_data(call, batches),
            Request::Wipe { table, .. } => self.wipe(call, table.as_deref()),
            Request::ReplicationCompleted { changed, .. } => self.replication_completed(call, changed),
        }
    }

    fn authenticate(&self, call: Call<'_>) -> Result<ResponseDetail, Refusal> {
        let answer = self
            .admin
            .on_authenticate(call.context, call.client_state)
            .map_err(Refusal::admin("OnAuthenticate"))?;
        Ok(ResponseDetail::Authenticate(AuthenticateDetail {
            signed_application_token: None,
            supported_interfaces: Some(SUPPORTED_INTERFACES.into()),
            build: Some(BUILD.into()),
            client_state: answer.client_state,
            additional_information_json: answer.additional_information_json,
        }))
    }

    fn wipe(&self, call: Call<'_>, table: Option<&str>) -> Result<ResponseDetail, Refusal> {
        let name = table
            .filter(|t| !t.is_empty())
            .ok_or_else(|| Refusal::Request("the request has no TableName".into()))?;
        if self.admin.announces(Announced::Wipe) {
            let stored = present_table(self.begin(call, Scope::Tables(&[name]))?.as_mut(), name)?;
            let table = &stored.table.name;
            self.announce(call, "OnWipe", &[Announcement::Wipe { table }])?;
        }
        let scope = match self.admin.acts_on_wipe() {
            true => Scope::Tenant,
            false => Scope::Tables(&[name]),
        };
        let mut transaction = self.begin(call, scope)?;
        let stored = present_table(transaction.as_mut(), name)?;
        transaction.wipe(&stored.table)?;
        self.admin
            .on_wipe(
                call.context,
                &stored.table.name,
                call.client_state,
                transaction.as_mut(),
            )
            .map_err(Refusal::admin("OnWipe"))?;
        transaction.commit()?;
        Ok(ResponseDetail::Wipe)
    }

    fn replication_completed(
        &self,
        call: Call<'_>,
        changed: &[ReplicationSummary<'_>],
    ) -> Result<ResponseDetail, Refusal> {
        if self.admin.announces(Announced::Completed) {
            let what = [Announcement::Completed { changed }];
            self.announce(call, "OnReplicationCompleted", &what)?;
        }
        let place = self.place(call)?;
        let mut transaction = self.store.begin(call.context, &place)?;
        self.admin
            .on_replication_completed(call.context, changed, call.client_state, transaction.as_mut())
            .map_err(Refusal::admin("OnReplicationCompleted"))?;
        transaction.commit()?;
        self.store.rest(call.context, &place);
        let total = |count: fn(&ReplicationSummary<'_>) -> i32| {
            changed.iter().map(|s| i64::from(count(s))).sum::<i64>()
        };
        let message = format!(
            "replication completed: {} changed, {} inserts, {} updates, {} deletes",
            counted(changed.len(), "table"),
            total(|s| s.inserts),
            total(|s| s.updates),
            total(|s| s.deletes)
        );
        let tables: Vec<String> = changed
            .iter()
            .map(|s| {
                let table = mirrorlab_protocol::excerpt(s.table.as_deref().unwrap_or_default());
                format!("{table}: {}/{}/{}", s.inserts, s.updates, s.deletes)
            })
            .collect();
        self.log(
            call,
            Operation::ReplicationCompleted,
            EventKind::Information,
            message,
            tables.join(", "),
        );
        Ok(ResponseDetail::ReplicationCompleted)
    }

    fn place(&self, call: Call<'_>) -> Result<MirrorPlace, Refusal> {
        self.admin
            .resolve_connection(call.context, call.client_state)
            .map_err(Refusal::admin("ResolveConnection"))
    }

    fn begin(&self, call: Call<'_>, scope: Scope<'_>) -> Result<Box<dyn MirrorTransaction + '_>, Refusal> {
        Ok(self.store.begin_on(call.context, &self.place(call)?, scope)?)
    }

    fn announce(
        &self,
        call: Call<'_>,
        hook: &'static str,
        announcements: &[Announcement<'_>],
    ) -> Result<(), Refusal> {
        self.admin
            .announce(call.context, call.client_state, announcements)
            .map_err(Refusal::admin(hook))
    }

    fn log(&self, call: Call<'_>, operation: Operation, kind: EventKind, message: String, info: String) {
        self.admin.log_event(&Event {
            context: call.context.to_owned(),
            operation: Some(operation),
            kind,
            message,
            additional_info: info,
        });
    }
}

/// A table that rows can go to: listed, and there.
fn present_table(transaction: &mut dyn MirrorTransaction, name: &str) -> Result<StoredTable, Refusal> {
    let stored = transaction
        .table(name)?
        .ok_or_else(|| StoreError::UnknownTable(mirrorlab_protocol::excerpt(name)))?;
    if !stored.present {
        return Err(Refusal::Request(format!(
            "table `{}` was dropped from the mirror by hand; send TableSchema first, which makes it anew",
            stored.table.name
        )));
    }
    Ok(stored)
}

/// What lies behind a refusal, for the log.
fn causes(refusal: &Refusal) -> String {
    let mut causes = Vec::new();
    let mut next = refusal.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.join("; ")
}

/// `1 table`, `2 tables`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

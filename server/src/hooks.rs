//! The MirrorAdmin for people who write no Rust: a name template says where mirrors live, and for each event a SQL file is
//! run in the tenant's mirror, or a webhook is called.
//!
//! SQL runs inside the call's own transaction, so that it is kept or lost with the rows. Files are read anew for each
//! event: they may be edited while the server runs. A table without a change has no event before its rows: an index or a
//! view is still there.
//!
//! - [`webhook`]: the POST and its JSON

pub mod webhook;

use std::fs;
use std::path::{Path, PathBuf};

use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::message::ReplicationSummary;
use mirrorlab_protocol::names::Operation;

use crate::admin::{AdminError, MirrorAdmin, TableChange};
use crate::events::{Event, EventKind};
use crate::store::{MirrorPlace, MirrorTransaction};
use webhook::{Notice, Webhook};

/// What stands for the tenant in a name template.
pub const CONTEXT_PLACE: &str = "{context}";

/// How a tenant's mirror is named: `Mirror_{context}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTemplate(String);

impl Default for NameTemplate {
    fn default() -> NameTemplate {
        NameTemplate(format!("Mirror_{CONTEXT_PLACE}"))
    }
}

impl NameTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// A text that says what was expected: `{context}` once, so that no two tenants share a mirror, and nothing that leads
    /// to another directory or that some file system does not take.
    pub fn parse(text: &str) -> Result<NameTemplate, String> {
        let shown = excerpt(text);
        if text.matches(CONTEXT_PLACE).count() != 1 {
            return Err(format!(
                "the name template `{shown}` must hold `{CONTEXT_PLACE}` once, as in `Mirror_{CONTEXT_PLACE}`"
            ));
        }
        let rest = text.replace(CONTEXT_PLACE, "");
        if rest.contains(['/', '\\']) || rest.contains("..") {
            return Err(format!(
                "the name template `{shown}` leaves the directory of the mirrors; expected a plain name, as in `Mirror_{CONTEXT_PLACE}`"
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
        if !rest.chars().all(plain)
            || text.starts_with(['.', ' '])
            || text.ends_with(['.', ' '])
            || rest.len() > 64
        {
            return Err(format!(
                "the name template `{shown}` is no plain name; expected letters, digits, `-`, `_`, `.` and blanks, at most 64 beside `{CONTEXT_PLACE}`"
            ));
        }
        Ok(NameTemplate(text.to_owned()))
    }

    /// The name of tenant `context`'s mirror. A context id holds nothing but letters, digits, `-` and `_`.
    pub fn name(&self, context: &str) -> String {
        self.0.replace(CONTEXT_PLACE, context)
    }
}

/// What is done for an event.
#[derive(Debug, Clone)]
pub enum Hook {
    /// This file's statements are run.
    SqlFile(PathBuf),
    /// Of a table's event the file `<table>.sql` in this directory is run, where there is one; at a cycle's end all `.sql`
    /// files, in the order of their names.
    SqlDirectory(PathBuf),
    /// This URL is called.
    Webhook(Webhook),
}

/// The hooks of each event; none unless said.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// A TableSchema call has made or changed a table.
    pub before_table: Option<Hook>,
    /// A table was emptied.
    pub wipe: Option<Hook>,
    /// A cycle has ended.
    pub completed: Option<Hook>,
}

/// The default MirrorAdmin: SQLite files in one directory, and hooks.
#[derive(Debug)]
pub struct HookAdmin {
    directory: PathBuf,
    name: NameTemplate,
    hooks: Hooks,
}

impl HookAdmin {
    /// Mirrors are files `<name>.db` in `directory`.
    pub fn new(directory: &Path, name: NameTemplate, hooks: Hooks) -> HookAdmin {
        HookAdmin {
            directory: directory.to_owned(),
            name,
            hooks,
        }
    }

    fn table_event(
        hook: Option<&Hook>,
        table: &str,
        notice: &Notice<'_>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        match hook {
            None => Ok(()),
            Some(Hook::SqlFile(path)) => run_file(path, transaction),
            Some(Hook::SqlDirectory(directory)) => {
                let wanted = format!("{table}.sql");
                let found = sql_files(directory)?.into_iter().find(|path| {
                    path.file_name()
                        .is_some_and(|name| name.eq_ignore_ascii_case(&wanted))
                });
                found.map_or(Ok(()), |path| run_file(&path, transaction))
            }
            Some(Hook::Webhook(webhook)) => webhook.call(notice),
        }
    }
}

impl MirrorAdmin for HookAdmin {
    fn resolve_connection(
        &self,
        context: &str,
        _client_state: Option<&str>,
    ) -> Result<MirrorPlace, AdminError> {
        let file = format!("{}.db", self.name.name(context));
        Ok(MirrorPlace::SqliteFile(self.directory.join(file)))
    }

    fn on_before_replicate_table(
        &self,
        context: &str,
        table: &str,
        change: &TableChange,
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        if *change == TableChange::Unchanged {
            return Ok(());
        }
        let notice = Notice::before_table(context, client_state, table, change);
        HookAdmin::table_event(self.hooks.before_table.as_ref(), table, &notice, transaction)
    }

    fn on_wipe(
        &self,
        context: &str,
        table: &str,
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        let notice = Notice::wipe(context, client_state, table);
        HookAdmin::table_event(self.hooks.wipe.as_ref(), table, &notice, transaction)
    }

    fn on_replication_completed(
        &self,
        context: &str,
        changed: &[ReplicationSummary<'_>],
        client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        match &self.hooks.completed {
            None => Ok(()),
            Some(Hook::SqlFile(path)) => run_file(path, transaction),
            Some(Hook::SqlDirectory(directory)) => sql_files(directory)?
                .iter()
                .try_for_each(|path| run_file(path, transaction)),
            Some(Hook::Webhook(webhook)) => webhook.call(&Notice::completed(context, client_state, changed)),
        }
    }

    fn log_event(&self, event: &Event) {
        let operation = event.operation.map(Operation::name);
        let Event {
            context,
            message,
            additional_info,
            ..
        } = event;
        match event.kind {
            EventKind::Information => {
                tracing::info!(tenant = context, operation, additional_info, "{message}");
            }
            EventKind::Warning => tracing::warn!(tenant = context, operation, additional_info, "{message}"),
            EventKind::Error => tracing::error!(tenant = context, operation, additional_info, "{message}"),
        }
    }
}

/// The `.sql` files of a directory, by name.
fn sql_files(directory: &Path) -> Result<Vec<PathBuf>, AdminError> {
    let listed = fs::read_dir(directory).and_then(|entries| {
        entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>()
    });
    let mut files = listed.map_err(|error| unreadable(directory, error))?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
    });
    files.sort();
    Ok(files)
}

fn run_file(path: &Path, transaction: &mut dyn MirrorTransaction) -> Result<(), AdminError> {
    let sql = fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
    transaction.run_script(&sql).map_err(|error| AdminError {
        message: format!("the hook {} failed: {error}", shown(path)),
        source: Some(Box::new(error)),
    })
}

fn unreadable(path: &Path, error: std::io::Error) -> AdminError {
    AdminError {
        message: format!("the hook {} cannot be read: {error}", shown(path)),
        source: Some(Box::new(error)),
    }
}

/// The sender's log is not told where this server keeps its files.
fn shown(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).display().to_string()
}

#[cfg(test)]
mod tests;

//! The MirrorAdmin for people who write no Rust: a name template says where mirrors live, and for each event a SQL file is
//! run in the tenant's mirror, or a webhook is called.
//!
//! SQL runs inside the call's own transaction, so that it is kept or lost with the rows. Files are read anew for each
//! event: they may be edited while the server runs. A table without a change has no event before its rows: an index or a
//! view is still there.
//!
//! Webhooks are called before that transaction, one after the other: however slow they are, they keep nobody from the
//! mirror, and all of a call's have a time together ([`Hooks::webhooks_per_call`]). One that fails refuses the call, which
//! then does nothing.
//!
//! - [`webhook`]: the POST and its JSON

pub mod webhook;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::message::ReplicationSummary;
use mirrorlab_protocol::names::Operation;

use crate::admin::{AdminError, Announced, Announcement, MirrorAdmin, TableChange};
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

/// How long all webhooks of one call may take unless said: below the sender's own time-out, a minute in .NET.
pub const WEBHOOKS_PER_CALL: Duration = Duration::from_secs(30);

/// The hooks of each event; none unless said.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// A TableSchema call has made or changed a table.
    pub before_table: Option<Hook>,
    /// A table was emptied.
    pub wipe: Option<Hook>,
    /// A cycle has ended.
    pub completed: Option<Hook>,
    /// How long all webhooks of one call may take together.
    pub webhooks_per_call: Duration,
}

impl Default for Hooks {
    fn default() -> Hooks {
        Hooks {
            before_table: None,
            wipe: None,
            completed: None,
            webhooks_per_call: WEBHOOKS_PER_CALL,
        }
    }
}

/// Where the mirrors of all tenants are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// SQLite files `<name>.db` in this directory.
    Directory(PathBuf),
    /// Databases `<name>` on the configured SQL Server.
    SqlServer,
}

/// The default MirrorAdmin: mirrors in one place, named by a template, and hooks.
#[derive(Debug)]
pub struct HookAdmin {
    home: Home,
    name: NameTemplate,
    hooks: Hooks,
    /// Where each tenant's mirror was found, by its name in lower case. Names are matched without regard to case, as SQL
    /// Server does, and the file system may not.
    found: Mutex<HashMap<String, PathBuf>>,
}

impl HookAdmin {
    /// Mirrors are files `<name>.db` in `directory`.
    pub fn new(directory: &Path, name: NameTemplate, hooks: Hooks) -> HookAdmin {
        HookAdmin::at(Home::Directory(directory.to_owned()), name, hooks)
    }

    /// Mirrors are at `home`.
    pub fn at(home: Home, name: NameTemplate, hooks: Hooks) -> HookAdmin {
        HookAdmin {
            home,
            name,
            hooks,
            found: Mutex::default(),
        }
    }

    /// A tenant's file, in the spelling that is there; where none is, the first to come gives it its own.
    fn file(&self, directory: &Path, context: &str) -> Result<PathBuf, AdminError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant = context.to_ascii_lowercase();
        let known = found.get(&tenant);
        if let Some(path) = known.filter(|path| path.exists()) {
            return Ok(path.clone());
        }
        let wanted = format!("{}.db", self.name.name(context));
        let mut there = spellings(directory, &wanted).map_err(|error| AdminError {
            message: format!("the directory of mirrors cannot be read: {error}"),
            source: Some(Box::new(error)),
        })?;
        there.sort();
        let path = match there.as_slice() {
            [] => known.cloned().unwrap_or_else(|| directory.join(wanted)),
            [one] => one.clone(),
            [one, another, ..] => {
                return Err(AdminError::new(format!(
                    "there are two mirrors, {} and {}: tenants' names are matched without regard to case, so they are one \
                     tenant's; keep one of them",
                    shown(one),
                    shown(another)
                )));
            }
        };
        found.insert(tenant, path.clone());
        Ok(path)
    }

    fn hook(&self, event: Announced) -> Option<&Hook> {
        match event {
            Announced::Tables => self.hooks.before_table.as_ref(),
            Announced::Wipe => self.hooks.wipe.as_ref(),
            Announced::Completed => self.hooks.completed.as_ref(),
        }
    }

    fn table_event(
        hook: Option<&Hook>,
        table: &str,
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
            // Called already.
            Some(Hook::Webhook(_)) => Ok(()),
        }
    }
}

impl MirrorAdmin for HookAdmin {
    fn resolve_connection(
        &self,
        context: &str,
        _client_state: Option<&str>,
    ) -> Result<MirrorPlace, AdminError> {
        match &self.home {
            Home::Directory(directory) => self.file(directory, context).map(MirrorPlace::SqliteFile),
            // One database in any spelling: SQL Server looks for it without regard to case.
            Home::SqlServer => Ok(MirrorPlace::SqlServerDatabase(self.name.name(context))),
        }
    }

    fn announces(&self, what: Announced) -> bool {
        matches!(self.hook(what), Some(Hook::Webhook(_)))
    }

    fn announce(
        &self,
        context: &str,
        client_state: Option<&str>,
        announcements: &[Announcement<'_>],
    ) -> Result<(), AdminError> {
        let began = Instant::now();
        let limit = self.hooks.webhooks_per_call;
        for announcement in announcements {
            let (event, notice) = match announcement {
                Announcement::Table { table, change } => (
                    Announced::Tables,
                    Notice::before_table(context, client_state, table, change),
                ),
                Announcement::Wipe { table } => (Announced::Wipe, Notice::wipe(context, client_state, table)),
                Announcement::Completed { changed } => (
                    Announced::Completed,
                    Notice::completed(context, client_state, changed),
                ),
            };
            if let Some(Hook::Webhook(webhook)) = self.hook(event) {
                webhook.call(&notice, limit.saturating_sub(began.elapsed()), limit)?;
            }
        }
        Ok(())
    }

    fn on_before_replicate_table(
        &self,
        _context: &str,
        table: &str,
        change: &TableChange,
        _client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        if *change == TableChange::Unchanged {
            return Ok(());
        }
        HookAdmin::table_event(self.hook(Announced::Tables), table, transaction)
    }

    fn acts_on_wipe(&self) -> bool {
        matches!(
            self.hook(Announced::Wipe),
            Some(Hook::SqlFile(_) | Hook::SqlDirectory(_))
        )
    }

    fn on_wipe(
        &self,
        _context: &str,
        table: &str,
        _client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        HookAdmin::table_event(self.hook(Announced::Wipe), table, transaction)
    }

    fn on_replication_completed(
        &self,
        _context: &str,
        _changed: &[ReplicationSummary<'_>],
        _client_state: Option<&str>,
        transaction: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        match self.hook(Announced::Completed) {
            // A webhook was called already.
            None | Some(Hook::Webhook(_)) => Ok(()),
            Some(Hook::SqlFile(path)) => run_file(path, transaction),
            Some(Hook::SqlDirectory(directory)) => sql_files(directory)?
                .iter()
                .try_for_each(|path| run_file(path, transaction)),
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

/// The files of that name in a directory, in whatever spelling.
fn spellings(directory: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // It is made with the first mirror.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().eq_ignore_ascii_case(name) {
            found.push(entry.path());
        }
    }
    Ok(found)
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

fn unreadable(path: &Path, error: io::Error) -> AdminError {
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

//! What the file's steps have made so far, so that a step which speaks of something else is a mistake in the file and
//! not a failure of the run.

use std::collections::BTreeMap;

use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::Table;

use super::reader::Reader;
use crate::scenario::mistake::{Mistake, all_of, closest};
use crate::scenario::place::Spanned;

/// A table as it is by now.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub table: Table,
    /// How many rows, as long as no SQL ran that may have changed it.
    pub rows: Option<u64>,
}

/// What one tenant has by now.
#[derive(Debug)]
pub(super) struct TenantState {
    pub context: String,
    pub tables: BTreeMap<String, Known>,
    /// Every table that it ever had, for expectations about dropped ones.
    ever: BTreeMap<String, String>,
    backups: BTreeMap<String, BTreeMap<String, Known>>,
    mirror_backups: Vec<String>,
}

/// What all tenants have by now.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    tenants: Vec<TenantState>,
}

impl Ledger {
    pub fn add_tenant(&mut self, context: &str) {
        self.tenants.push(TenantState {
            context: context.to_owned(),
            tables: BTreeMap::new(),
            ever: BTreeMap::new(),
            backups: BTreeMap::new(),
            mirror_backups: Vec::new(),
        });
    }

    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.tenants.iter().map(|t| t.context.as_str())
    }

    /// Whether the file has this tenant; a mistake is noted where it has not.
    pub fn check_tenant(&self, reader: &mut Reader, named: &Spanned<String>) -> bool {
        if self.contexts().any(|c| c == named.value) {
            return true;
        }
        let label = match closest(named, self.contexts()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "no tenant of this file".to_owned(),
        };
        reader.note(
            Mistake::new(named.at, format!("there is no tenant `{}`", named.value), label)
                .help(format!("this file has {}", all_of(self.contexts()))),
        );
        false
    }

    /// The tenants a step is about.
    pub fn of<'l>(
        &'l mut self,
        tenant: Option<&'l Spanned<String>>,
    ) -> impl Iterator<Item = &'l mut TenantState> {
        self.tenants
            .iter_mut()
            .filter(move |t| tenant.is_none_or(|named| named.value == t.context))
    }

    /// A table that every tenant of the step must have by now. Gives the first one's.
    pub fn need_table(
        &mut self,
        reader: &mut Reader,
        tenant: Option<&Spanned<String>>,
        name: &Spanned<String>,
    ) -> Option<Known> {
        let several = self.tenants.len() > 1;
        let mut found = None;
        for state in self.of(tenant) {
            match state.tables.get(&fold(name)) {
                Some(known) => {
                    found.get_or_insert_with(|| known.clone());
                }
                None => {
                    reader.note(state.no_table(name, several));
                    return None;
                }
            }
        }
        found
    }

    /// A table that some tenant of the step must have had at some time.
    pub fn check_ever(
        &mut self,
        reader: &mut Reader,
        tenant: Option<&Spanned<String>>,
        name: &Spanned<String>,
    ) {
        let several = self.tenants.len() > 1;
        let mut mistake = None;
        for state in self.of(tenant) {
            if state.ever.contains_key(&fold(name)) {
                return;
            }
            mistake.get_or_insert_with(|| state.no_table(name, several));
        }
        reader.mistakes.extend(mistake);
    }

    /// Keeps a backup of the sources' tables.
    pub fn backup(&mut self, tenant: Option<&Spanned<String>>, name: &str) {
        for state in self.of(tenant) {
            let tables = state.tables.clone();
            state.backups.insert(name.to_owned(), tables);
        }
    }

    /// Brings the sources' tables back.
    pub fn restore(&mut self, reader: &mut Reader, tenant: Option<&Spanned<String>>, name: &Spanned<String>) {
        for state in self.of(tenant) {
            match state.backups.get(&name.value) {
                Some(tables) => state.tables = tables.clone(),
                None => {
                    let made: Vec<_> = state.backups.keys().map(String::as_str).collect();
                    reader.note(no_backup("backup", name, &made));
                    return;
                }
            }
        }
    }

    /// Remembers a mirror's backup.
    pub fn mirror_backup(&mut self, tenant: Option<&Spanned<String>>, name: &str) {
        for state in self.of(tenant) {
            state.mirror_backups.push(name.to_owned());
        }
    }

    /// Checks that a mirror's backup was made.
    pub fn mirror_restore(
        &mut self,
        reader: &mut Reader,
        tenant: Option<&Spanned<String>>,
        name: &Spanned<String>,
    ) {
        for state in self.of(tenant) {
            if !state.mirror_backups.contains(&name.value) {
                let made: Vec<_> = state.mirror_backups.iter().map(String::as_str).collect();
                reader.note(no_backup("mirror_backup", name, &made));
                return;
            }
        }
    }
}

impl TenantState {
    /// Adds a table; `false` where there is one of that name.
    pub fn add_table(&mut self, table: &Table, rows: u64) -> bool {
        let key = fold(&table.name);
        self.ever.insert(key.clone(), table.name.clone());
        self.tables
            .insert(
                key,
                Known {
                    table: table.clone(),
                    rows: Some(rows),
                },
            )
            .is_none()
    }

    fn no_table(&self, name: &Spanned<String>, several: bool) -> Mistake {
        let whose = if several {
            format!(" in {}", self.context)
        } else {
            String::new()
        };
        let names = || self.tables.values().map(|k| k.table.name.as_str());
        let message = format!("there is no table `{}`{whose} at this step", name.value);
        let mistake = match (closest(name, names()), self.ever.contains_key(&fold(name))) {
            (_, true) => Mistake::new(
                name.at,
                message,
                "it was dropped, or is not in the restored backup",
            ),
            (Some(meant), _) => Mistake::new(name.at, message, format!("did you mean `{meant}`?")),
            (None, _) => Mistake::new(name.at, message, "unknown table"),
        };
        mistake.help(match self.tables.len() {
            0 => "there is no table at all: `source` or `table` makes them".to_owned(),
            _ => format!("known by now: {}", all_of(names())),
        })
    }
}

fn no_backup(step: &str, name: &Spanned<String>, made: &[&str]) -> Mistake {
    let message = format!(
        "no step before this one made a {} `{}`",
        step.replace('_', " "),
        name.value
    );
    let label = match closest(name, made.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "unknown backup".to_owned(),
    };
    let help = match made {
        [] => format!("make one first: `- {step}: {}`", name.value),
        made => format!("known by now: {}", all_of(made)),
    };
    Mistake::new(name.at, message, label).help(help)
}

//! What the layers of one server know together. It goes when the server dies, as a process's memory does.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mirrorlab_protocol::names::{Operation, fold};

/// A tenant's table, by folded name.
pub type TableKey = (String, String);

/// The memory of one server.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Known>);

/// What is in it.
#[derive(Debug, Default)]
pub struct Known {
    /// The call under way.
    pub operation: Option<Operation>,
    /// LSNs, as the mistake keeps them.
    pub lsns: HashMap<TableKey, i64>,
    /// LSNs that TableSchema answers in place of the right ones; taken by the answer.
    pub answers: HashMap<TableKey, i64>,
    /// Tables' names as they were last written, by folded name.
    pub names: HashMap<TableKey, String>,
    /// The last nonce.
    pub nonce: Option<String>,
    /// The tenant of the last Authenticate.
    pub tenant: Option<String>,
}

impl Memory {
    /// The memory, for one look or change.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tenant's table.
pub fn key(context: &str, table: &str) -> TableKey {
    (context.to_owned(), fold(table))
}

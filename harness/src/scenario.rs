//! Scenario files: what they can say, and how they are read.
//!
//! - [`discover`]: files and folders into a list of scenarios.
//! - [`emit`]: the model into a file's text.
//! - [`parse`]: a file's text into the model, or into everything that is wrong with it.
//! - [`model`]: a scenario as the runner sees it: tenants, settings, steps.
//! - [`expect`]: what a step's result must hold.
//! - [`grammar`]: every key that a file may hold.
//! - [`mistake`]: mistakes, and how they are shown.
//! - [`place`]: where in its file a thing stands.
//! - [`rename`]: the same scenario for other tenants.
//! - [`sent`]: calls written out, below the level of any source.
//! - [`shapes`]: which columns a table has at each step.
//! - [`trouble`]: what a scenario lets go wrong.
//! - [`yaml`]: the YAML beneath, with limits.

pub mod discover;
pub mod emit;
pub mod expect;
pub mod grammar;
pub mod mistake;
pub mod model;
pub mod parse;
pub mod place;
pub mod rename;
pub mod sent;
pub mod shapes;
pub mod trouble;
pub mod yaml;

use std::collections::BTreeMap;

use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::Table;

/// Tables whose columns a file need not write: those of the drawn SuperOffice schema.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    tables: BTreeMap<String, Table>,
    /// Whether they are those of a file, and not SuperOffice's.
    is_file: bool,
}

impl Catalogue {
    /// These tables, found by name without regard to case.
    pub fn new(tables: impl IntoIterator<Item = Table>) -> Catalogue {
        Catalogue {
            tables: tables.into_iter().map(|t| (fold(&t.name), t)).collect(),
            is_file: false,
        }
    }

    /// The tables of a schema file or a capture.
    pub fn of_file(tables: impl IntoIterator<Item = Table>) -> Catalogue {
        Catalogue {
            is_file: true,
            ..Catalogue::new(tables)
        }
    }

    /// What a message calls the schema.
    pub fn title(&self) -> &'static str {
        match self.is_file {
            true => "this schema",
            false => "the SuperOffice schema",
        }
    }

    /// SuperOffice's own tables, as the simulator knows them.
    pub fn superoffice() -> Catalogue {
        Catalogue::new(mirrorlab_simulator::schema_file::superoffice().iter().cloned())
    }

    /// A table by name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(&fold(name))
    }

    /// Every table's name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.values().map(|t| t.name.as_str())
    }
}

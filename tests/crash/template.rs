//! What every case starts from: keys, and a source that is drawn once and copied.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab::keyset::KeySet;
use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_simulator::authority::Authority;
use mirrorlab_simulator::draw::{self, Style, seeded};
use mirrorlab_simulator::schema_file::superoffice_table;
use mirrorlab_simulator::source::Source as _;
use mirrorlab_simulator::source::sqlite::SqliteSource;

pub const APPLICATION: &str = "crash-matrix";
pub const CONTEXT: &str = "Cust10001";

pub struct Template {
    dir: tempfile::TempDir,
    pub keys: KeySet,
    pub authority: Arc<Authority>,
}

impl Template {
    pub fn make(seed: u64) -> Template {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeySet::generate(SystemClock.now(), &[]).unwrap();
        keys.write(&dir.path().join("keys")).unwrap();
        let authority = Authority::from_text(&keys.superoffice_certificate, &keys.superoffice_key).unwrap();
        let template = Template {
            dir,
            keys,
            authority: Arc::new(authority),
        };
        let mut source = SqliteSource::open(&template.source(), Durability::Fast).unwrap();
        let mut rng = seeded(seed, &["crash matrix", "template"]);
        for (table, rows) in [("contact", 60), ("person", 45)] {
            let table = superoffice_table(table).expect("a table of the schema");
            source.create_table(table).unwrap();
            draw::fill(&mut source, table, rows, &Style::default(), &mut rng).unwrap();
        }
        for (name, rows) in [("y_seat", 150), ("y_empty", 0)] {
            let table = extra_table(name);
            source.create_table(&table).unwrap();
            draw::fill(&mut source, &table, rows, &Style::default(), &mut rng).unwrap();
        }
        // Into one file, to be copied as such.
        source.backup("whole").unwrap();
        drop(source);
        let backup = template.source().with_extension("whole.backup");
        std::fs::rename(backup, template.source_file()).unwrap();
        template
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source.db")
    }

    /// The source, as one file.
    pub fn source_file(&self) -> PathBuf {
        self.dir.path().join("template.db")
    }

    pub fn keys_dir(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// A column from its SQL text, nullable unless it ends in `not null`.
pub fn column(name: &str, ty: &str, nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        ty: ColumnType::parse(ty).unwrap(),
        nullable,
        default: None,
    }
}

/// A table of every kind of cell that a row can have.
pub fn extra_table(name: &str) -> Table {
    Table {
        name: name.to_owned(),
        columns: vec![
            column("id", "int", false),
            column("x_name", "nvarchar(100)", true),
            column("x_note", "nvarchar(max)", true),
            column("x_since", "datetime", false),
            column("x_share", "float", true),
            column("x_kind", "smallint", false),
            column("x_data", "varbinary(max)", true),
        ],
    }
}

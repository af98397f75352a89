//! The operations on SQLite mirrors, with requests made by hand; read back with literal SQL.

mod announced;
mod calls;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::message::{ColumnInfo, RowDataBatch, Rows, TableSchemaInfo};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::*;
use crate::admin::{AuthenticateAnswer, DO_NOT_REPLICATE, TableChange};
use crate::store::MirrorPlace;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::testing::batch_of;

/// A partner who notes what is called, and fails where told to.
struct Partner {
    folder: PathBuf,
    calls: Mutex<Vec<String>>,
    events: Mutex<Vec<Event>>,
    fails: Mutex<&'static str>,
}

impl Partner {
    fn note(
        &self,
        hook: &'static str,
        text: String,
        tx: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        self.calls.lock().unwrap().push(format!("{hook} {text}"));
        tx.run_script("CREATE TABLE IF NOT EXISTS hooks (name text)")?;
        tx.run_script(&format!("INSERT INTO hooks VALUES ('{hook}')"))?;
        let fails = *self.fails.lock().unwrap();
        assert_ne!(fails, "panic", "a partner's panic");
        if fails == hook {
            return Err(AdminError::new("the partner's reason"));
        }
        Ok(())
    }
}

impl MirrorAdmin for Partner {
    fn resolve_connection(&self, context: &str, _: Option<&str>) -> Result<MirrorPlace, AdminError> {
        if *self.fails.lock().unwrap() == "resolve" {
            return Err(AdminError::new("no mirror is meant for this tenant"));
        }
        Ok(MirrorPlace::SqliteFile(
            self.folder.join(format!("Mirror_{context}.db")),
        ))
    }

    fn on_authenticate(&self, _: &str, state: Option<&str>) -> Result<AuthenticateAnswer, AdminError> {
        match state {
            Some("fail") => Err(AdminError::new("not today")),
            Some("skip") => Ok(AuthenticateAnswer {
                client_state: Some("skipped".into()),
                additional_information_json: Some(DO_NOT_REPLICATE.into()),
            }),
            _ => Ok(AuthenticateAnswer::default()),
        }
    }

    fn on_before_replicate_table(
        &self,
        _: &str,
        table: &str,
        change: &TableChange,
        state: Option<&str>,
        tx: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        self.note("before", format!("{table} {change:?} {state:?}"), tx)
    }

    fn on_wipe(
        &self,
        _: &str,
        table: &str,
        state: Option<&str>,
        tx: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        let stored = tx.table(table)?.unwrap();
        let empty = !tx.has_row(&stored.table, None)?;
        self.note("wipe", format!("{table} empty {empty} {state:?}"), tx)
    }

    fn on_replication_completed(
        &self,
        _: &str,
        changed: &[ReplicationSummary<'_>],
        state: Option<&str>,
        tx: &mut dyn MirrorTransaction,
    ) -> Result<(), AdminError> {
        self.note("completed", format!("{} {state:?}", changed.len()), tx)
    }

    fn log_event(&self, event: &Event) {
        assert_eq!(event.context, "Cust1");
        self.events.lock().unwrap().push(event.clone());
    }
}

struct World {
    folder: tempfile::TempDir,
    partner: Arc<Partner>,
    mirroring: Mirroring,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let partner = Arc::new(Partner {
            folder: folder.path().to_owned(),
            calls: Mutex::default(),
            events: Mutex::default(),
            fails: Mutex::new(""),
        });
        let store = SqliteStore::new(SqliteOptions {
            durability: Durability::Fast,
            ..SqliteOptions::default()
        });
        World {
            mirroring: Mirroring {
                store: Arc::new(store),
                admin: partner.clone(),
                options: Options::default(),
            },
            folder,
            partner,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("Mirror_Cust1.db")
    }

    fn run(&self, request: &Request<'_>) -> Response {
        self.mirroring.run("Cust1", request)
    }

    /// The LSNs of a TableSchema call that must succeed.
    fn schema(&self, tables: &[TableSchemaInfo<'static>]) -> Vec<(String, i64)> {
        let response = self.run(&schema(tables));
        assert_eq!(response.error, None);
        match response.detail {
            ResponseDetail::TableSchema(lsns) => lsns.into_iter().map(|l| (l.table, l.lsn)).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn succeed(&self, request: &Request<'_>) {
        assert_eq!(self.run(request).error, None);
    }

    /// The text of a call that must be refused; it is an Error event too.
    fn refused(&self, request: &Request<'_>) -> String {
        let response = self.run(request);
        assert!(!response.successful);
        assert_eq!(response.detail, ResponseDetail::empty(request.operation()));
        let text = response.error.unwrap();
        let events = self.partner.events.lock().unwrap();
        let last = events.last().unwrap();
        assert_eq!((last.kind, &last.message), (EventKind::Error, &text));
        assert_eq!(last.operation, Some(request.operation()));
        text.replace(&shown(self.folder.path()), "…")
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let client = Connection::open(self.path()).unwrap();
        let mut statement = client.prepare(sql).unwrap();
        let columns = statement.column_count();
        statement
            .query_map([], |row| {
                let values: Vec<String> = (0..columns)
                    .map(|at| match row.get_ref(at).unwrap() {
                        ValueRef::Null => "NULL".into(),
                        ValueRef::Integer(x) => x.to_string(),
                        ValueRef::Text(x) => std::str::from_utf8(x).unwrap().to_owned(),
                        other => format!("{other:?}"),
                    })
                    .collect();
                Ok(values.join("|"))
            })
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn execute(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    fn contacts(&self) -> Vec<String> {
        self.query("SELECT contact_id, name FROM contact ORDER BY contact_id")
    }

    fn lsns(&self) -> Vec<String> {
        self.query("SELECT tablename, LSN FROM Cust1_mirroring ORDER BY tablename")
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.partner.calls.lock().unwrap())
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.partner.events.lock().unwrap())
            .into_iter()
            .map(|e| format!("{}: {} [{}]", e.kind, e.message, e.additional_info))
            .collect()
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// `id int not null; name nvarchar(20) null default ((0))`, right or wrong.
fn info(name: &'static str, columns: &'static str) -> TableSchemaInfo<'static> {
    TableSchemaInfo {
        name: Some(name.into()),
        columns: columns
            .split("; ")
            .filter(|text| !text.is_empty())
            .map(|text| {
                let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
                let (rest, default) = match rest.find("default ") {
                    Some(at) => (rest[..at].trim(), &rest[at..]),
                    None => (rest, ""),
                };
                ColumnInfo {
                    default: Some(default.into()),
                    nullable: Some(!rest.ends_with("not null")),
                    name: Some(name.into()),
                    ty: Some(rest.trim_end_matches(" null").trim_end_matches(" not").into()),
                }
            })
            .collect(),
    }
}

const CONTACT: &str = "contact_id int not null; name nvarchar(20) null";

fn contact() -> TableSchemaInfo<'static> {
    info("contact", CONTACT)
}

fn person() -> TableSchemaInfo<'static> {
    info("person", "person_id int not null; score float null")
}

fn schema(tables: &[TableSchemaInfo<'static>]) -> Request<'static> {
    Request::TableSchema {
        client_state: Some("state".into()),
        tables: tables.to_vec(),
    }
}

fn batch<'a>(table: TableSchemaInfo<'a>, lsn: i64, rows: Rows<'a>) -> RowDataBatch<'a> {
    RowDataBatch {
        rows,
        lsn: Some(lsn),
        table: Some(table),
    }
}

fn row_data<'a>(batches: &[RowDataBatch<'a>]) -> Request<'a> {
    Request::RowData {
        client_state: None,
        batches: batches.to_vec(),
    }
}

fn wipe(table: &'static str) -> Request<'static> {
    Request::Wipe {
        client_state: Some("state".into()),
        table: Some(table.into()),
    }
}

fn completed() -> Request<'static> {
    Request::ReplicationCompleted {
        client_state: Some("state".into()),
        changed: vec![ReplicationSummary {
            deletes: 1,
            inserts: 2,
            table: Some("contact".into()),
            updates: 3,
        }],
    }
}

fn lsn(table: &str, lsn: i64) -> (String, i64) {
    (table.into(), lsn)
}

/// A world whose contact has two rows and LSN 7.
fn filled() -> World {
    let world = World::new();
    world.schema(&[contact()]);
    world.succeed(&row_data(&[batch(
        contact(),
        7,
        batch_of(&[("I", &["[I:1]", "one"]), ("I", &["[I:2]", "NULL"])]),
    )]));
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    world.events();
    world.calls();
    world
}

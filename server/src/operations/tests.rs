//! The operations on SQLite mirrors, with requests made by hand; read back with literal SQL.

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
use crate::store::testing::rows;

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
        if *self.fails.lock().unwrap() == hook {
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
        rows(&[("I", &["[I:1]", "one"]), ("I", &["[I:2]", "NULL"])]),
    )]));
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    world.events();
    world.calls();
    world
}

#[test]
fn authenticate_answers_what_the_partner_says_and_needs_no_mirror() {
    let world = World::new();
    let authenticate = |state: &'static str| Request::Authenticate {
        client_state: Some(state.into()),
    };
    let detail = |response: Response| match response.detail {
        ResponseDetail::Authenticate(detail) => detail,
        other => panic!("{other:?}"),
    };
    let plain = world.run(&authenticate("any"));
    assert!(plain.successful);
    let plain = detail(plain);
    assert_eq!(plain.supported_interfaces.as_deref(), Some("1"));
    assert_eq!(plain.build.as_deref(), Some("4.0.0.0/Release_1"));
    assert_eq!(
        (plain.client_state, plain.additional_information_json),
        (None, None)
    );
    let skipped = detail(world.run(&authenticate("skip")));
    assert_eq!(skipped.client_state.as_deref(), Some("skipped"));
    assert_eq!(
        skipped.additional_information_json.as_deref(),
        Some(r#"{ "doNotReplicate": "true" }"#)
    );
    assert_eq!(
        world.refused(&authenticate("fail")),
        "Cust1, Authenticate: OnAuthenticate failed: not today"
    );
    assert!(!world.path().exists());
}

#[test]
fn tables_are_made_and_answered_in_the_order_sent() {
    let world = World::new();
    assert_eq!(
        world.schema(&[person(), contact()]),
        [lsn("person", -1), lsn("contact", -1)]
    );
    assert_eq!(world.lsns(), ["contact|-1", "person|-1"]);
    assert_eq!(
        world.calls(),
        [
            r#"before person Created Some("state")"#,
            r#"before contact Created Some("state")"#
        ]
    );
    assert_eq!(
        world.events(),
        [
            "Information: the schema changed: 2 tables made, 0 changed in place, 0 made anew, 0 dropped [person made; contact made]"
        ]
    );
    // Again, as another spelling: nothing to do, nothing to tell.
    assert_eq!(
        world.schema(&[info("CONTACT", CONTACT), person()])[0],
        lsn("CONTACT", -1)
    );
    assert_eq!(world.events(), [""; 0]);
    assert_eq!(world.calls()[0], r#"before CONTACT Unchanged Some("state")"#);
}

#[test]
fn a_table_is_changed_in_place_made_anew_or_dropped() {
    let world = filled();
    let wider = "contact_id int not null; name nvarchar(max) null; x_flag smallint not null default ((3)); x_date datetime null default (N'1760-01-01')";
    assert_eq!(
        world.schema(&[info("contact", wider), person()]),
        [lsn("contact", 7), lsn("person", -1)]
    );
    assert_eq!(
        world.query("SELECT contact_id, name, x_flag, x_date FROM contact"),
        ["1|one|3|NULL", "2|NULL|3|NULL"]
    );
    // NULLs stand in the way.
    let strict = "contact_id int not null; name nvarchar(max) not null; x_flag smallint not null default ((3)); x_date datetime null default (N'1760-01-01')";
    assert_eq!(
        world.schema(&[info("contact", strict), person()])[0],
        lsn("contact", -1)
    );
    assert_eq!(world.contacts(), [""; 0]);
    // Empty, it takes a NOT NULL column without a default in place.
    world.succeed(&row_data(&[batch(info("contact", strict), 8, Rows::default())]));
    let harder = "contact_id int not null; name nvarchar(max) not null; x_flag smallint not null default ((3)); x_date datetime null default (N'1760-01-01'); hard int not null";
    assert_eq!(world.schema(&[info("contact", harder)]), [lsn("contact", 8)]);
    assert_eq!(world.lsns(), ["contact|8"]);
    world.succeed(&row_data(&[batch(
        info("contact", harder),
        9,
        rows(&[("I", &["1", "a", "1", "NULL", "1"])]),
    )]));
    let hardest = "contact_id int not null; name nvarchar(max) not null; x_flag smallint not null default ((3)); x_date datetime null default (N'1760-01-01'); hard int not null; more int not null";
    assert_eq!(world.schema(&[info("contact", hardest)]), [lsn("contact", -1)]);
    assert_eq!(
        world.schema(&[info("contact", "contact_id int not null; name datetime null")]),
        [lsn("contact", -1)]
    );
    insta::assert_snapshot!(world.events().join("\n"), @"
        Information: the schema changed: 1 table made, 1 changed in place, 0 made anew, 0 dropped [contact changed in place: +x_flag +x_date ~name; person made]
        Information: the schema changed: 0 tables made, 0 changed in place, 1 made anew, 0 dropped [contact made anew: column `name` is NOT NULL now, and rows hold NULL there]
        Information: the schema changed: 0 tables made, 1 changed in place, 0 made anew, 1 dropped [contact changed in place: +hard; person dropped]
        Information: the schema changed: 0 tables made, 0 changed in place, 1 made anew, 0 dropped [contact made anew: column `more` is new and NOT NULL without a fixed default, and the table has rows]
        Information: the schema changed: 0 tables made, 0 changed in place, 1 made anew, 0 dropped [contact made anew: column `name` is datetime and was nvarchar(max)]
        ");
    assert!(
        world
            .query("SELECT name FROM sqlite_master")
            .iter()
            .all(|n| n != "person")
    );
}

#[test]
fn what_was_done_by_hand_brings_everything_again() {
    let world = filled();
    world.execute("UPDATE Cust1_mirroring SET LSN = -1 WHERE tablename = 'contact'");
    assert_eq!(world.schema(&[contact()]), [lsn("contact", -1)]);
    assert_eq!(world.contacts().len(), 2, "the sender wipes it, not this call");
    world.execute("UPDATE Cust1_mirroring SET LSN = 7; DROP TABLE contact");
    assert_eq!(
        world.refused(&row_data(&[batch(contact(), 8, Rows::default())])),
        "Cust1, RowData: table `contact` was dropped from the mirror by hand; send TableSchema first, which makes it \
         anew; nothing of this call is kept"
    );
    assert_eq!(world.schema(&[contact()]), [lsn("contact", -1)]);
    assert_eq!(world.contacts(), [""; 0]);
    world.execute("DELETE FROM Cust1_mirroring; DROP TABLE contact");
    assert_eq!(world.schema(&[contact()]), [lsn("contact", -1)]);
    assert_eq!(world.contacts(), [""; 0]);
}

#[test]
fn foreign_tables_are_never_touched() {
    let world = filled();
    world.execute("CREATE TABLE report (n int); INSERT INTO report VALUES (5)");
    assert_eq!(world.schema(&[contact()]), [lsn("contact", 7)]);
    let text = world.refused(&schema(&[person(), info("REPORT", "id int not null")]));
    assert!(text.contains("`report` that this server did not make"), "{text}");
    assert_eq!(world.query("SELECT n FROM report"), ["5"]);
    assert_eq!(
        world.lsns(),
        ["contact|7"],
        "person was not made, contact not dropped"
    );
}

#[test]
fn rows_of_several_tables_and_batches_go_into_one_commit() {
    let world = World::new();
    world.schema(&[contact(), person()]);
    let turned = info("CONTACT", "NAME nvarchar(20) null; Contact_Id int not null");
    let mut unnamed = info("contact", "");
    unnamed.columns.clear();
    world.succeed(&row_data(&[
        batch(contact(), 0, rows(&[("I", &["1", "one"])])),
        batch(person(), 20, rows(&[("I", &["7", "[F:0.5]"])])),
        batch(turned, -1, rows(&[("I", &["two", "2"]), ("U", &["one!", "1"])])),
        batch(unnamed, 21, rows(&[("I", &["3", "three"])])),
    ]));
    assert_eq!(world.contacts(), ["1|one!", "2|two", "3|three"]);
    assert_eq!(world.lsns(), ["contact|21", "person|20"]);
    // An LSN that is none changes nothing, an empty last batch does.
    world.succeed(&row_data(&[batch(contact(), 0, rows(&[("D", &["3"])]))]));
    assert_eq!(world.lsns()[0], "contact|21");
    world.succeed(&row_data(&[RowDataBatch {
        lsn: None,
        ..batch(contact(), 0, Rows::default())
    }]));
    world.succeed(&row_data(&[batch(contact(), 30, Rows::default())]));
    assert_eq!(world.lsns()[0], "contact|30");
    world.succeed(&row_data(&[]));
}

#[test]
fn nothing_of_a_refused_call_is_kept() {
    let world = filled();
    world.schema(&[contact(), person()]);
    let text = world.refused(&row_data(&[
        batch(contact(), 8, rows(&[("D", &["1"]), ("I", &["3", "three"])])),
        batch(
            person(),
            8,
            rows(&[
                ("I", &["5", "[F:1.5]"]),
                ("I", &["6", "[DT:05/18/2020 10:40:43.0000000]"]),
            ]),
        ),
    ]));
    assert_eq!(
        text,
        "Cust1, RowData: table `person`, row with key 6, column `score`: `[DT:05/18/2020 10:40:43.0000000]` is not a \
         value of type float; expected [F:123.4] or 123.4; nothing of this call is kept"
    );
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    assert_eq!(world.query("SELECT COUNT(*) FROM person"), ["0"]);
    assert_eq!(world.lsns(), ["contact|7", "person|-1"]);
}

#[test]
fn a_wipe_empties_the_table_before_its_hook() {
    let world = filled();
    world.succeed(&wipe("Contact"));
    assert_eq!(world.calls(), [r#"wipe contact empty true Some("state")"#]);
    assert_eq!(world.contacts(), [""; 0]);
    assert_eq!(world.lsns(), ["contact|-1"]);
    assert_eq!(
        world.query("SELECT name FROM hooks WHERE name = 'wipe'"),
        ["wipe"]
    );
}

#[test]
fn a_hook_that_fails_refuses_its_call_and_leaves_no_trace() {
    let world = filled();
    let hooks = world.query("SELECT COUNT(*) FROM hooks");
    let fail = |hook| *world.partner.fails.lock().unwrap() = hook;
    fail("before");
    let before = world.refused(&schema(&[contact(), person()]));
    fail("wipe");
    let wiped = world.refused(&wipe("contact"));
    fail("completed");
    let ended = world.refused(&completed());
    fail("resolve");
    let resolved = world.refused(&completed());
    insta::assert_snapshot!([before, wiped, ended, resolved].join("\n"), @"
        Cust1, TableSchema: OnBeforeReplicateTable failed: the partner's reason; nothing of this call is kept
        Cust1, Wipe: OnWipe failed: the partner's reason; nothing of this call is kept
        Cust1, ReplicationCompleted: OnReplicationCompleted failed: the partner's reason; nothing of this call is kept
        Cust1, ReplicationCompleted: ResolveConnection failed: no mirror is meant for this tenant; nothing of this call is kept
        ");
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    assert_eq!(world.lsns(), ["contact|7"]);
    assert_eq!(world.query("SELECT COUNT(*) FROM hooks"), hooks);
}

#[test]
fn a_completed_cycle_is_one_information_event() {
    let world = filled();
    world.succeed(&completed());
    assert_eq!(world.calls(), [r#"completed 1 Some("state")"#]);
    assert_eq!(
        world.events(),
        [
            "Information: replication completed: 1 table changed, 2 inserts, 3 updates, 1 deletes [contact: 2/3/1]"
        ]
    );
    world.succeed(&Request::ReplicationCompleted {
        client_state: None,
        changed: Vec::new(),
    });
    assert_eq!(
        world.events(),
        ["Information: replication completed: 0 tables changed, 0 inserts, 0 updates, 0 deletes []"]
    );
}

const TEN: [&str; 10] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"];

fn tables(names: &[&'static str]) -> Vec<TableSchemaInfo<'static>> {
    names.iter().map(|name| info(name, "id int not null")).collect()
}

#[test]
fn dropping_more_than_half_of_ten_tables_is_warned_of() {
    let world = World::new();
    world.schema(&tables(&TEN));
    world.events();
    // Half is no more than half.
    world.schema(&tables(&TEN[..5]));
    assert!(world.events()[0].starts_with("Information"));
    world.schema(&tables(&TEN));
    world.events();
    world.schema(&tables(&TEN[..4]));
    let events = world.events();
    assert_eq!(
        events[0],
        "Warning: the call lists 4 of the mirror's 10 tables, which drops 6 with their rows [t4, t5, t6, t7, t8, t9]"
    );
    assert!(events[1].ends_with(
        "0 made anew, 6 dropped [t4 dropped; t5 dropped; t6 dropped; t7 dropped; t8 dropped; t9 dropped]"
    ));
    assert_eq!(world.lsns().len(), 4);
    // Nine are too few to be guarded.
    world.schema(&tables(&TEN[..9]));
    world.events();
    world.schema(&tables(&TEN[..1]));
    assert_eq!(world.events().len(), 1);
}

#[test]
fn the_drop_guard_refuses_what_would_be_warned_of() {
    let mut world = World::new();
    world.mirroring.options.drop_guard = true;
    world.schema(&tables(&TEN));
    insta::assert_snapshot!(world.refused(&schema(&tables(&TEN[..4]))), @"
        Cust1, TableSchema: the call lists 4 of the mirror's 10 tables, which drops 6 with their rows; drop_guard refuses that. If it is meant, run one cycle without drop_guard, or drop the tables by hand and delete their rows from `Cust1_mirroring`; nothing of this call is kept
        ");
    assert_eq!(world.lsns().len(), 10);
    let events = world.events();
    assert!(events[1].starts_with("Warning"), "{events:?}");
    world.schema(&tables(&TEN[..5]));
}

#[test]
fn refusals_say_what_is_wrong_and_what_to_do() {
    let world = filled();
    let mut nameless = info("contact", CONTACT);
    nameless.name = None;
    let mut no_table = batch(contact(), 0, Rows::default());
    no_table.table = None;
    let one = || rows(&[("I", &["1", "x"])]);
    let texts: Vec<String> = [
        schema(&[]),
        schema(&[contact(), person(), info("Contact", CONTACT)]),
        schema(&[contact(), nameless.clone()]),
        schema(&[info("y_\u{7}", CONTACT)]),
        schema(&[info("contact", "contact_id int not null; \u{7} int null")]),
        schema(&[info("contact", "contact_id int not null; shape geography null")]),
        schema(&[info(
            "contact",
            "contact_id int not null; n int null default (user_name())",
        )]),
        schema(&[info(
            "contact",
            "contact_id int not null; n smallint null default ((70000))",
        )]),
        schema(&[info("contact", "contact_id int null")]),
        schema(&[info("contact", "")]),
        schema(&[info("cust1_MIRRORING", "id int not null")]),
        schema(&[info("sqlite_x", "id int not null")]),
        row_data(&[no_table]),
        row_data(&[batch(nameless, 0, Rows::default())]),
        row_data(&[batch(person(), 0, Rows::default())]),
        row_data(&[batch(info("contact", "contact_id int not null"), 0, one())]),
        row_data(&[batch(
            info(
                "contact",
                "contact_id int not null; name nvarchar(20) null; x int null",
            ),
            0,
            one(),
        )]),
        row_data(&[batch(
            info("contact", "contact_id int not null; contact_ID int not null"),
            0,
            one(),
        )]),
        row_data(&[batch(
            info("contact", "contact_id int not null; name nvarchar(30) null"),
            0,
            one(),
        )]),
        row_data(&[batch(
            info("contact", "contact_id int not null; name xml null"),
            0,
            one(),
        )]),
        row_data(&[batch(contact(), 8, rows(&[("I", &["1"])]))]),
        row_data(&[batch(
            contact(),
            8,
            rows(&[("I", &["1", "x"]), ("Z", &["1", "x"])]),
        )]),
        row_data(&[batch(contact(), 8, rows(&[("I", &["4294967296", "x"])]))]),
        row_data(&[batch(contact(), 8, rows(&[("U", &["NULL", "x"])]))]),
        row_data(&[batch(contact(), 8, rows(&[("D", &["NULL", "x"])]))]),
        wipe(""),
        wipe("person"),
    ]
    .iter()
    .map(|request| world.refused(request))
    .collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
        Cust1, TableSchema: the call lists no tables, and an empty list drops nothing; list every mirrored table; nothing of this call is kept
        Cust1, TableSchema: table `Contact` is listed twice; nothing of this call is kept
        Cust1, TableSchema: a table has no name (number 2 of the call); nothing of this call is kept
        Cust1, TableSchema: the name `y_\u{7}` is not one SQL Server takes: 1 to 128 characters, none of them a control character (table `y_\u{7}`, number 1 of the call); nothing of this call is kept
        Cust1, TableSchema: the name `\u{7}` is not one SQL Server takes: 1 to 128 characters, none of them a control character (table `contact`, number 1 of the call); nothing of this call is kept
        Cust1, TableSchema: column `contact.shape`: columns of type `geography` cannot be mirrored; nothing of this call is kept
        Cust1, TableSchema: column `contact.n`: `default (user_name())` is not a default that can be mirrored: a number, N'text', 0x bytes, null, getdate(), or newid(); nothing of this call is kept
        Cust1, TableSchema: column `contact.n`: its default does not fit: `70000` is out of range for type smallint; nothing of this call is kept
        Cust1, TableSchema: column `contact.contact_id` comes first and so is the key, but it may be NULL; nothing of this call is kept
        Cust1, TableSchema: table `contact` has no columns; nothing of this call is kept
        Cust1, TableSchema: `Cust1_mirroring` is the mirror's own table, and cannot be mirrored; nothing of this call is kept
        Cust1, TableSchema: the mirror …/Mirror_Cust1.db refused to create table sqlite_x: object name reserved for internal use: sqlite_x; nothing of this call is kept
        Cust1, RowData: batch 1 names no table: its TableInfo is missing or has no TableName; nothing of this call is kept
        Cust1, RowData: batch 1 names no table: its TableInfo is missing or has no TableName; nothing of this call is kept
        Cust1, RowData: table `person` is not in the mirror; send TableSchema first; nothing of this call is kept
        Cust1, RowData: table `contact`: the batch lacks the mirror's column `name`; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`: the batch has a column `x`, and the mirror has not; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`: the batch has the column `contact_id` twice; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`: column `name` is nvarchar(30) in the batch and nvarchar(20) in the mirror; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`: column `name` of the batch: columns of type `xml` cannot be mirrored; send TableSchema before rows of another shape; nothing of this call is kept
        Cust1, RowData: table `contact`, row 1 of the batch: it has 1 cells and its TableInfo 2 columns; nothing of this call is kept
        Cust1, RowData: table `contact`, row 2 of the batch: its Operation is `Z`; expected I, U or D; nothing of this call is kept
        Cust1, RowData: table `contact`, row with key `4294967296`, column `contact_id`: `4294967296` is out of range for type int; nothing of this call is kept
        Cust1, RowData: table `contact`, row with key NULL, column `contact_id`: it is NULL, and the column is NOT NULL; nothing of this call is kept
        Cust1, RowData: table `contact`, row 1 of the batch: it is a D without a value for the key `contact_id`; nothing of this call is kept
        Cust1, Wipe: the request has no TableName; nothing of this call is kept
        Cust1, Wipe: table `person` is not in the mirror; send TableSchema first; nothing of this call is kept
        "#);
    assert_eq!(world.contacts(), ["1|one", "2|NULL"]);
    assert_eq!(world.lsns(), ["contact|7"]);
}

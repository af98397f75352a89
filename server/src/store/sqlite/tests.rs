//! The store test bodies on SQLite, and what only SQLite has: files.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use mirrorlab_protocol::message::RowOperation;
use proptest::prelude::*;
use rusqlite::types::ValueRef;

use super::*;
use crate::store::testing::{self, Bench, CONTEXT, batch_of, table};

struct Files {
    folder: tempfile::TempDir,
    store: SqliteStore,
}

/// No test waits so long: whatever is kept open is kept until it is taken, or let go.
const HOUR: Duration = Duration::from_secs(3600);

impl Files {
    fn new() -> Files {
        Files::with(Duration::from_secs(5), HOUR)
    }

    fn with(busy_wait: Duration, keep_open: Duration) -> Files {
        Files {
            folder: tempfile::tempdir().unwrap(),
            store: SqliteStore::new(SqliteOptions {
                durability: Durability::Fast,
                busy_wait,
                keep_open,
            }),
        }
    }

    /// How many bytes are in the log beside the mirror, where there is one.
    fn log_bytes(&self) -> Option<u64> {
        let log = self.folder.path().join("Mirror_Cust1.db-wal");
        fs::metadata(log).ok().map(|metadata| metadata.len())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("Mirror_Cust1.db")
    }

    fn client(&self) -> Connection {
        Connection::open_with_flags(self.path(), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
    }

    fn begin(&self) -> Result<Box<dyn MirrorTransaction + '_>, StoreError> {
        self.store.begin(CONTEXT, &self.place())
    }

    /// What is in the folder, by name.
    fn listing(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Bench for Files {
    fn store(&self) -> &dyn MirrorStore {
        &self.store
    }

    fn place(&self) -> MirrorPlace {
        MirrorPlace::SqliteFile(self.path())
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let client = self.client();
        let mut statement = client.prepare(sql).unwrap();
        let columns = statement.column_count();
        statement
            .query_map([], |row| {
                let values: Vec<String> = (0..columns)
                    .map(|at| match row.get_ref(at).unwrap() {
                        ValueRef::Null => "NULL".into(),
                        ValueRef::Integer(x) => x.to_string(),
                        ValueRef::Real(x) => format!("{x:?}"),
                        ValueRef::Text(x) => std::str::from_utf8(x).unwrap().to_owned(),
                        ValueRef::Blob(x) => format!("{x:?}"),
                    })
                    .collect();
                Ok(values.join("|"))
            })
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn execute(&self, sql: &str) {
        self.client().execute_batch(sql).unwrap();
    }
}

macro_rules! mount {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                testing::$name(&Files::new());
            }
        )*
    };
}
crate::with_store_bodies!(mount);

fn person() -> Table {
    table("person", "person_id int not null; name nvarchar(20) null")
}

fn with_person(files: &Files, name: &str, lsn: i64) {
    let mut call = files.begin().unwrap();
    if call.table("person").unwrap().is_none() {
        call.create(&person()).unwrap();
    }
    call.apply(&person(), &[0, 1], &batch_of(&[("I", &["1", name])]))
        .unwrap();
    call.set_lsn("person", lsn).unwrap();
    call.commit().unwrap();
}

const QUIET: [&str; 1] = ["Mirror_Cust1.db"];

#[test]
fn between_cycles_a_mirror_is_one_quiet_file() {
    let mut files = Files::new();
    for round in 1..4 {
        with_person(&files, "a", round);
        files.store.rest(CONTEXT, &files.place());
        assert_eq!(files.listing(), QUIET, "the cycle is over");
    }
    with_person(&files, "b", 4);
    files.begin().unwrap().run_script("SELECT 1").unwrap();
    assert_eq!(files.listing(), QUIET, "a call failed");
    with_person(&files, "c", 5);
    assert_ne!(files.listing(), QUIET);
    files.store = SqliteStore::default();
    assert_eq!(files.listing(), QUIET, "the server has ended");
    files.store = SqliteStore::new(SqliteOptions {
        keep_open: Duration::ZERO,
        ..SqliteOptions::default()
    });
    with_person(&files, "d", 6);
    assert_eq!(files.listing(), QUIET, "nothing is to be kept open");
    files.store = SqliteStore::new(SqliteOptions {
        keep_open: Duration::from_millis(1),
        ..SqliteOptions::default()
    });
    with_person(&files, "e", 7);
    while files.listing() != QUIET {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn within_a_cycle_the_file_is_whole_after_each_call_and_anybody_may_use_it() {
    let files = Files::new();
    with_person(&files, "a", 1);
    assert_eq!(
        files.log_bytes(),
        Some(0),
        "it is kept open, and all is in the file"
    );
    let copy = files.folder.path().join("copy.db");
    fs::copy(files.path(), &copy).unwrap();
    let copied = Connection::open(&copy).unwrap();
    let name = |connection: &Connection| -> String {
        connection
            .query_row("SELECT name FROM person", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(name(&copied), "a");
    drop(copied);
    // A reader keeps what he began to read, and holds up no call.
    let reader = files.client();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(name(&reader), "a");
    with_person(&files, "b", 2);
    with_person(&files, "c", 3);
    assert_eq!(name(&reader), "a");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(name(&reader), "c");
    drop(reader);
    with_person(&files, "d", 4);
    // Another program's change is seen by the next call, and in the file at the cycle's end.
    files.execute("UPDATE Cust1_mirroring SET LSN = -1; UPDATE person SET name = 'hand'");
    assert_eq!(files.begin().unwrap().table("person").unwrap().unwrap().lsn, -1);
    with_person(&files, "e", 5);
    files.execute("UPDATE person SET name = 'hand'");
    files.store.rest(CONTEXT, &files.place());
    assert_eq!(files.listing(), ["Mirror_Cust1.db", "copy.db"]);
    assert_eq!(files.query("SELECT name FROM person"), ["hand"]);
}

#[test]
fn a_partners_statements_are_told_that_the_transaction_is_not_theirs() {
    let files = Files::new();
    for sql in ["COMMIT", "ATTACH 'other.db' AS other"] {
        let error = files.begin().unwrap().run_script(sql).unwrap_err().to_string();
        assert!(
            error.contains("they run inside the call's transaction"),
            "{error}"
        );
    }
}

#[test]
fn what_a_partners_statements_made_for_their_connection_goes_with_the_call() {
    let files = Files::new();
    for _ in 0..2 {
        let mut call = files.begin().unwrap();
        call.run_script("CREATE TEMP TABLE notes (x)").unwrap();
        call.commit().unwrap();
        assert_eq!(files.listing(), QUIET);
    }
}

#[test]
fn a_metadata_table_dropped_in_a_cycle_is_made_anew() {
    let files = Files::new();
    with_person(&files, "a", 1);
    files.execute("DROP TABLE Cust1_mirroring; DROP TABLE person");
    with_person(&files, "b", 2);
    assert_eq!(files.query("SELECT LSN FROM Cust1_mirroring"), ["2"]);
}

#[test]
fn of_many_mirrors_some_are_kept_open() {
    let files = Files::new();
    for n in 0..40 {
        let path = files.folder.path().join(format!("{n}.db"));
        let call = files
            .store
            .begin(CONTEXT, &MirrorPlace::SqliteFile(path))
            .unwrap();
        call.commit().unwrap();
    }
    let open = files
        .listing()
        .iter()
        .filter(|name| name.ends_with("-wal"))
        .count();
    assert_eq!(open, 32);
}

#[test]
fn a_mirror_that_was_deleted_is_made_anew() {
    let files = Files::new();
    with_person(&files, "a", 1);
    fs::remove_file(files.path()).unwrap();
    assert_eq!(files.begin().unwrap().tables().unwrap(), []);
    with_person(&files, "b", 2);
    assert_eq!(files.query("SELECT name FROM person"), ["b"]);
}

/// Gives a file that was just written another time than the one before: a file system's clock may tick slowly.
fn touch(path: &Path) {
    let file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() + HOUR).unwrap();
}

#[test]
fn a_backup_put_in_the_mirrors_place_is_what_counts() {
    let files = Files::new();
    let backup = files.folder.path().join("backup");
    with_person(&files, "monday", 1);
    fs::copy(files.path(), &backup).unwrap();
    with_person(&files, "tuesday", 2);
    // Over it, in the same file, and as another file under its name.
    fs::copy(&backup, files.path()).unwrap();
    touch(&files.path());
    assert_eq!(files.begin().unwrap().table("person").unwrap().unwrap().lsn, 1);
    assert_eq!(files.query("SELECT name FROM person"), ["monday"]);
    with_person(&files, "wednesday", 3);
    fs::rename(&backup, files.path()).unwrap();
    assert_eq!(files.begin().unwrap().table("person").unwrap().unwrap().lsn, 1);
    with_person(&files, "thursday", 4);
    assert_eq!(files.query("SELECT name FROM person"), ["thursday"]);
}

#[test]
fn what_only_a_backups_log_holds_is_not_lost() {
    for meets_it in ["the next call", "the cycle's end", "the server's end"] {
        let mut files = Files::new();
        let backup = files.folder.path().join("backup.db");
        let backup_log = files.folder.path().join("backup.db-wal");
        with_person(&files, "monday", 1);
        fs::copy(files.path(), &backup).unwrap();
        // As it is where the machine stopped: the last change has not come into the file yet.
        let program = Connection::open(&backup).unwrap();
        program
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .unwrap();
        program
            .execute_batch("UPDATE person SET name = 'tuesday'")
            .unwrap();
        drop(program);
        with_person(&files, "wednesday", 2);
        // Both are written over those that the kept connection has open.
        fs::copy(&backup, files.path()).unwrap();
        fs::copy(&backup_log, files.folder.path().join("Mirror_Cust1.db-wal")).unwrap();
        touch(&files.path());
        for name in files.listing() {
            if name.starts_with("backup") {
                fs::remove_file(files.folder.path().join(name)).unwrap();
            }
        }
        match meets_it {
            "the next call" => drop(files.begin().unwrap()),
            "the cycle's end" => files.store.rest(CONTEXT, &files.place()),
            _ => files.store = SqliteStore::default(),
        }
        assert_eq!(files.listing(), QUIET, "{meets_it}");
        assert_eq!(files.query("SELECT name FROM person"), ["tuesday"], "{meets_it}");
    }
}

#[test]
fn a_call_whose_log_a_reader_holds_back_keeps_nothing_open() {
    let files = Files::new();
    with_person(&files, "a", 1);
    let reader = files.client();
    reader.execute_batch("BEGIN").unwrap();
    let name: String = reader
        .query_row("SELECT name FROM person", [], |row| row.get(0))
        .unwrap();
    assert_eq!(name, "a");
    with_person(&files, "b", 2);
    // The reader is the last to leave.
    drop(reader);
    assert_eq!(files.listing(), QUIET);
    assert_eq!(files.query("SELECT name FROM person"), ["b"]);
}

#[cfg(unix)]
#[test]
fn a_call_whose_file_is_taken_away_is_refused() {
    let files = Files::new();
    with_person(&files, "a", 1);
    let mut call = files.begin().unwrap();
    call.set_lsn("person", 2).unwrap();
    fs::remove_file(files.path()).unwrap();
    let error = call.commit().unwrap_err().to_string();
    assert!(
        error.contains("was removed or replaced while the call ran"),
        "{error}"
    );
}

#[test]
fn a_mirror_that_cannot_be_made_leaves_nothing() {
    let files = Files::new();
    let inside = |path: &str| MirrorPlace::SqliteFile(files.folder.path().join(path));
    let told = |place: MirrorPlace| {
        let error = files.store.begin(CONTEXT, &place).map(|_| ()).unwrap_err();
        error
            .to_string()
            .replace(&files.folder.path().display().to_string(), "…")
    };
    fs::write(files.folder.path().join("file"), "x").unwrap();
    fs::write(
        files.folder.path().join("text.db"),
        "not a database, but long enough to be read as one".repeat(40),
    )
    .unwrap();
    let texts = [
        told(inside("file/mirror.db")),
        told(inside("missing/folders/mirror.db")),
        told(inside("text.db")),
        told(inside(&"long".repeat(80))),
        told(inside(&format!("new/{}", "long".repeat(80)))),
        told(MirrorPlace::SqlServerDatabase("Mirror_Cust1".into())),
    ];
    insta::assert_snapshot!(texts.join("\n").replace(&"long".repeat(80), "long…"), @"
        the mirror mirror.db cannot be opened: Not a directory (os error 20)
        the mirror mirror.db cannot be opened: its folder cannot be made: No such file or directory (os error 2)
        the mirror text.db cannot be opened: it is not a SQLite database (file is not a database)
        the mirror long… cannot be opened: File name too long (os error 36)
        the mirror long… cannot be opened: File name too long (os error 36)
        the mirror Mirror_Cust1 cannot be opened: it is a SQL Server database, and this server keeps its mirrors in SQLite files
        ");
    assert_eq!(files.listing(), ["file", "text.db"]);
    // A write-ahead log that cannot be: found out only after the file was made.
    fs::create_dir_all(files.folder.path().join("half.db-wal/x")).unwrap();
    let half = files.store.begin(CONTEXT, &inside("half.db")).map(|_| ());
    assert!(matches!(half, Err(StoreError::Open { .. })), "{half:?}");
    assert_eq!(files.listing(), ["file", "half.db-wal", "text.db"]);
    // A bare name has its folder: the one where one is.
    assert_eq!(place::make_folder(Path::new("bare.db")).unwrap(), None);
    // One folder is made.
    files.store.begin(CONTEXT, &inside("mirrors/m.db")).unwrap();
    assert!(files.folder.path().join("mirrors/m.db").exists());
}

#[test]
fn invalidating_leaves_a_file_that_is_no_mirror_alone() {
    let files = Files::new();
    Connection::open(files.path())
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    let before = fs::read(files.path()).unwrap();
    let error = files.store.invalidate(CONTEXT, &files.place(), None).unwrap_err();
    let error = error.to_string();
    assert!(error.ends_with("has no table `Cust1_mirroring`; it is no mirror of this server's"));
    // This text is for a person at the machine, who has to find the file.
    assert!(error.contains(&files.path().display().to_string()), "{error}");
    assert_eq!(fs::read(files.path()).unwrap(), before);
}

#[test]
fn calls_on_one_mirror_wait_for_each_other() {
    let files = Files::new();
    with_person(&files, "a", 1);
    let first = files.begin().unwrap();
    let (started, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            started.send(()).unwrap();
            files.begin().unwrap().table("person").unwrap().unwrap().lsn
        });
        told.recv().unwrap();
        let mut first = first;
        first.set_lsn("person", 2).unwrap();
        first.commit().unwrap();
        assert_eq!(
            second.join().unwrap(),
            2,
            "the second saw what the first committed"
        );
    });
}

#[test]
fn waiting_has_a_limit_and_a_name() {
    let files = Files::with(Duration::from_millis(20), HOUR);
    with_person(&files, "a", 1);
    let first = files.begin().unwrap();
    assert!(matches!(files.begin().map(|_| ()), Err(StoreError::Busy { .. })));
    drop(first);
    let person = files.client();
    person.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(
        matches!(files.begin().map(|_| ()), Err(StoreError::Busy { .. })),
        "another program has it locked"
    );
    person.execute_batch("ROLLBACK").unwrap();
    files.begin().unwrap();
    // One at rest, that another program has to itself, cannot even be opened.
    drop(person);
    files.store.rest(CONTEXT, &files.place());
    let person = files.client();
    person
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE")
        .unwrap();
    assert!(
        matches!(files.begin().map(|_| ()), Err(StoreError::Busy { .. })),
        "another program has it to itself"
    );
    drop(person);
    // Another tenant's mirror is never waited for.
    let _first = files.begin().unwrap();
    let other = MirrorPlace::SqliteFile(files.folder.path().join("other.db"));
    files.store.begin("Cust2", &other).unwrap();
}

#[test]
fn a_column_at_the_end_is_added_without_writing_the_rows_anew() {
    let files = Files::new();
    with_person(&files, "a", 1);
    let root = || files.query("SELECT rootpage FROM sqlite_master WHERE name = 'person'");
    let before = root();
    let change = |old: &Table, columns: &str| {
        let new = table("person", columns);
        let mut call = files.begin().unwrap();
        call.alter(old, &new).unwrap();
        call.commit().unwrap();
        new
    };
    let longer = change(
        &person(),
        "person_id int not null; name nvarchar(20) null; x int not null default ((7))",
    );
    assert_eq!(root(), before, "the table is the one that it was");
    assert_eq!(files.query("SELECT * FROM person"), ["1|a|7"]);
    // Anything else makes it anew: what the first change is told from.
    change(&longer, "person_id int not null; name nvarchar(20) null");
    assert_ne!(root(), before);
    assert_eq!(files.query("SELECT * FROM person"), ["1|a"]);
}

#[test]
fn what_partners_built_on_a_table_survives_a_change_in_place() {
    let files = Files::new();
    with_person(&files, "a", 1);
    files.execute(
        "CREATE INDEX by_name ON person (name);
         CREATE VIEW people AS SELECT name FROM person;
         CREATE TABLE log (name);
         CREATE TABLE child (id REFERENCES person (person_id) ON DELETE CASCADE);
         INSERT INTO child VALUES (1);
         CREATE TRIGGER logged AFTER UPDATE ON person BEGIN INSERT INTO log VALUES (new.name); END;",
    );
    let wider = table(
        "person",
        "person_id int not null; x int null default ((1)); name nvarchar(40) null",
    );
    let mut call = files.begin().unwrap();
    call.alter(&person(), &wider).unwrap();
    call.apply(&wider, &[0, 1, 2], &batch_of(&[("U", &["1", "2", "b"])]))
        .unwrap();
    call.commit().unwrap();
    assert_eq!(files.query("SELECT name FROM people"), ["b"]);
    assert_eq!(files.query("SELECT name FROM log"), ["b"]);
    assert_eq!(
        files.query("SELECT name FROM sqlite_master WHERE type = 'index' AND name = 'by_name'"),
        ["by_name"]
    );
    let mut call = files.begin().unwrap();
    call.wipe(&wider).unwrap();
    call.commit().unwrap();
    assert_eq!(
        files.query("SELECT id FROM child"),
        ["1"],
        "a partner's rows are the partner's"
    );
}

#[test]
fn every_type_arrives_in_its_form() {
    let files = Files::new();
    let every = table(
        "every",
        "k bigint not null; si smallint null; ti tinyint null; b bit null; f float null; r real null; \
         d decimal(18,2) null; m money null; dt datetime null; sd smalldatetime null; d2 datetime2(7) null; \
         o datetimeoffset(0) null; da date null; t time(3) null; n nvarchar(max) null; c nchar(3) null; \
         x varbinary(max) null; g uniqueidentifier null; rv rowversion null",
    );
    let order: Vec<usize> = (0..every.columns.len()).collect();
    let mut call = files.begin().unwrap();
    call.create(&every).unwrap();
    call.apply(
        &every,
        &order,
        &batch_of(&[(
            "I",
            &[
                "[L:-9223372036854775808]",
                "[S:-32768]",
                "[I:255]",
                "True",
                "[F:5E-324]",
                "[F:0.1]",
                "[M:-1.005]",
                "[F:922337203685477.5807]",
                "[DT:01/01/1760 00:00:00.0000000]",
                "[DT:05/18/2020 10:40:43.0000000]",
                "[DT:12/31/9999 23:59:59.9999999]",
                "[DT:05/18/2020 10:40:43.0000000 -02:00]",
                "[D:05/18/2020]",
                "[T:14:52]",
                "[I:5]\u{1}\r\n\t🙂 ",
                "ab ",
                "[B:AAEC/w==]",
                "6f9619ff-8b86-d011-b42d-00c04fc964ff",
                "[B:AAAAAAAAB9E=]",
            ],
        )]),
    )
    .unwrap();
    call.commit().unwrap();
    // In parentheses, so that blanks at the ends are seen.
    let found: Vec<String> = files.query("SELECT * FROM every")[0]
        .split('|')
        .map(|value| format!("({})", value.escape_debug()))
        .collect();
    insta::assert_snapshot!(found.join("\n"), @r#"
        (-9223372036854775808)
        (-32768)
        (255)
        (1)
        (5e-324)
        (0.10000000149011612)
        (-1.01)
        (922337203685477.5807)
        (1760-01-01 00:00:00.000)
        (2020-05-18 10:41:00)
        (9999-12-31 23:59:59.9999999)
        (2020-05-18 10:40:43 -02:00)
        (2020-05-18)
        (14:52:00.000)
        ([I:5]\u{1}\r\n\t🙂 )
        (ab )
        ([0, 1, 2, 255])
        (6F9619FF-8B86-D011-B42D-00C04FC964FF)
        ([0, 0, 0, 0, 0, 0, 7, 209])
        "#);
}

/// One change of a random batch, against the model.
#[derive(Debug, Clone)]
enum Change {
    Put(bool, i8, Option<String>),
    Delete(i8),
}

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = prop_oneof![
        3 => (any::<bool>(), 0i8..12, proptest::option::of(".{0,12}")).prop_map(|(i, k, t)| Change::Put(i, k, t)),
        1 => (0i8..12).prop_map(Change::Delete),
    ];
    proptest::collection::vec(proptest::collection::vec(change, 0..12), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: (ProptestConfig::default().cases / 4).max(1), ..ProptestConfig::default() })]

    #[test]
    fn any_batches_leave_what_a_map_would_hold(calls in changes(), kept in proptest::collection::vec(any::<bool>(), 5)) {
        let files = Files::new();
        let t = table("t", "id smallint not null; a nvarchar(24) null");
        let mut call = files.begin().unwrap();
        call.create(&t).unwrap();
        call.commit().unwrap();
        let mut model: BTreeMap<i8, Option<String>> = BTreeMap::new();
        for (changes, keep) in calls.iter().zip(kept) {
            let mut next = model.clone();
            let mut counts = Applied::default();
            let mut batch = Rows::default();
            for change in changes {
                match change {
                    Change::Put(insert, key, text) => {
                        match next.insert(*key, text.clone()) {
                            None => counts.inserted += 1,
                            Some(_) => counts.updated += 1,
                        }
                        let operation = RowOperation::read(if *insert { "I" } else { "U" });
                        batch.push(operation, [Some(format!("[S:{key}]").into()), text.as_deref().map(Into::into)]);
                    }
                    Change::Delete(key) => {
                        counts.deleted += u64::from(next.remove(key).is_some());
                        batch.push(RowOperation::Delete, [Some(key.to_string().into()), None]);
                    }
                }
            }
            let mut call = files.begin().unwrap();
            prop_assert_eq!(call.apply(&t, &[0, 1], &batch).unwrap(), counts);
            if keep {
                call.commit().unwrap();
                model = next;
            }
        }
        let found: BTreeMap<i8, Option<String>> = files.client()
            .prepare("SELECT id, a FROM t").unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
            .map(Result::unwrap)
            .collect();
        prop_assert_eq!(found, model);
    }
}

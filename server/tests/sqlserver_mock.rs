//! The store on a SQL Server that answers what the test tells it to: every statement that the store sends, as a reviewed
//! snapshot that a T-SQL grammar reads; and what a call comes to when the server fails it.
#![allow(
    clippy::unwrap_used,
    reason = "test code; clippy takes its helpers for a program's"
)]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mirrorlab_engines::mssql::Address;
use mirrorlab_engines::mssql::testing::mock::{Cell, ColumnKind, Mock, PASSWORD, Question, Reply};
use mirrorlab_protocol::message::{Request, Response, RowDataBatch, RowOperation, Rows, TableSchemaInfo};
use mirrorlab_protocol::schema::Table;
use mirrorlab_server::admin::{AdminError, MirrorAdmin};
use mirrorlab_server::events::Event;
use mirrorlab_server::hooks::{Home, Hook, HookAdmin, Hooks, NameTemplate};
use mirrorlab_server::operations::{Mirroring, Options};
use mirrorlab_server::store::metadata::write_schema;
use mirrorlab_server::store::mssql::{MssqlOptions, MssqlStore};
use mirrorlab_server::store::testing::{CONTEXT, batch_of, table};
use mirrorlab_server::store::{MirrorPlace, MirrorStore, Scope};
use sqlparser::dialect::MsSqlDialect;
use sqlparser::parser::Parser;

const MIRROR: &str = "Mirror_Cust1";

fn contact() -> Table {
    table(
        "contact",
        "contact_id int not null; name nvarchar(20) not null default (N'it''s'); born datetime null; text ntext null",
    )
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// What a SQL Server with a mirror of one table answers.
fn sql_server(question: &Question) -> Reply {
    let Question::Sql { sql, .. } = question else {
        return Reply::Done;
    };
    let has = |part: &str| sql.contains(part);
    let contact = contact();
    if has("BEGIN TRANSACTION; DECLARE @got") {
        Reply::row(vec![
            Cell::Integer(0),
            Cell::Integer(1),
            Cell::Integer(1),
            text("SQL_Latin1_General_CP1_CI_AS"),
        ])
    } else if has("'ProductVersion'") {
        let engine = "Microsoft SQL Server 2022 (RTM-CU14) - 16.0.4135.4 (X64)";
        Reply::row(vec![text("16.0.4135.4"), text(engine), Cell::Integer(3)])
    } else if has("SELECT tablename FROM") {
        Reply::row(vec![text("contact")])
    } else if has("SELECT tablename, schemahash") {
        let mut row = vec![
            text("contact"),
            text(&contact.hash()),
            Cell::Integer(7),
            text(&write_schema(&contact)),
        ];
        if has("WHERE tablename = @P1") {
            row.push(Cell::Integer(1));
            return Reply::row(row);
        }
        Reply::Results(vec![vec![row], vec![vec![text("contact")]]])
    } else if has("SELECT @put, @gone") {
        Reply::row(vec![Cell::Integer(0), Cell::Integer(0)])
    } else if has("FROM sys.default_constraints") {
        Reply::row(vec![text("a person's name for it"), text("name")])
    } else if has("FROM sys.key_constraints") {
        Reply::row(vec![text("PK__contact__7C8D5DE2")])
    } else if has("FROM sys.indexes i JOIN") {
        let index = |column: &str, included: i64| {
            let number = Cell::Integer;
            let names = [text("ix_name"), text(column)];
            let [name, column] = names;
            vec![
                name,
                number(1),
                number(2),
                text("([name]>N'')"),
                column,
                number(included),
                number(1 - included),
            ]
        };
        Reply::Results(vec![vec![index("name", 0), index("born", 1)]])
    } else if has("SELECT CASE WHEN") {
        Reply::row(vec![Cell::Integer(1)])
    } else if has("SELECT @got") {
        Reply::row(vec![Cell::Integer(0)])
    } else if has("FROM #mirrorlab_batch") && has("TOP 0") {
        // What the driver asks for before a bulk load.
        use ColumnKind::{DateTime2, Int, Text};
        Reply::Columns(vec![Int, Text, DateTime2, Text])
    } else if has("SELECT DB_ID") {
        Reply::row(vec![Cell::Null, Cell::Integer(0)])
    } else {
        Reply::Done
    }
}

/// Answers as [`sql_server`] does, but for the first `count` statements with `part` in them.
fn but(
    part: &'static str,
    count: usize,
    first: Reply,
) -> impl Fn(&Question) -> Reply + Send + Sync + 'static {
    let seen = AtomicUsize::new(0);
    move |question| {
        let hit = match question {
            Question::Sql { sql, .. } => sql.contains(part),
            Question::Login { .. } => part == LOGIN,
            Question::Bulk => part == BULK,
        };
        match hit && seen.fetch_add(1, Ordering::SeqCst) < count {
            true => first.clone(),
            false => sql_server(question),
        }
    }
}

const LOGIN: &str = "(login)";
const BULK: &str = "(bulk)";

fn error(number: u32, words: &str) -> Reply {
    Reply::Error(number, words.to_owned())
}

fn place() -> MirrorPlace {
    MirrorPlace::SqlServerDatabase(MIRROR.to_owned())
}

fn store(address: Address) -> MssqlStore {
    MssqlStore::new(address, MssqlOptions::default())
}

/// Every statement that the store has, each once, in the order in which they are first sent.
fn statements() -> Vec<String> {
    let mock = Mock::start(sql_server);
    let store = store(mock.address());
    let contact = contact();
    let order: Vec<usize> = (0..contact.columns.len()).collect();
    let row: &[&str] = &["1", "one", "NULL", "x"];
    let mut call = store.begin(CONTEXT, &place()).unwrap();
    call.tables().unwrap();
    call.create(&table(
        "person",
        "person_id int not null; a] decimal(9,2) null default ((0.5)); made datetime not null default (getdate())",
    ))
    .unwrap();
    // One statement: inserts alone; every operation.
    call.apply(&contact, &order, &batch_of(&[("I", row)])).unwrap();
    call.apply(
        &contact,
        &order,
        &batch_of(&[
            ("I", row),
            ("D", &["2"]),
            ("D", &["3"]),
            ("I", &["3", "", "", ""]),
        ]),
    )
    .unwrap();
    call.apply(&contact, &order, &batch_of(&[("D", &["2"])])).unwrap();
    // A bulk load, with a cell beside it that is too large for one.
    let keys: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    let large = "x".repeat(40_000);
    let mut rows = Rows::default();
    for (n, key) in keys.iter().enumerate() {
        let last = if n == 0 { large.as_str() } else { "x" };
        rows.push(
            RowOperation::Insert,
            [Some(key.as_str()), Some("n"), None, Some(last)].map(|cell| cell.map(Cow::Borrowed)),
        );
    }
    call.apply(&contact, &order, &rows).unwrap();
    call.set_lsn("contact", 8).unwrap();
    call.wipe(&contact).unwrap();
    call.has_row(&contact, Some(2)).unwrap();
    call.run_script("UPDATE contact SET name = N'x'\nGO\n").unwrap();
    let changed = table(
        "contact",
        "contact_id bigint not null; name nvarchar(40) null default (N'y'); text ntext null; \
         number1 int not null default ((0)); number2 int null default ((7))",
    );
    call.alter(&contact, &changed).unwrap();
    // Of this type SQL Server alters none.
    let another = table("contact", "contact_id bigint not null; text ntext not null");
    let one = table("contact", "contact_id bigint not null; text ntext null");
    call.alter(&one, &another).unwrap();
    call.drop_table("contact").unwrap();
    call.commit().unwrap();
    // Rows of two tables alone; then it turns out to need more.
    let both = Scope::Tables(&["person", "Contact"]);
    let mut call = store.begin_on(CONTEXT, &place(), both).unwrap();
    assert!(call.table("CONTACT").unwrap().unwrap().present);
    call.set_lsn("contact", 9).unwrap();
    call.set_lsn("category", 9).unwrap_err();
    call.run_script("SELECT 1").unwrap();
    call.drop_table("contact").unwrap();
    call.commit().unwrap();
    store.invalidate(CONTEXT, &place(), Some("contact")).unwrap();
    // A mirror that is not there yet.
    let missing = AtomicUsize::new(0);
    let mock_of_none = Mock::start(move |question| match question {
        Question::Login { database, .. }
            if database == MIRROR && missing.fetch_add(1, Ordering::SeqCst) == 0 =>
        {
            error(4060, "Cannot open database.")
        }
        Question::Sql { sql, .. } if sql.contains("BEGIN TRANSACTION; DECLARE @got") => {
            let seen = missing.fetch_add(1, Ordering::SeqCst);
            let found = if seen > 2 { Cell::Integer(1) } else { Cell::Null };
            Reply::row(vec![Cell::Integer(0), found, Cell::Integer(1), text("x")])
        }
        other => sql_server(other),
    });
    drop(
        self::store(mock_of_none.address())
            .begin(CONTEXT, &place())
            .unwrap(),
    );
    let mut seen = BTreeSet::new();
    mock.asked()
        .into_iter()
        .chain(mock_of_none.asked())
        .filter_map(|question| match question {
            Question::Sql { sql, .. } => Some(sql),
            _ => None,
        })
        .filter(|sql| seen.insert(sql.clone()))
        .collect()
}

#[test]
fn statements_are_as_reviewed_and_t_sql() {
    let all = statements();
    insta::assert_snapshot!("statements", all.join("\n--\n"));
    // What this grammar does not know of T-SQL, by its own words; whatever else it cannot read is a mistake.
    let unread: Vec<String> = all
        .iter()
        .filter_map(|sql| {
            // The driver's own, before a bulk load, are no T-SQL that a person could write.
            let bulk = sql.starts_with("INSERT BULK");
            let read = Parser::parse_sql(&MsSqlDialect {}, sql);
            read.err()
                .filter(|_| !bulk)
                .map(|why| format!("{}…\n  {why}", &sql[..sql.len().min(120)]))
        })
        .collect();
    insta::assert_snapshot!("statements_that_the_grammar_does_not_know", unread.join("\n"));
}

/// Mirrors on the mock; keeps its events.
struct Admin(Mutex<Vec<String>>);

impl MirrorAdmin for Admin {
    fn resolve_connection(&self, _: &str, _: Option<&str>) -> Result<MirrorPlace, AdminError> {
        Ok(place())
    }

    fn log_event(&self, event: &Event) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {}", event.message, event.additional_info));
    }
}

/// A RowData call on a server that answers so: its response, and every text that came of it.
fn row_data(mock: &Mock, store: MssqlStore, heals: bool) -> (Response, String) {
    let admin = Arc::new(Admin(Mutex::default()));
    let mirroring = Mirroring {
        store: Arc::new(store),
        admin: Arc::clone(&admin) as Arc<dyn MirrorAdmin>,
        options: Options::default(),
    };
    let contact = contact();
    let request = || Request::RowData {
        client_state: None,
        batches: vec![RowDataBatch {
            rows: batch_of(&[("I", &["1", "one", "NULL", "x"])]),
            lsn: Some(8),
            table: Some(contact.to_wire()),
        }],
    };
    let response = mirroring.run(CONTEXT, &request());
    let told =
        format!("{response:?} {:?}", admin.0.lock().unwrap()).replace(&format!(":{}", mock.port()), ":PORT");
    if heals {
        // Whatever it was, it is over: the next cycle's call goes through.
        assert!(mirroring.run(CONTEXT, &request()).successful, "{told}");
    }
    (response, told)
}

#[test]
fn what_passes_is_done_anew_within_the_calls_time() {
    let deadlock = || error(1205, "Transaction (Process ID 52) was deadlocked.");
    for (part, reply) in [
        ("INSERT INTO #mirrorlab_batch", deadlock()),
        ("SET LSN = @P2", deadlock()),
        ("COMMIT", error(40_197, "The service has encountered an error.")),
        (
            "INSERT INTO #mirrorlab_batch",
            error(3960, "Snapshot isolation transaction aborted."),
        ),
        (
            "INSERT INTO #mirrorlab_batch",
            error(49_918, "Not enough resources."),
        ),
        ("INSERT INTO #mirrorlab_batch", Reply::Cut),
        (LOGIN, error(40_613, "Database is not currently available.")),
    ] {
        let mock = Mock::start(but(part, 2, reply));
        let (response, told) = row_data(&mock, store(mock.address()), true);
        assert!(response.successful, "{part}: {told}");
        if part != LOGIN {
            assert_eq!(
                mock.count("INSERT INTO #mirrorlab_batch"),
                4,
                "{part}: the whole call, three times, and the next one"
            );
        }
    }
    // For ever is longer than a call may take.
    let mock = Mock::start(but("INSERT INTO #mirrorlab_batch", usize::MAX, deadlock()));
    let impatient = MssqlStore::new(
        mock.address(),
        MssqlOptions {
            call_limit: Duration::from_millis(350),
            ..MssqlOptions::default()
        },
    );
    let (response, told) = row_data(&mock, impatient, false);
    assert!(!response.successful);
    assert!(told.contains("it lost a deadlock"), "{told}");
    assert_eq!(
        mock.count("ROLLBACK"),
        mock.count("INSERT INTO #mirrorlab_batch"),
        "each time"
    );
}

#[test]
fn what_does_not_pass_refuses_its_call_in_words_and_the_next_goes_through() {
    let cases = [
        (LOGIN, error(18_456, "Login failed for user 'mirrors'.")),
        (
            "INSERT INTO #mirrorlab_batch",
            error(
                9002,
                "The transaction log for database 'Mirror_Cust1' is full due to 'LOG_BACKUP'.",
            ),
        ),
        (
            "COMMIT",
            error(
                1105,
                "Could not allocate space for object 'dbo.contact' in database 'Mirror_Cust1'.",
            ),
        ),
        (
            "INSERT INTO #mirrorlab_batch",
            error(229, "The INSERT permission was denied on the object 'contact'."),
        ),
        (
            "INSERT INTO #mirrorlab_batch",
            error(547, "The INSERT statement conflicted with the CHECK constraint."),
        ),
        (
            "BEGIN TRANSACTION; DECLARE @got",
            Reply::row(vec![
                Cell::Integer(0),
                Cell::Integer(1),
                Cell::Integer(0),
                text("Latin1_General_CS_AS"),
            ]),
        ),
        (
            "BEGIN TRANSACTION; DECLARE @got",
            Reply::row(vec![Cell::Integer(-1), Cell::Null, Cell::Integer(1), Cell::Null]),
        ),
        // Not for want of patience.
        (
            "BEGIN TRANSACTION; DECLARE @got",
            Reply::row(vec![
                Cell::Integer(-999),
                Cell::Null,
                Cell::Integer(1),
                Cell::Null,
            ]),
        ),
        (
            "BEGIN TRANSACTION; DECLARE @got",
            Reply::row(vec![Cell::Null, Cell::Null, Cell::Integer(1), Cell::Null]),
        ),
    ];
    let told: Vec<String> = cases
        .into_iter()
        .map(|(part, reply)| {
            let mock = Mock::start(but(part, 1, reply));
            // Tried once: what is answered so will be answered so again.
            let (response, _) = row_data(&mock, store(mock.address()), true);
            let text = response.error.unwrap();
            text.replace(&format!(":{}", mock.port()), ":PORT")
        })
        .collect();
    insta::assert_snapshot!("refusals", told.join("\n"));
}

/// A RowData call on tables of those names, each without rows.
fn rows_of(mock: &Mock, names: &[&str]) -> Response {
    let mirroring = Mirroring {
        store: Arc::new(store(mock.address())),
        admin: Arc::new(Admin(Mutex::default())),
        options: Options::default(),
    };
    let batches = names.iter().map(|name| RowDataBatch {
        rows: Rows::default(),
        lsn: None,
        table: Some(TableSchemaInfo {
            name: Some(Cow::Borrowed(name)),
            ..TableSchemaInfo::default()
        }),
    });
    let request = Request::RowData {
        client_state: None,
        batches: batches.collect(),
    };
    mirroring.run(CONTEXT, &request)
}

#[test]
fn an_unknown_table_is_told_while_others_write_theirs() {
    // Another call's LSN, not committed yet, keeps off who reads all rows.
    let mock = Mock::start(|question| match question {
        Question::Sql { sql, .. } if sql.contains("SELECT tablename FROM") && !sql.contains("NOLOCK") => {
            error(1222, "Lock request time out period exceeded.")
        }
        other => sql_server(other),
    });
    let told = rows_of(&mock, &["nowhere"]).error.unwrap();
    assert!(told.contains("table `nowhere` is not in the mirror"), "{told}");
    assert_eq!(mock.count("SELECT tablename FROM"), 1);
}

#[test]
fn names_that_no_table_has_reach_no_statement() {
    let (long, huge) = ("x".repeat(129), "x".repeat(1_000_000));
    let names: Vec<String> = (0..2000).map(|n| format!("unknown{n}")).collect();
    let many: Vec<&str> = names.iter().map(String::as_str).collect();
    // Locks: the tenant's alone; the table's too.
    for (names, locks) in [
        (&["a\0b"][..], 1),
        (&[&long], 1),
        (&[&huge], 1),
        (&many, 1),
        (&["nowhere"], 2),
    ] {
        let mock = Mock::start(sql_server);
        assert!(!rows_of(&mock, names).successful);
        let taken: usize = mock
            .asked()
            .iter()
            .map(|question| match question {
                Question::Sql { sql, .. } => {
                    assert!(!sql.contains('\0') && sql.len() < 5000, "{sql}");
                    sql.matches("sp_getapplock").count()
                }
                _ => 0,
            })
            .sum();
        assert_eq!(taken, locks, "{:.20}", names[0]);
    }
}

#[test]
fn a_wipe_with_a_script_has_the_tenant_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("wipe.sql");
    std::fs::write(&script, "DELETE FROM another_table").unwrap();
    for (hook, alone) in [
        (None, false),
        (Some(Hook::SqlFile(script)), true),
        (Some(Hook::SqlDirectory(folder.path().to_owned())), true),
    ] {
        let mock = Mock::start(sql_server);
        let runs = matches!(hook, Some(Hook::SqlFile(_)));
        let hooks = Hooks {
            wipe: hook,
            ..Hooks::default()
        };
        let mirroring = Mirroring {
            store: Arc::new(store(mock.address())),
            admin: Arc::new(HookAdmin::at(Home::SqlServer, NameTemplate::default(), hooks)),
            options: Options::default(),
        };
        let request = Request::Wipe {
            client_state: None,
            table: Some(Cow::Borrowed("contact")),
        };
        let response = mirroring.run(CONTEXT, &request);
        assert!(response.successful, "{response:?}");
        assert_eq!(mock.count("DELETE FROM another_table"), usize::from(runs));
        // From the beginning, and nothing more later: two that share it and then want more would wait for each other.
        let locks = [
            "N'mirrorlab mirror_cust1 cust1', @LockMode = 'Exclusive'",
            "N'mirrorlab mirror_cust1 cust1', @LockMode = 'Shared'",
            "N'mirrorlab mirror_cust1 cust1 contact', @LockMode = 'Exclusive'",
        ];
        let counts = locks.map(|lock| mock.count(lock) == 1);
        assert_eq!(counts, [alone, !alone, !alone]);
    }
}

#[test]
fn mirrors_that_cannot_be_made_say_why() {
    let without = |names: &'static [&'static str], create: Reply| {
        let logins = AtomicUsize::new(0);
        Mock::start(move |question| match question {
            Question::Login { database, .. }
                if database == MIRROR && names.is_empty() && logins.fetch_add(1, Ordering::SeqCst) == 0 =>
            {
                error(4060, "Cannot open database.")
            }
            Question::Sql { sql, .. } if sql.contains("BEGIN TRANSACTION; DECLARE @got") => Reply::row(vec![
                Cell::Integer(0),
                Cell::Integer(0),
                Cell::Integer(1),
                text("x"),
            ]),
            Question::Sql { sql, .. } if sql.starts_with("SELECT t.name FROM sys.tables") => {
                Reply::Results(vec![names.iter().map(|name| vec![text(name)]).collect()])
            }
            Question::Sql { sql, .. } if sql.starts_with("CREATE DATABASE") => create.clone(),
            other => sql_server(other),
        })
    };
    let denied = error(262, "CREATE DATABASE permission denied in database 'master'.");
    let told: Vec<String> = [
        without(&[], denied),
        without(&[], error(1105, "Could not allocate space in database 'master'.")),
        without(&["a", "b", "c", "d", "e", "f"], Reply::Done),
        without(&["orders"], Reply::Done),
    ]
    .iter()
    .map(|mock| {
        let error = store(mock.address()).begin(CONTEXT, &place()).err().unwrap();
        assert_eq!(mock.count("CREATE TABLE"), 0, "nothing is made in it");
        error.to_string().replace(&format!(":{}", mock.port()), ":PORT")
    })
    .collect();
    insta::assert_snapshot!("mirrors_that_cannot_be_made", told.join("\n"));
}

#[test]
fn no_response_and_no_event_holds_the_password() {
    let repeated = format!("Login failed for user 'mirrors' with password '{PASSWORD}'.");
    for (part, reply) in [
        (LOGIN, error(18_456, &repeated)),
        ("INSERT INTO #mirrorlab_batch", error(547, &repeated)),
        ("COMMIT", error(9002, &repeated)),
    ] {
        let mock = Mock::start(but(part, 1, reply));
        let (response, told) = row_data(&mock, store(mock.address()), true);
        assert!(!response.successful && told.contains("***"), "{told}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
}

//! The program's commands as a user types them: help, errors, exit codes, and what is on the disk afterwards.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;

/// The program, to be run in `dir`, cut off from the terminal and from settings of the person who tests.
fn mirrorlab(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirrorlab"));
    command
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .env("COLUMNS", "100")
        .env_remove("MIRRORLAB_LOG")
        .env_remove("CLICOLOR_FORCE");
    command
}

/// Command line, exit code, and both outputs, as one text.
fn told(dir: &Path, args: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = mirrorlab(dir, args).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    let mut out = format!("$ {}\n", [&["mirrorlab"], args].concat().join(" "));
    out.push_str(&text(stdout));
    for line in text(stderr).lines() {
        let _ = writeln!(out, "! {line}");
    }
    let code = status.code().expect("the program ends by itself");
    writeln!(out, "exit {code}").expect("a string takes everything");
    assert!(!out.contains('\u{1b}'), "no colour but on a terminal");
    out
}

fn all_told(dir: &Path, lines: &[&[&str]]) -> String {
    let told: Vec<String> = lines.iter().map(|args| told(dir, args)).collect();
    told.join("\n")
}

fn sqlite(path: &Path, sql: &str) -> Connection {
    let connection = Connection::open(path).expect("a database in a temporary directory");
    connection.execute_batch(sql).expect("the test's own SQL");
    connection
}

#[test]
fn help() {
    let dir = tempfile::tempdir().unwrap();
    let text = told(dir.path(), &["--help"]);
    insta::assert_snapshot!("help", text);
    for command in [
        "run",
        "conformance",
        "serve",
        "simulate",
        "tables",
        "invalidate",
        "compare",
        "record",
        "replay",
        "completions",
        "schema",
        "fuzz",
        "defects",
    ] {
        let text = told(dir.path(), &[command, "--help"]);
        insta::assert_snapshot!(format!("help_{command}"), text);
    }
    let text = told(dir.path(), &["keys", "new", "--help"]);
    insta::assert_snapshot!("help_keys_new", text);
}

#[test]
fn wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let text = all_told(
        dir.path(),
        &[
            &[],
            &["rnu"],
            &["run"],
            &["run", "x", "--jobs", "0"],
            &["run", "x", "--seed", "a"],
            &["simulate", "--endpoint", "https://localhost/"],
            &[
                "simulate",
                "--endpoint",
                "x",
                "--keys",
                "x",
                "--application-id",
                "x",
                "--every",
                "30",
            ],
            &[
                "simulate",
                "--endpoint",
                "x",
                "--keys",
                "x",
                "--application-id",
                "x",
                "--ca",
                "x",
                "--insecure",
            ],
            &["serve", "--listen", "localhost"],
            &["serve", "--tls-cert", "x"],
            &["serve", "--tls-cert", "x", "--tls-key", "x", "--plain-http"],
            &["compare", "a.db"],
            &["compare", "a.db", "b.db", "--ignore", "*"],
            &["completions", "tcsh"],
        ],
    );
    insta::assert_snapshot!(text);
}

/// What is wrong with a conformance run before anything is asked: report files, known failures, names of checks.
#[test]
fn conformance_that_cannot_begin() {
    let dir = tempfile::tempdir().unwrap();
    told(dir.path(), &["keys", "new", "keys"]);
    for (name, text) in [
        ("no-reason.txt", "trust.expired our clock\nvalues.int\n"),
        ("twice.txt", "trust.expired a\n\ntrust.expired b\n"),
        ("unknown.txt", "# known\ntrust.expird our clock\n"),
        ("section.txt", "trust all of it\n"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    std::fs::write(dir.path().join("bytes.txt"), [0xff, 0xfe]).unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::write(dir.path().join("old.json"), "the report of yesterday").unwrap();
    let begin = |more: &[&str]| {
        let url = "http://127.0.0.1:1/MirroringClientService.svc";
        let fixed = [
            "conformance",
            "--endpoint",
            url,
            "--keys",
            "keys",
            "--application-id",
            "a",
        ];
        told(dir.path(), &[&fixed, more].concat())
    };
    let texts: Vec<String> = [
        &["--html", "nowhere/report.html"][..],
        &["--junit", "folder"],
        &["--json", "r", "--html", "r"],
        &["--expected", "none.txt"],
        &["--expected", "folder"],
        &["--expected", "bytes.txt"],
        &["--expected", "no-reason.txt"],
        &["--expected", "twice.txt"],
        &["--expected", "unknown.txt"],
        &["--expected", "section.txt"],
        &["--only", "trust.expird"],
        &["--only", "value"],
        &["--only", "answers.build", "--must-only"],
        &["--mirror", "postgres:x"],
        &["--mirror", "sqlite:nowhere"],
        &["--mirror", "sqlite:nowhere/{context}/mirror.db"],
        &["--json", "new.json", "--html", "old.json"],
    ]
    .map(begin)
    .to_vec();
    insta::assert_snapshot!("conformance_cannot_begin", texts.join("\n"));
    // No report: none is left that is empty, and the old one stays.
    begin(&["--json", "first.json", "--html", "nowhere/report.html"]);
    for file in ["new.json", "first.json"] {
        assert!(!dir.path().join(file).exists(), "{file}");
    }
    let old = std::fs::read_to_string(dir.path().join("old.json")).unwrap();
    assert_eq!(old, "the report of yesterday");
}

#[test]
fn new_keys() {
    let dir = tempfile::tempdir().unwrap();
    let listing = || {
        let mut names: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert!(told(dir.path(), &["keys", "new", "keys"]).contains("exit 0"));
    let certificate = || std::fs::read(dir.path().join("keys/trust/superoffice.pem")).unwrap();
    let before = certificate();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let refused = all_told(
        dir.path(),
        &[
            &["keys", "new", "keys"],
            &["keys", "new", "file"],
            &["keys", "new", "no/such/place"],
            &["keys", "new", "other", "--host", "blåbær.example"],
        ],
    );
    insta::assert_snapshot!(refused, @"
    $ mirrorlab keys new keys
    ! error: keys is not empty: keys are never mixed with other files, nor written over; name a new directory
    exit 2

    $ mirrorlab keys new file
    ! error: file is not a directory
    exit 2

    $ mirrorlab keys new no/such/place
    ! error: cannot make no/such/place: there is no directory no/such
    exit 2

    $ mirrorlab keys new other --host blåbær.example
    ! error: --host takes a host's name or address, in ASCII letters
    exit 2
    ");
    assert_eq!(certificate(), before);
    assert_eq!(listing(), ["file", "keys"], "nothing half-made is left");
}

const SOURCE: &str =
    "CREATE TABLE contact (contact_id INTEGER NOT NULL PRIMARY KEY, name nvarchar(219) NOT NULL);
    INSERT INTO contact VALUES (1, 'Ola'), (2, 'Kari');
    CREATE TABLE login (login_id INTEGER NOT NULL PRIMARY KEY);
    CREATE TABLE mirrorlab_ct_version (version int NOT NULL);";
const MIRROR: &str =
    "CREATE TABLE contact (contact_id INTEGER NOT NULL PRIMARY KEY, name nvarchar(219) NOT NULL);
    INSERT INTO contact VALUES (1, 'Ola'), (2, 'Kari');
    CREATE TABLE person (person_id INTEGER NOT NULL PRIMARY KEY);
    CREATE TABLE Cust10001_mirroring (tablename TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, \
        schemahash TEXT NOT NULL, LSN INTEGER NOT NULL DEFAULT -1, tableschema TEXT NOT NULL, filling INTEGER NOT NULL DEFAULT 0);
    INSERT INTO Cust10001_mirroring VALUES ('contact', '', 700, '', 0), ('person', '', 700, '', 0);";

#[test]
fn two_databases() {
    let dir = tempfile::tempdir().unwrap();
    sqlite(&dir.path().join("source.db"), SOURCE);
    sqlite(
        &dir.path().join("mirror.db"),
        &format!("{MIRROR} DROP TABLE person;"),
    );
    sqlite(
        &dir.path().join("wrong.db"),
        &format!(
            "{MIRROR} UPDATE contact SET name = 'kari' WHERE contact_id = 2; DELETE FROM contact WHERE contact_id = 1;"
        ),
    );
    sqlite(&dir.path().join("empty.db"), "PRAGMA user_version = 1;");
    std::fs::write(
        dir.path().join("text.db"),
        "no database, but long enough to be looked at as one".repeat(20),
    )
    .unwrap();
    let text = all_told(
        dir.path(),
        &[
            &["compare", "source.db", "mirror.db"],
            &["compare", "source.db", "wrong.db"],
            &[
                "compare",
                "source.db",
                "wrong.db",
                "--format",
                "csv",
                "--ignore",
                "person",
            ],
            &[
                "compare",
                "source.db",
                "wrong.db",
                "--format",
                "json-lines",
                "--table",
                "person",
                "--max",
                "1",
            ],
            &["compare", "source.db", "wrong.db", "--table", "persons"],
            &["compare", "source.db", "wrong.db", "--column", "nam"],
            &["compare", "source.db", "wrong.db", "--ignore", "person.nam"],
            &[
                "compare",
                "source.db",
                "wrong.db",
                "--ignore",
                "*.nam",
                "--ignore",
                "person",
            ],
            &["compare", "source.db", "mirror.db", "--table", "Contact"],
            &[
                "compare",
                "source.db",
                "mirror.db",
                "--table",
                "person",
                "--column",
                "name",
            ],
            &["compare", "empty.db", "empty.db"],
            &["compare", "source.db", "none.db"],
            &["compare", "source.db", "text.db"],
            &["compare", ".", "mirror.db"],
        ],
    );
    insta::assert_snapshot!(text);
    assert!(!dir.path().join("none.db").exists());
}

/// A URL's query may be a key, and what these print is often kept.
#[test]
fn an_endpoints_query_stands_in_no_message() {
    let dir = tempfile::tempdir().unwrap();
    told(dir.path(), &["keys", "new", "keys"]);
    let url = "http://localhost:1/MirroringClientService.svc?code=HUSH";
    let of_endpoint = ["--endpoint", url, "--keys", "keys", "--application-id", "my-app"];
    for command in [
        &["conformance"][..],
        &["fuzz", "--cases", "1"],
        &["simulate", "--cycles", "1"],
    ] {
        let text = told(dir.path(), &[command, &of_endpoint].concat());
        let output = text.split_once('\n').unwrap().1;
        assert!(
            output.contains("/MirroringClientService.svc: ") && output.ends_with("exit 4\n"),
            "{text}"
        );
        assert!(!output.contains("HUSH"), "{text}");
    }
}

/// Where nothing could be compared, nothing is equal.
#[test]
fn what_cannot_be_compared_is_not_equal() {
    let dir = tempfile::tempdir().unwrap();
    let contact = |name: &str| {
        format!(
            "CREATE TABLE contact (contact_id INTEGER NOT NULL PRIMARY KEY, name {name}); INSERT INTO contact VALUES (1, NULL)"
        )
    };
    for (file, sql) in [
        ("left.db", contact("nvarchar(219)")),
        ("wider.db", contact("nvarchar(300)")),
        ("dated.db", contact("datetime")),
        (
            "other.db",
            "CREATE TABLE y_other (id INTEGER NOT NULL PRIMARY KEY)".to_owned(),
        ),
    ] {
        drop(sqlite(&dir.path().join(file), &sql));
    }
    let compare = |rest: &[&str]| told(dir.path(), &[&["compare", "left.db"], rest].concat());
    let rows = compare(&["wider.db", "--common", "--rows-only"]);
    assert!(rows.ends_with("exit 0\n"), "{rows}");
    let dated = compare(&["dated.db", "--common", "--rows-only"]);
    assert!(
        dated.contains("nvarchar(219)") && dated.ends_with("exit 1\n"),
        "{dated}"
    );
    let nothing = compare(&["other.db", "--common"]);
    assert!(
        nothing.ends_with(
            "! error: there is nothing to compare: left.db and other.db have no table in common\nexit 4\n"
        ),
        "{nothing}"
    );
}

/// What could not be run again has not been shown to hold.
#[test]
fn a_kept_history_that_breaks_is_told_by_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("fuzz-failures")).unwrap();
    std::fs::write(
        dir.path().join("fuzz-failures/kept.yaml"),
        "id: kept\ntitle: t\ncites: c\nsource: {tables: {contact: 1}}\nsteps:\n  - sql: delete from nowhere\n  - mirror\n",
    )
    .unwrap();
    let text = told(dir.path(), &["fuzz", "--cases", "1"]);
    assert!(text.contains("BROKEN fuzz-failures/kept.yaml"), "{text}");
    assert!(text.ends_with("exit 4\n"), "{text}");
}

/// What failed once cannot be looked at: nobody may take that for nothing.
#[test]
fn histories_that_cannot_be_listed_are_no_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kept"), "").unwrap();
    let text = told(dir.path(), &["fuzz", "--cases", "1", "--failures", "kept"]);
    assert!(text.contains("kept") && !text.contains("1 case,"), "{text}");
    assert!(text.ends_with("exit 3\n"), "{text}");
}

#[test]
fn tables_of_a_schema() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "my.schema",
        "table contact\n  contact_id int not null\ntable Login\n  login_id int not null\ntable y_cars\n  id int not null\n",
    );
    write("wrong.schema", "table contact\n  contact_id integre not null\n");
    insta::assert_snapshot!(all_told(
        dir.path(),
        &[
            &["tables", "--schema", "my.schema", "--skip", "Y_CARS"],
            &["tables", "--schema", "my.schema", "--skip", "y_car"],
            &["tables", "--schema", "wrong.schema"],
            &["tables", "--schema", "none.schema"],
        ]
    ), @"
    $ mirrorlab tables --schema my.schema --skip Y_CARS
    contact  mirrored
    Login    not mirrored: blocked (sensitive data of sessions)
    y_cars   not mirrored: skipped by preference

    3 tables: 1 mirrored, 2 not
    exit 0

    $ mirrorlab tables --schema my.schema --skip y_car
    ! error: --skip y_car: the schema has no such table
    exit 2

    $ mirrorlab tables --schema wrong.schema
    ! error: wrong.schema:2: column `contact_id`: `integre` is not a SQL Server column type
    exit 2

    $ mirrorlab tables --schema none.schema
    ! error: none.schema: it cannot be read: No such file or directory (os error 2)
    exit 2
    ");
    assert!(told(dir.path(), &["tables"]).contains("\ncontact "));
}

#[test]
fn tables_that_are_to_be_sent_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = dir.path().join("mirror.db");
    drop(sqlite(&mirror, MIRROR));
    let lsns = || -> Vec<i64> {
        Connection::open(&mirror)
            .unwrap()
            .prepare("SELECT LSN FROM Cust10001_mirroring ORDER BY tablename")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let invalidate = |rest: &[&str]| told(dir.path(), &[&["invalidate"], rest].concat());
    let mut texts = vec![
        invalidate(&["mirror.db", "--tenant", "Cust10002"]),
        invalidate(&["mirror.db", "--tenant", "Cust10001", "--table", "contacts"]),
        invalidate(&["none.db", "--tenant", "Cust10001"]),
    ];
    assert_eq!(lsns(), [700, 700]);
    texts.push(invalidate(&[
        "mirror.db",
        "--tenant",
        "Cust10001",
        "--table",
        "Contact",
    ]));
    assert_eq!(lsns(), [-1, 700]);
    texts.push(invalidate(&["mirror.db", "--tenant", "Cust10001"]));
    assert_eq!(lsns(), [-1, -1]);
    assert!(!dir.path().join("none.db").exists());
    insta::assert_snapshot!(texts.join("\n"), @"
    $ mirrorlab invalidate mirror.db --tenant Cust10002
    ! error: mirror.db has no table `Cust10002_mirroring`; it has Cust10001_mirroring
    exit 2

    $ mirrorlab invalidate mirror.db --tenant Cust10001 --table contacts
    ! error: `contacts` is not among the 2 tables of `Cust10001_mirroring` in mirror.db
    exit 2

    $ mirrorlab invalidate none.db --tenant Cust10001
    ! error: there is no mirror none.db
    exit 2

    $ mirrorlab invalidate mirror.db --tenant Cust10001 --table Contact
    1 table of Cust10001: LSN -1, the next cycle sends all rows anew
    exit 0

    $ mirrorlab invalidate mirror.db --tenant Cust10001
    2 tables of Cust10001: LSN -1, the next cycle sends all rows anew
    exit 0
    ");
}

#[test]
fn completions_for_each_shell() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = told(dir.path(), &["completions", shell]);
        assert!(
            text.contains("invalidate") && text.ends_with("exit 0\n"),
            "{shell}"
        );
    }
}

#[test]
fn the_schema_of_scenario_files() {
    let dir = tempfile::tempdir().unwrap();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenario.schema.json");
    let text = std::fs::read_to_string(page).unwrap();
    assert_eq!(
        told(dir.path(), &["schema"]),
        format!("$ mirrorlab schema\n{text}exit 0\n")
    );
}

#[test]
fn a_report_that_nobody_reads_on_has_its_verdict() {
    let dir = tempfile::tempdir().unwrap();
    sqlite(&dir.path().join("source.db"), SOURCE);
    sqlite(
        &dir.path().join("mirror.db"),
        &format!("{MIRROR} DELETE FROM contact;"),
    );
    let wrong = "id: wrong\ntitle: Wrong\ncites: nothing\nsource: {tables: {contact: 2}}\nsteps:\n  - mirror: {expect: {contact: {inserts: 3}}}\n";
    std::fs::write(dir.path().join("wrong.yaml"), wrong).unwrap();
    for args in [
        ["compare", "source.db", "mirror.db"],
        ["run", "--in-process", "wrong.yaml"],
    ] {
        let output = unread(dir.path(), &args);
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(1), b"".as_slice()),
            "{args:?}"
        );
    }
}

/// Runs the program where nobody reads what it prints.
fn unread(dir: &Path, args: &[&str]) -> Output {
    let mut child = mirrorlab(dir, args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    child.wait_with_output().expect("it ends")
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = unread(dir.path(), &["completions", "bash"]);
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
}

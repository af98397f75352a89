//! The statements for SQL Server, as their reviewed snapshots have them, read by a grammar of T-SQL that is not ours:
//! sqlfluff's, from PyPI.
//!
//! Most of them have run on no SQL Server yet. That the snapshots are what is sent, the tests that make them see to.
//!
//! The test makes its own Python environment, once, in cargo's folder for tests. Where Python or the package is not to be
//! had, the test is shown as ignored, with the reason.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

/// A file of reviewed statements, and what stands between two of them.
const SNAPSHOTS: [(&str, &str); 6] = [
    ("server/tests/snapshots/sqlserver_mock__statements.snap", "\n--\n"),
    (
        "simulator/src/source/mssql/snapshots/mirrorlab_simulator__source__mssql__tracking__tests__what_is_said_to_sql_server_itself.snap",
        "\n",
    ),
    (
        "simulator/src/source/mssql/snapshots/mirrorlab_simulator__source__mssql__tracking__tests__what_stands_in_for_it.snap",
        "\n",
    ),
    (
        "simulator/src/source/mssql/snapshots/mirrorlab_simulator__source__mssql__change__tests__changes_share_statements.snap",
        "\n",
    ),
    (
        "engines/src/mssql/snapshots/mirrorlab_engines__mssql__backup__tests__what_is_said_to_sql_server_itself.snap",
        "\n",
    ),
    (
        "harness/src/compare/snapshots/mirrorlab__compare__inside__tests__statements_are_t_sql.snap",
        "\n",
    ),
];

/// What this grammar does not know of T-SQL: the words, what stands in for them so that the rest of the statement is read
/// all the same, and why that is so. Each must be needed: one that the grammar has learnt fails the test.
const UNKNOWN: [(&str, &str, &str); 3] = [
    (
        "(CHANGE_RETENTION = 7 DAYS, AUTO_CLEANUP = OFF)",
        "",
        "it knows ALTER DATABASE … SET CHANGE_TRACKING = ON, and none of its options",
    ),
    (
        " WITH (TRACK_COLUMNS_UPDATED = OFF)",
        "",
        "it knows ALTER TABLE … ENABLE with TRIGGER alone, and none of its options",
    ),
    (
        "ENABLE CHANGE_TRACKING",
        "ENABLE TRIGGER ALL",
        "it knows ALTER TABLE … ENABLE with TRIGGER alone",
    ),
];

/// Statements that it does not know at all, by how they begin, and why they are left out. Each must be there.
const UNREAD: [(&str, &str); 3] = [
    ("BACKUP DATABASE ", "it has no BACKUP"),
    ("RESTORE DATABASE ", "it has no RESTORE … FROM DISK"),
    (
        "INSERT BULK ",
        "the driver's own, for a bulk load: part of the wire, and no T-SQL that a person could write",
    ),
];

/// No T-SQL: a grammar that reads one of these proves nothing.
const BROKEN: [&str; 6] = [
    "CREATE TABLE [a] ([b] int NOT)",
    "ALTER TABLE [a] ALTER COLUMN [b] bigint NOT NUL",
    "UPDATE t SET [b] = FROM [a] t",
    "INSERT INTO [a] ([b]) VALUES (@P1",
    "SELECT [b] FROM [a] WHERE",
    "CREATE TRIGGER x ON [a] AFTER SOMETHING AS BEGIN SELECT 1 END",
];

const NAME: &str = "statements_are_t_sql";

fn main() {
    let arguments = Arguments::from_args();
    let wanted = !arguments.list && arguments.filter.as_deref().is_none_or(|f| NAME.contains(f));
    let trial = match wanted.then(prepare) {
        Some(Err(reason)) => {
            eprintln!("{NAME} is ignored: {reason}");
            Trial::test(NAME, || Ok(()))
                .with_kind(reason)
                .with_ignored_flag(true)
        }
        Some(Ok(python)) => Trial::test(NAME, move || statements_are_t_sql(&python)),
        None => Trial::test(NAME, || Err("not prepared: it was not asked for".into())),
    };
    libtest_mimic::run(&arguments, vec![trial]).exit();
}

fn statements_are_t_sql(python: &Path) -> Result<(), Failed> {
    let mut wrong = Vec::new();
    let mut asked = Vec::new();
    for (file, between) in SNAPSHOTS {
        let all = statements(file, between)?;
        asked.extend(all.into_iter().map(|sql| (file, sql)));
    }
    for (begin, why) in UNREAD {
        let before = asked.len();
        asked.retain(|(_, sql)| !sql.starts_with(begin));
        eprintln!("not read: {begin}… ({}): {why}", before - asked.len());
        if before == asked.len() {
            wrong.push(format!(
                "no statement begins with `{begin}`: leave it out of the list"
            ));
        }
    }
    // With every unknown piece stood in for, and, to see that each is needed, with all but one.
    let whole: Vec<String> = asked.iter().map(|(_, sql)| known(sql, None)).collect();
    let needed: Vec<(usize, String)> = UNKNOWN
        .iter()
        .enumerate()
        .flat_map(|(n, (words, ..))| {
            let with = asked.iter().filter(move |(_, sql)| sql.contains(words));
            with.map(move |(_, sql)| (n, known(sql, Some(n))))
        })
        .collect();
    let broken = BROKEN.map(str::to_owned);
    let answers = read(
        python,
        whole
            .iter()
            .chain(needed.iter().map(|(_, sql)| sql))
            .chain(&broken),
    )?;
    let (of_whole, rest) = answers.split_at(whole.len());
    let (of_needed, of_broken) = rest.split_at(needed.len());
    for (((file, sql), read), answer) in asked.iter().zip(&whole).zip(of_whole) {
        if !answer.is_empty() {
            wrong.push(format!(
                "{file}\n  {sql}\n  read as {read}\n  {}",
                answer.join("; ")
            ));
        }
    }
    for (n, (words, _, why)) in UNKNOWN.iter().enumerate() {
        eprintln!("stood in for: {words}: {why}");
        let mut of_it = needed
            .iter()
            .zip(of_needed)
            .filter(|((m, _), _)| *m == n)
            .peekable();
        if of_it.peek().is_none() || of_it.any(|(_, answer)| answer.is_empty()) {
            wrong.push(format!(
                "`{words}` is in no statement, or the grammar knows it by now"
            ));
        }
    }
    for (sql, answer) in BROKEN.iter().zip(of_broken) {
        if answer.is_empty() {
            wrong.push(format!("the grammar reads what is no T-SQL: {sql}"));
        }
    }
    eprintln!("{} statements read", asked.len());
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n").into()),
    }
}

/// The statements of a snapshot file, below its head.
fn statements(file: &str, between: &str) -> Result<Vec<String>, Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{file}: {e}"))?;
    let body = text
        .splitn(3, "---\n")
        .nth(2)
        .ok_or_else(|| format!("{file} is no snapshot"))?;
    let all: Vec<String> = body
        .split(between)
        .map(|sql| sql.trim().to_owned())
        .filter(|sql| !sql.is_empty())
        .collect();
    match all.is_empty() {
        true => Err(format!("{file} has no statement").into()),
        false => Ok(all),
    }
}

/// A statement in the words that the grammar knows; one of [`UNKNOWN`] stays.
fn known(sql: &str, but: Option<usize>) -> String {
    let mut sql = plain_names(sql);
    for (n, (words, instead, _)) in UNKNOWN.iter().enumerate() {
        if but != Some(n) {
            sql = sql.replace(words, instead);
        }
    }
    sql
}

/// `[a]]b]` as `[a_b]`: the grammar ends a name at its first bracket. That brackets in names are doubled is seen on an
/// engine, by tables and columns that have them.
fn plain_names(sql: &str) -> String {
    let (mut out, mut rest) = (String::new(), sql);
    while let Some(at) = rest.find(['[', '\'']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let close = if from.starts_with('[') { ']' } else { '\'' };
        // To the first closing sign that is not doubled.
        let mut end = 1;
        while let Some(found) = from[end..].find(close) {
            end += found + 1;
            if !from[end..].starts_with(close) {
                break;
            }
            end += 1;
        }
        let (quoted, behind) = from.split_at(end);
        out.push_str(&quoted.replace("]]", if close == ']' { "_" } else { "]]" }));
        rest = behind;
    }
    out + rest
}

/// A Python that has the grammar; the error is the reason why it cannot be had.
fn prepare() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/grammar");
    let list = folder.join("requirements.txt");
    let version = said("python3", Command::new("python3").arg("--version"), "")?;
    let wanted = std::fs::read(&list).map_err(|e| e.to_string())?;
    let mut hasher = DefaultHasher::new();
    (version, wanted).hash(&mut hasher);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("grammar-{:016x}", hasher.finish()));
    let program = home.join("bin/python3");
    // Written when all is done: what a killed run left behind is made again.
    let mark = home.join("installed");
    if !mark.exists() {
        said(
            "python3 -m venv",
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home),
            "",
        )?;
        said(
            "pip install",
            Command::new(&program)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(["--retries", "1", "--timeout", "20", "--requirement"])
                .arg(&list),
            "",
        )?;
        std::fs::write(&mark, "").map_err(|e| e.to_string())?;
    }
    Ok(program)
}

/// What the grammar cannot read in each statement.
fn read<'s>(python: &Path, statements: impl Iterator<Item = &'s String>) -> Result<Vec<Vec<String>>, Failed> {
    let statements: Vec<&String> = statements.collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/grammar/read.py");
    let asked = serde_json::to_string(&statements)?;
    let answers = said("read.py", Command::new(python).arg(script), &asked)?;
    let answers: Vec<Vec<String>> = serde_json::from_str(&answers)?;
    match answers.len() == statements.len() {
        true => Ok(answers),
        false => Err("read.py answered for another number of statements".into()),
    }
}

/// What a program prints that is told `told`.
fn said(what: &str, command: &mut Command, told: &str) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("{what}: {e}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take()
        && !told.is_empty()
    {
        stdin.write_all(told.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = error.lines().rev().find(|line| !line.trim().is_empty());
    Err(format!("{what}: {}", last.unwrap_or("it failed without a word")))
}

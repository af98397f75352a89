//! What a dead server left on the disk, looked at before any other server has touched it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mirrorlab::compare::{self, Kind, Options, Report, SqliteSide};
use mirrorlab_simulator::source::sqlite::tracking;
use rusqlite::Connection;

use super::template::CONTEXT;

/// The source as it was while a cycle ran.
#[derive(Clone)]
pub struct Moment {
    pub version: i64,
    pub file: PathBuf,
}

/// What was seen of a leftover.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    /// The dead process left a log with something in it.
    pub log: bool,
    /// Tables whose LSN is the last cycle's: equal to the source, row by row.
    pub exact: u64,
    /// Tables with an older LSN or none: each row as it was at that LSN or later.
    pub partial: u64,
    /// Tables whose columns changed meanwhile, which cannot be told apart.
    pub skipped: u64,
}

pub fn mirror_file(mirrors: &Path) -> PathBuf {
    mirrors.join(format!("Mirror_{CONTEXT}.db"))
}

/// SQLite's log of a database.
pub fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Removes a database and what SQLite keeps beside it.
pub fn remove(database: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut name = database.as_os_str().to_owned();
        name.push(ending);
        // What is not there needs no removing.
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
}

/// Checks the mirror in `mirrors`, on a copy in `dir`: no stored LSN stands for rows that are not there. `moments` are
/// those of every cycle so far, the last one's at the end.
pub fn check(mirrors: &Path, dir: &Path, moments: &[Moment]) -> Result<Seen, String> {
    let mirror = mirror_file(mirrors);
    let mut seen = Seen::default();
    if !mirror.exists() {
        return Ok(seen);
    }
    let copy = dir.join("leftover.db");
    remove(&copy);
    for ending in ["", "-wal", "-journal"] {
        let with = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        if with(&mirror).exists() {
            std::fs::copy(with(&mirror), with(&copy)).unwrap();
        }
    }
    seen.log = std::fs::metadata(log_of(&copy)).is_ok_and(|log| log.len() > 0);
    let lsns = lsns(&copy)?;
    let last = moments.last().expect("a cycle ran").version;
    let reports: Vec<(i64, Report)> = moments
        .iter()
        .map(|moment| (moment.version, against(&moment.file, &copy)))
        .collect();
    for (table, lsn) in lsns {
        if lsn >= 0 && !moments.iter().any(|moment| moment.version == lsn) {
            return Err(format!("table {table} has LSN {lsn}, which no cycle had"));
        }
        let candidates: Vec<Option<Differing>> = reports
            .iter()
            .filter(|(version, _)| *version >= lsn)
            .map(|(_, report)| differing(report, &table, lsn < 0))
            .collect();
        if lsn == last {
            let comparable: Vec<_> = candidates.iter().flatten().collect();
            if comparable.is_empty() {
                seen.skipped += 1;
            } else if comparable.iter().any(|keys| keys.is_empty()) {
                seen.exact += 1;
            } else {
                return Err(format!(
                    "table {table} has the last cycle's LSN {lsn}, and its rows are not the source's: {:?}",
                    comparable[0]
                ));
            }
            continue;
        }
        let Some(all) = candidates.into_iter().collect::<Option<Vec<_>>>() else {
            seen.skipped += 1;
            continue;
        };
        let nowhere = all
            .into_iter()
            .reduce(|one, other| {
                one.into_iter()
                    .filter(|(key, _)| other.contains_key(key))
                    .collect()
            })
            .unwrap_or_default();
        if !nowhere.is_empty() {
            return Err(format!(
                "table {table} has LSN {lsn}, and rows as the source never had them since: {nowhere:?}"
            ));
        }
        seen.partial += 1;
    }
    Ok(seen)
}

/// The rows that differ, by key, each with how.
type Differing = BTreeMap<String, BTreeSet<Kind>>;

/// A table's differing rows; `None` where the table itself differs. A table that is still to be sent may lack rows.
fn differing(report: &Report, table: &str, may_lack: bool) -> Option<Differing> {
    report.table(table)?;
    let mut rows = Differing::new();
    for finding in report.findings_of(table) {
        let key = finding.key.clone()?;
        if !(may_lack && finding.kind == Kind::RowMissing) {
            rows.entry(key).or_default().insert(finding.kind);
        }
    }
    Some(rows)
}

/// The stored LSNs. A mirror whose metadata was not made yet has none.
fn lsns(mirror: &Path) -> Result<Vec<(String, i64)>, String> {
    let connection = Connection::open(mirror).map_err(|e| e.to_string())?;
    let told = |e: rusqlite::Error| format!("the mirror cannot be read: {e}");
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(told)?;
    if sound != "ok" {
        return Err(format!("the mirror is damaged: {sound}"));
    }
    let tables: i64 = connection
        .query_row(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table'",
            [],
            |row| row.get(0),
        )
        .map_err(told)?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    let mut statement = connection
        .prepare(&format!("SELECT tablename, LSN FROM {CONTEXT}_mirroring"))
        .map_err(told)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(told)?;
    rows.collect::<Result<_, _>>().map_err(told)
}

/// Compares everything, source to mirror.
pub fn against(source: &Path, mirror: &Path) -> Report {
    let metadata = format!("{CONTEXT}_mirroring");
    let is_source = |table: &str| !tracking::is_own(table);
    let is_mirror = move |table: &str| !table.eq_ignore_ascii_case(&metadata);
    let mut source = SqliteSide::open("source", source, Box::new(is_source)).unwrap();
    let mut mirror = SqliteSide::open("mirror", mirror, Box::new(is_mirror)).unwrap();
    let options = Options {
        findings_per_table_max: usize::MAX,
        ..Options::default()
    };
    compare::compare(&mut source, &mut mirror, &options).unwrap()
}

//! What this crate's own tests share: a source in memory, and a mirror that answers as one should unless told otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use mirrorlab_protocol::answer;
use mirrorlab_protocol::clock::{Clock, ManualClock};
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::message::{
    AuthenticateDetail, Request, Response, ResponseDetail, RowOperation, TableLsn, read_request,
    write_response,
};
use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::soap;
use mirrorlab_protocol::token::{Expected, Unverified};
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;
use mirrorlab_protocol::xml::Reader;

use crate::authority::{Authority, Tokens};
use crate::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};
use crate::source::{Change, ChangeSink, Flow, RowSink, Snapshot, Source, SourceError};
use crate::task::{self, Cycle, EveryTable, Settings, TableFilter, report::CycleReport};

/// 2027-01-15 08:00 UTC.
pub const NOW: i64 = 1_800_000_000;
pub const APPLICATION: &str = "app-1";

/// One authority for all tests: keys are slow to make.
pub fn authority() -> Arc<Authority> {
    static ONE: OnceLock<Arc<Authority>> = OnceLock::new();
    ONE.get_or_init(|| Arc::new(Authority::generate(NOW).unwrap()))
        .clone()
}

/// The application's key: as small as the one seen.
pub fn application_key() -> &'static PrivateKey {
    static ONE: OnceLock<PrivateKey> = OnceLock::new();
    ONE.get_or_init(|| PrivateKey::generate(1024).unwrap())
}

/// `int not null`, `nvarchar(max)`.
pub fn table(name: &str) -> Table {
    let column = |name: &str, ty, nullable| Column {
        name: name.into(),
        ty,
        nullable,
        default: None,
    };
    Table {
        name: name.into(),
        columns: vec![
            column("id", ColumnType::Int, false),
            column("text", ColumnType::NVarChar(Length::Max), true),
        ],
    }
}

/// A message in an envelope without token.
pub fn envelope_request(message: &[u8]) -> String {
    String::from_utf8(soap::envelope(None, message)).unwrap()
}

/// Reads an envelope.
pub fn read(text: &str) -> Request<'_> {
    let mut reader = Reader::new(text);
    soap::open(&mut reader).unwrap();
    read_request(&mut reader).unwrap()
}

#[derive(Debug, Clone)]
struct FakeTable {
    shape: Table,
    rows: BTreeMap<i64, String>,
    tracked: bool,
    min_valid: i64,
    /// Version, key, whether the row was new.
    log: Vec<(i64, i64, bool)>,
}

/// A source of two-column tables in memory.
#[derive(Debug, Clone, Default)]
pub struct FakeSource {
    tables: BTreeMap<String, FakeTable>,
    version: i64,
    now: i64,
    /// When each version was made.
    times: Vec<(i64, i64)>,
    backups: BTreeMap<String, Box<FakeSource>>,
    /// Reading this table fails at this row.
    pub fail_at: Option<(String, usize)>,
    pub clean_ups: Vec<i64>,
}

impl FakeSource {
    /// Tracked tables with so many rows each, at version 1 or above.
    pub fn new(tables: &[(&str, i64)]) -> FakeSource {
        let mut source = FakeSource {
            version: 1,
            now: NOW,
            ..FakeSource::default()
        };
        for (name, rows) in tables {
            source.create_table(&table(name)).unwrap();
            source.set_tracking(name, true).unwrap();
            if *rows > 0 {
                source.insert(name, 1..=*rows);
            }
        }
        source
    }

    pub fn insert(&mut self, table: &str, keys: impl IntoIterator<Item = i64>) {
        self.put(table, keys.into_iter().map(|key| (key, format!("row {key}"))));
    }

    pub fn put(&mut self, table: &str, rows: impl IntoIterator<Item = (i64, String)>) {
        let version = self.next();
        let table = self.tables.get_mut(table).unwrap();
        for (key, text) in rows {
            let new = table.rows.insert(key, text).is_none();
            table.log.push((version, key, new));
        }
    }

    pub fn delete(&mut self, table: &str, keys: impl IntoIterator<Item = i64>) {
        let version = self.next();
        let table = self.tables.get_mut(table).unwrap();
        for key in keys {
            table.rows.remove(&key).unwrap();
            table.log.push((version, key, false));
        }
    }

    pub fn rows(&self) -> BTreeMap<String, BTreeMap<i64, String>> {
        self.tables
            .iter()
            .map(|(name, table)| (name.clone(), table.rows.clone()))
            .collect()
    }

    fn next(&mut self) -> i64 {
        self.version += 1;
        self.times.push((self.version, self.now));
        self.version
    }
}

impl Source for FakeSource {
    fn tables(&mut self) -> Result<Vec<Table>, SourceError> {
        Ok(self.tables.values().map(|table| table.shape.clone()).collect())
    }
    fn create_table(&mut self, shape: &Table) -> Result<(), SourceError> {
        let table = FakeTable {
            shape: shape.clone(),
            rows: BTreeMap::new(),
            tracked: false,
            min_valid: 0,
            log: Vec::new(),
        };
        self.tables.insert(shape.name.clone(), table);
        Ok(())
    }
    fn alter_table(&mut self, _new: &Table) -> Result<(), SourceError> {
        Ok(())
    }
    fn drop_table(&mut self, table: &str) -> Result<(), SourceError> {
        self.tables.remove(table);
        Ok(())
    }
    fn truncate(&mut self, _table: &str) -> Result<(), SourceError> {
        Ok(())
    }
    fn transact(&mut self, _changes: &[(&str, Change)]) -> Result<(), SourceError> {
        Ok(())
    }
    fn execute(&mut self, _sql: &str) -> Result<(), SourceError> {
        Ok(())
    }
    fn count(&mut self, table: &str) -> Result<u64, SourceError> {
        Ok(self.tables[table].rows.len() as u64)
    }
    fn keys(&mut self, table: &str, _o: u64, _l: u64) -> Result<Vec<Value<'static>>, SourceError> {
        Ok(self.tables[table]
            .rows
            .keys()
            .map(|key| Value::Int(*key))
            .collect())
    }
    fn is_tracked(&mut self, table: &str) -> Result<bool, SourceError> {
        Ok(self.tables[table].tracked)
    }
    fn set_tracking(&mut self, table: &str, on: bool) -> Result<(), SourceError> {
        let version = self.next();
        let table = self.tables.get_mut(table).unwrap();
        table.tracked = on;
        table.min_valid = version;
        table.log.clear();
        Ok(())
    }
    fn current_version(&mut self) -> Result<i64, SourceError> {
        Ok(self.version)
    }
    fn min_valid_version(&mut self, table: &str) -> Result<Option<i64>, SourceError> {
        let table = &self.tables[table];
        Ok(table.tracked.then_some(table.min_valid))
    }
    fn set_now(&mut self, now: i64) -> Result<(), SourceError> {
        self.now = now;
        Ok(())
    }
    fn clean_up(&mut self, retention_seconds: i64) -> Result<(), SourceError> {
        self.clean_ups.push(retention_seconds);
        let old = self
            .times
            .iter()
            .filter(|(_, time)| *time < self.now - retention_seconds);
        let forgotten = old.map(|(version, _)| *version).max().unwrap_or(0);
        for table in self.tables.values_mut() {
            table.min_valid = table.min_valid.max(forgotten);
            table.log.retain(|(version, _, _)| *version > forgotten);
        }
        Ok(())
    }
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, SourceError> {
        Ok(Box::new(FakeSnapshot(self)))
    }
    fn backup(&mut self, name: &str) -> Result<(), SourceError> {
        self.backups.insert(name.into(), Box::new(self.clone()));
        Ok(())
    }
    fn restore(&mut self, name: &str) -> Result<(), SourceError> {
        let (backups, now) = (self.backups.clone(), self.now);
        *self = FakeSource {
            backups: backups.clone(),
            now,
            ..*backups[name].clone()
        };
        Ok(())
    }
}

struct FakeSnapshot<'s>(&'s FakeSource);

impl Snapshot for FakeSnapshot<'_> {
    fn version(&self) -> i64 {
        self.0.version
    }
    fn rows(&mut self, table: &Table, sink: &mut RowSink<'_>) -> Result<(), SourceError> {
        for (at, (key, text)) in self.0.tables[&table.name].rows.iter().enumerate() {
            if self.0.fail_at == Some((table.name.clone(), at)) {
                return Err(SourceError {
                    source_name: "fake".into(),
                    doing: format!("read `{}`", table.name),
                    why: "the disk is gone".into(),
                });
            }
            if sink(&[Value::Int(*key), Value::Text(text.as_str().into())])? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
    fn changes(&mut self, table: &Table, since: i64, sink: &mut ChangeSink<'_>) -> Result<(), SourceError> {
        let table = &self.0.tables[&table.name];
        let changed: BTreeSet<i64> = table
            .log
            .iter()
            .filter(|(version, _, _)| *version > since)
            .map(|(_, key, _)| *key)
            .collect();
        for key in changed {
            let first = table
                .log
                .iter()
                .find(|(version, k, _)| *version > since && *k == key)
                .unwrap();
            let flow = match table.rows.get(&key) {
                Some(text) => {
                    let operation = if first.2 {
                        RowOperation::Insert
                    } else {
                        RowOperation::Update
                    };
                    sink(&operation, &[Value::Int(key), Value::Text(text.as_str().into())])?
                }
                None => sink(&RowOperation::Delete, &[Value::Int(key), Value::Null])?,
            };
            if flow == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}

/// A mirror of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorTable {
    pub lsn: i64,
    pub rows: BTreeMap<i64, String>,
}

type Tables = BTreeMap<String, MirrorTable>;
type Script = dyn Fn(&OutgoingCall, usize) -> Option<Result<Reply, TransportError>> + Send + Sync;
type Tweak = dyn Fn(&mut AuthenticateDetail) + Send + Sync;

#[derive(Default)]
struct MirrorState {
    tenants: BTreeMap<String, Tables>,
    calls: Vec<OutgoingCall>,
}

/// An endpoint in memory that mirrors, by its own simple reading of the rules.
#[derive(Default)]
pub struct FakeEndpoint {
    state: Mutex<MirrorState>,
    script: Mutex<Option<Box<Script>>>,
    tweak: Mutex<Option<Box<Tweak>>>,
}

pub fn reply(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply {
        status,
        content_type: content_type.into(),
        body: body.into(),
    }
}

pub fn answer(response: &Response) -> Reply {
    reply(
        200,
        "text/xml; charset=utf-8",
        soap::envelope(None, &write_response(response)),
    )
}

impl FakeEndpoint {
    /// Answers some calls otherwise: given the call and its number from 0 on.
    pub fn script(
        &self,
        script: impl Fn(&OutgoingCall, usize) -> Option<Result<Reply, TransportError>> + Send + Sync + 'static,
    ) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }

    /// Changes Authenticate's answers.
    pub fn tweak(&self, tweak: impl Fn(&mut AuthenticateDetail) + Send + Sync + 'static) {
        *self.tweak.lock().unwrap() = Some(Box::new(tweak));
    }

    pub fn good(&self) {
        *self.script.lock().unwrap() = None;
        *self.tweak.lock().unwrap() = None;
    }

    /// The calls since the last look.
    pub fn take_calls(&self) -> Vec<OutgoingCall> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// The operations since the last look, each with its table names.
    pub fn take_log(&self) -> String {
        let line = |call: &OutgoingCall| {
            let text = String::from_utf8(call.body.clone()).unwrap();
            match read(&text) {
                Request::Wipe { table, .. } => format!("Wipe {}", table.unwrap()),
                Request::RowData { batches, .. } => {
                    let batches: Vec<_> = batches
                        .iter()
                        .map(|b| {
                            let name = b.table.as_ref().unwrap().name.as_deref().unwrap();
                            let letters: String = b.rows.iter().map(|r| r.operation.letter()).collect();
                            format!("{name}[{letters}]@{}", b.lsn.unwrap())
                        })
                        .collect();
                    format!("RowData {}", batches.join(" "))
                }
                Request::TableSchema { tables, .. } => {
                    let names: Vec<_> = tables.iter().map(|t| t.name.as_deref().unwrap()).collect();
                    format!("TableSchema {}", names.join(" "))
                }
                Request::ReplicationCompleted { changed, .. } => {
                    let tables: Vec<_> = changed
                        .iter()
                        .map(|s| {
                            let name = s.table.as_deref().unwrap();
                            format!(" {name} I{} U{} D{}", s.inserts, s.updates, s.deletes)
                        })
                        .collect();
                    format!("ReplicationCompleted{}", tables.concat())
                }
                Request::Authenticate { .. } => "Authenticate".into(),
            }
        };
        self.take_calls().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub fn tables(&self, context: &str) -> Tables {
        self.state
            .lock()
            .unwrap()
            .tenants
            .get(context)
            .cloned()
            .unwrap_or_default()
    }

    pub fn set_lsn(&self, context: &str, table: &str, lsn: i64) {
        let mut state = self.state.lock().unwrap();
        state
            .tenants
            .get_mut(context)
            .unwrap()
            .get_mut(table)
            .unwrap()
            .lsn = lsn;
    }

    /// What is mirrored, without the LSNs.
    pub fn rows(&self, context: &str) -> BTreeMap<String, BTreeMap<i64, String>> {
        self.tables(context)
            .into_iter()
            .map(|(name, table)| (name, table.rows))
            .collect()
    }

    fn mirror(&self, call: &OutgoingCall) -> Reply {
        let text = String::from_utf8(call.body.clone()).unwrap();
        let head = soap::open(&mut Reader::new(&text)).unwrap();
        let token = head.token.unwrap_or_default();
        let expected = Expected {
            application: APPLICATION,
            now: NOW,
            leeway: i64::MAX / 4,
        };
        let claims = Unverified::parse(&token)
            .and_then(|unverified| unverified.verify(authority().certificate().key(), &expected));
        let claims = match claims {
            Ok(claims) => claims,
            Err(error) => return answer(&Response::refusal(call.operation, error.to_string())),
        };
        let mut state = self.state.lock().unwrap();
        let tables = state.tenants.entry(claims.context.clone()).or_default();
        let detail = match read(&text) {
            Request::Authenticate { .. } => {
                let mut detail = AuthenticateDetail {
                    signed_application_token: Some(answer::sign(
                        &claims.nonce,
                        claims.not_before,
                        application_key(),
                    )),
                    client_state: Some(format!("state of {}", claims.context)),
                    ..AuthenticateDetail::default()
                };
                if let Some(tweak) = &*self.tweak.lock().unwrap() {
                    tweak(&mut detail);
                }
                ResponseDetail::Authenticate(detail)
            }
            Request::TableSchema { tables: shapes, .. } => {
                let names: Vec<String> = shapes.into_iter().map(|s| s.name.unwrap().into_owned()).collect();
                tables.retain(|name, _| names.contains(name));
                ResponseDetail::TableSchema(
                    names
                        .into_iter()
                        .map(|table| TableLsn {
                            lsn: tables
                                .entry(table.clone())
                                .or_insert(MirrorTable {
                                    lsn: -1,
                                    rows: BTreeMap::new(),
                                })
                                .lsn,
                            table,
                        })
                        .collect(),
                )
            }
            Request::Wipe { table, .. } => {
                let table = tables.get_mut(table.unwrap().as_ref()).unwrap();
                *table = MirrorTable {
                    lsn: -1,
                    rows: BTreeMap::new(),
                };
                ResponseDetail::Wipe
            }
            Request::RowData { batches, .. } => {
                for batch in &batches {
                    let name = batch.table.as_ref().unwrap().name.as_deref().unwrap();
                    let table = tables.get_mut(name).unwrap();
                    for row in batch.rows.iter() {
                        let key = row.cells[0].as_deref().unwrap();
                        let key: i64 = key
                            .strip_prefix("[I:")
                            .unwrap()
                            .strip_suffix(']')
                            .unwrap()
                            .parse()
                            .unwrap();
                        match row.operation {
                            RowOperation::Delete => drop(table.rows.remove(&key)),
                            _ => drop(
                                table
                                    .rows
                                    .insert(key, row.cells[1].as_deref().unwrap().to_owned()),
                            ),
                        }
                    }
                    if let Some(lsn) = batch.valid_lsn() {
                        table.lsn = lsn;
                    }
                }
                ResponseDetail::RowData
            }
            Request::ReplicationCompleted { .. } => ResponseDetail::ReplicationCompleted,
        };
        answer(&Response::success(detail))
    }
}

impl Endpoint for FakeEndpoint {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let number = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(call.clone());
            state.calls.len() - 1
        };
        let scripted = self
            .script
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|script| script(call, number));
        scripted.unwrap_or_else(|| Ok(self.mirror(call)))
    }
}

/// Whether a call is of this operation, and names this table.
pub fn is(call: &OutgoingCall, operation: Operation, table: &str) -> bool {
    call.operation == operation && String::from_utf8_lossy(&call.body).contains(&format!(">{table}<"))
}

/// One tenant with its source and its mirror.
pub struct Bench {
    pub source: FakeSource,
    pub endpoint: FakeEndpoint,
    pub settings: Settings,
    pub tokens: Tokens,
    pub filter: Box<dyn TableFilter>,
    pub wire_clock: ManualClock,
    pub source_clock: ManualClock,
}

impl Bench {
    pub fn new(tables: &[(&str, i64)]) -> Bench {
        Bench {
            source: FakeSource::new(tables),
            endpoint: FakeEndpoint::default(),
            settings: Settings {
                pipeline: task::Pipeline::Inline,
                ..Settings::default()
            },
            tokens: Tokens::new(authority(), APPLICATION, "Cust10001", 1),
            filter: Box::new(EveryTable),
            wire_clock: ManualClock::new(NOW),
            source_clock: ManualClock::new(NOW),
        }
    }

    pub fn run(&mut self) -> CycleReport {
        self.source.now = self.source_clock.now();
        let cycle = Cycle {
            context: "Cust10001",
            settings: &self.settings,
            application_key: &application_key().public(),
            endpoint: &self.endpoint,
            filter: self.filter.as_ref(),
            wire_clock: &self.wire_clock,
            source_clock: &self.source_clock,
        };
        task::run(&cycle, &mut self.source, &mut self.tokens)
    }

    /// Runs a cycle that has to succeed, after which mirror and source are equal.
    pub fn run_well(&mut self) -> CycleReport {
        let report = self.run();
        assert!(report.is_success(), "{:?}", report.error());
        assert_eq!(self.endpoint.rows("Cust10001"), self.source.rows());
        report
    }
}

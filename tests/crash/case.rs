//! One drawn history: kills, each followed by a look at what was left, then one clean cycle and the comparison.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::clock::SystemClock;
use mirrorlab_protocol::names::SERVICE_FILE;
use mirrorlab_simulator::authority::Tokens;
use mirrorlab_simulator::draw::pick::{below, between, chance, index, one};
use mirrorlab_simulator::draw::{self, Counts, Style, seeded};
use mirrorlab_simulator::endpoint::https::{HttpsEndpoint, HttpsOptions};
use mirrorlab_simulator::source::Source as _;
use mirrorlab_simulator::source::sqlite::SqliteSource;
use mirrorlab_simulator::task::report::CycleReport;
use mirrorlab_simulator::task::{self, Cycle, EveryTable, Pipeline, Settings};
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;

use super::leftover::{self, Moment, Seen, mirror_file, remove};
use super::server::Server;
use super::template::{APPLICATION, CONTEXT, Template, column, extra_table};
use super::wire::{Point, Strike, Wire};

/// Small, so that tables come in several calls.
const BATCH_BYTES: usize = 16_000;

/// What was done and seen.
#[derive(Debug, Default)]
pub struct Tally {
    cases: u64,
    kills: BTreeMap<&'static str, u64>,
    /// Kills that left a transaction's log behind.
    logs: u64,
    exact: u64,
    partial: u64,
    skipped: u64,
    rows_compared: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.cases += other.cases;
        for (point, count) in &other.kills {
            *self.kills.entry(point).or_default() += count;
        }
        self.logs += other.logs;
        self.exact += other.exact;
        self.partial += other.partial;
        self.skipped += other.skipped;
        self.rows_compared += other.rows_compared;
    }

    fn see(&mut self, point: &'static str, seen: Seen) {
        *self.kills.entry(point).or_default() += 1;
        self.logs += u64::from(seen.log);
        self.exact += seen.exact;
        self.partial += seen.partial;
        self.skipped += seen.skipped;
    }

    /// A matrix that reaches no transaction, or sees no table half done, proves nothing.
    pub fn check_reach(&self) {
        assert!(self.kills.len() == 8, "every kind of point was drawn: {self}");
        assert!(self.logs >= 3, "kills left logs behind: {self}");
        assert!(
            self.exact >= 20 && self.partial >= 20,
            "both states of a table were seen: {self}"
        );
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: Vec<String> = self
            .kills
            .iter()
            .map(|(point, n)| format!("{n} {point}"))
            .collect();
        write!(
            f,
            "{} kills in {} cases ({}); {} of them left a log; tables right after a kill: {} at the cycle's LSN and equal, \
             {} behind and right, {} with other columns; {} rows compared at the end",
            self.kills.values().sum::<u64>(),
            self.cases,
            kills.join(", "),
            self.logs,
            self.exact,
            self.partial,
            self.skipped,
            self.rows_compared
        )
    }
}

/// A worker's own server, directory and runtime.
pub struct Bench<'t> {
    template: &'t Template,
    dir: PathBuf,
    mirrors: PathBuf,
    server: Server,
    runtime: tokio::runtime::Runtime,
}

/// One case's own source and tokens.
struct World {
    source: SqliteSource,
    tokens: Tokens,
    rng: ChaCha8Rng,
    moments: Vec<Moment>,
}

impl<'t> Bench<'t> {
    pub fn new(template: &'t Template, worker: u32) -> Bench<'t> {
        let dir = template.dir().join(format!("worker{worker}"));
        let mirrors = dir.join("mirrors");
        std::fs::create_dir_all(&mirrors).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Bench {
            template,
            server: Server::start(&template.keys_dir(), &mirrors),
            dir,
            mirrors,
            runtime,
        }
    }

    /// Runs case `number`.
    pub fn run(&mut self, seed: u64, number: u64) -> Result<Tally, String> {
        let mut tally = Tally {
            cases: 1,
            ..Tally::default()
        };
        let source = self.dir.join("source.db");
        remove(&source);
        remove(&mirror_file(&self.mirrors));
        std::fs::copy(self.template.source_file(), &source).unwrap();
        let mut world = World {
            source: SqliteSource::open(&source, Durability::Fast).unwrap(),
            tokens: Tokens::new(
                self.template.authority.clone(),
                APPLICATION,
                CONTEXT,
                seed ^ number,
            ),
            rng: seeded(seed, &["crash matrix", &number.to_string()]),
            moments: Vec::new(),
        };
        let kind = below(&mut world.rng, 100);
        let mut populates = kind < 40;
        if !populates {
            self.clean_cycle(&mut world)?;
            if kind < 55 {
                self.invalidate(&mut world);
                populates = true;
            } else {
                change(&mut world);
            }
        }
        let kills = 1 + u32::from(chance(&mut world.rng, 400)) + u32::from(chance(&mut world.rng, 200));
        for again in 0..kills {
            if again > 0 && chance(&mut world.rng, 500) {
                change(&mut world);
            }
            let strike = draw_strike(&mut world.rng, populates);
            let place = self.kill(&mut world, strike);
            let seen = leftover::check(&self.mirrors, &self.dir, &world.moments)
                .map_err(|why| format!("killed at {strike:?} ({place}): {why}"))?;
            tally.see(place, seen);
            self.server = Server::start(&self.template.keys_dir(), &self.mirrors);
        }
        self.clean_cycle(&mut world)?;
        let report = leftover::against(&source, &mirror_file(&self.mirrors));
        if !report.is_equal() {
            return Err(format!(
                "after a clean cycle the mirror differs: {:#?}",
                report.findings
            ));
        }
        tally.rows_compared = report.rows_compared();
        if chance(&mut world.rng, 300) {
            let quiet = self.clean_cycle(&mut world)?;
            let rows: u64 = quiet.tables.iter().map(task::report::TableReport::rows).sum();
            if rows != 0 || !quiet.wiped().is_empty() {
                return Err(format!(
                    "the cycle after the clean one had work: {}",
                    quiet.summary()
                ));
            }
        }
        Ok(tally)
    }

    /// A cycle in which the server dies; where that was.
    fn kill(&self, world: &mut World, strike: Strike) -> &'static str {
        let wire = Wire::new(&self.server, strike, mirror_file(&self.mirrors));
        let report = self.cycle(world, &format!("http://{}/{SERVICE_FILE}", wire.address));
        let place = if wire.has_struck() {
            strike.point.name()
        } else {
            assert!(report.is_success(), "nothing was killed: {}", report.summary());
            assert!(wire.calls() <= strike.call);
            "after the cycle"
        };
        // And waits until it is gone.
        self.server.kill();
        self.note_moment(world);
        place
    }

    /// A cycle in which nothing goes wrong.
    fn clean_cycle(&self, world: &mut World) -> Result<CycleReport, String> {
        let report = self.cycle(world, &format!("http://{}/{SERVICE_FILE}", self.server.address));
        self.note_moment(world);
        if !report.is_success() {
            return Err(format!("a clean cycle failed: {}", report.summary()));
        }
        Ok(report)
    }

    fn cycle(&self, world: &mut World, url: &str) -> CycleReport {
        // A client of its own: a connection that died is none that a client would keep.
        let endpoint = HttpsEndpoint::new(HttpsOptions::new(url), self.runtime.handle().clone()).unwrap();
        let settings = Settings {
            batch_bytes_max: BATCH_BYTES,
            pipeline: Pipeline::Inline,
            ..Settings::default()
        };
        let cycle = Cycle {
            context: CONTEXT,
            settings: &settings,
            application_key: &self.template.keys.application_key.public(),
            endpoint: &endpoint,
            filter: &EveryTable,
            wire_clock: &SystemClock,
            source_clock: &SystemClock,
        };
        task::run(&cycle, &mut world.source, &mut world.tokens)
    }

    /// Keeps the source as the cycle saw it: nothing changed it meanwhile.
    fn note_moment(&self, world: &mut World) {
        let name = format!("m{}", world.moments.len());
        world.source.backup(&name).unwrap();
        world.moments.push(Moment {
            version: world.source.current_version().unwrap(),
            file: world.source.path().with_extension(format!("{name}.backup")),
        });
    }

    /// A person asks for everything anew, of one table or of all.
    fn invalidate(&self, world: &mut World) {
        let tables = if chance(&mut world.rng, 500) {
            "1"
        } else {
            "tablename = 'contact'"
        };
        let mirror = Connection::open(mirror_file(&self.mirrors)).unwrap();
        mirror
            .execute(
                &format!("UPDATE {CONTEXT}_mirroring SET LSN = -1 WHERE {tables}"),
                [],
            )
            .unwrap();
    }
}

fn draw_strike(rng: &mut ChaCha8Rng, populates: bool) -> Strike {
    // A population has about 25 calls, changes about 9; what lies beyond is a kill after the cycle.
    let call = below(rng, if populates { 26 } else { 9 });
    let point = match below(rng, 12) {
        0 | 1 => Point::Request(u32::try_from(below(rng, 1000)).expect("below 1000")),
        2 => Point::LastByteWithheld,
        3 | 4 => Point::LastByteSent,
        5..=7 => Point::Log(one(rng, &[1, 1, 4_000, 20_000, 60_000]) + below(rng, 4000)),
        8 => Point::LogGone,
        9 | 10 => Point::InTheLogAlone,
        _ => Point::FirstAnswerByte,
    };
    Strike {
        call: u32::try_from(call).expect("a small number"),
        point,
    }
}

/// Business goes on, and sometimes the schema changes with it.
fn change(world: &mut World) {
    let World { source, rng, .. } = world;
    if chance(rng, 200) {
        change_schema(source, rng);
    }
    let tables: Vec<_> = source
        .tables()
        .unwrap()
        .into_iter()
        .filter(|t| t.name != "y_empty")
        .collect();
    for _ in 0..=below(rng, 3) {
        let table = &tables[index(rng, tables.len())];
        if source.count(&table.name).unwrap() < 40 {
            continue;
        }
        let few = |rng: &mut ChaCha8Rng, most| below(rng, most);
        let counts = Counts {
            insert: few(rng, 12),
            update: few(rng, 20),
            delete: few(rng, 6),
            change_key: few(rng, 3),
            insert_update: few(rng, 3),
            insert_delete: few(rng, 3),
            delete_insert: few(rng, 3),
            transactions: 1 + few(rng, 4),
        };
        draw::draw_changes(source, table, &counts, &Style::default(), rng).unwrap();
    }
}

fn change_schema(source: &mut SqliteSource, rng: &mut ChaCha8Rng) {
    let number = between(rng, 1000, 9999);
    match below(rng, 4) {
        0 => {
            let table = extra_table(&format!("y_new{number}"));
            if source.tables().unwrap().iter().all(|t| t.name != table.name) {
                source.create_table(&table).unwrap();
                draw::fill(source, &table, 50, &Style::default(), rng).unwrap();
            }
        }
        1 => {
            if source.tables().unwrap().iter().any(|t| t.name == "y_empty") {
                source.drop_table("y_empty").unwrap();
            }
        }
        2 => {
            // Rebuilt with another type: it comes anew.
            let mut table = extra_table("y_seat");
            table.columns[3] = column("x_since", "nvarchar(40)", true);
            source.drop_table("y_seat").unwrap();
            source.create_table(&table).unwrap();
            draw::fill(source, &table, 80, &Style::default(), rng).unwrap();
        }
        _ => {
            let mut table = source
                .tables()
                .unwrap()
                .into_iter()
                .find(|t| t.name == "y_seat")
                .expect("it is never dropped for good");
            let name = format!("x_more{number}");
            if table.columns.iter().all(|c| c.name != name) {
                table.columns.push(column(&name, "nvarchar(20)", true));
                source.alter_table(&table).unwrap();
            }
        }
    }
}

//! Whole cycles of the mirroring task over a drawn source: first fill, changes, backup and restore, retention.

use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::clock::ManualClock;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_simulator::draw::{self, Counts, Style, seeded};
use mirrorlab_simulator::source::Source;
use mirrorlab_simulator::source::sqlite::{SqliteSource, tracking};
use mirrorlab_simulator::task::report::{CycleReport, Outcome};
use mirrorlab_simulator::task::{self, Cycle, EveryTable, Settings};
use rand_chacha::ChaCha8Rng;

use super::super::bench::Bench;
use super::super::check::{Check, Done, Stop, must};
use crate::compare::{self, Options, SqliteSide};

/// The source's clock at a check's start: Monday 2026-01-05 08:00 UTC. Tokens have the wire's own.
const START: i64 = 1_767_600_000;
const DAY: i64 = 86_400;

/// A tenant's source, and the task that sends it.
struct Play<'b, 's> {
    bench: &'b mut Bench<'s>,
    source: SqliteSource,
    clock: ManualClock,
    settings: Settings,
    rng: ChaCha8Rng,
    tables: Vec<Table>,
}

fn unjudged(error: impl std::fmt::Display) -> Stop {
    Stop::Unjudged(format!("the check's own source: {error}"))
}

fn column(name: &str, ty: ColumnType, nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        ty,
        nullable,
        default: None,
    }
}

/// What is drawn: everything that a mirror can keep.
fn style(bench: &Bench<'_>) -> Style {
    Style {
        nul: bench.shared().mirror_takes_nul,
        ..Style::default()
    }
}

impl<'b, 's> Play<'b, 's> {
    /// A source of two tables with rows in them.
    fn new(bench: &'b mut Bench<'s>) -> Done<Play<'b, 's>> {
        let path = bench.shared().dir.join(format!("{}.db", bench.context()));
        let mut source = SqliteSource::open(&path, Durability::Fast).map_err(unjudged)?;
        source.set_now(START).map_err(unjudged)?;
        let tables: Vec<Table> = [
            ("contact", ColumnType::NVarChar(Length::Limit(219))),
            ("sale", ColumnType::Float),
        ]
        .into_iter()
        .map(|(name, ty)| Table {
            name: name.to_owned(),
            columns: vec![
                column("id", ColumnType::Int, false),
                column("v", ty, true),
                column("registered", ColumnType::DateTime, true),
                column("text", ColumnType::NVarChar(Length::Max), true),
            ],
        })
        .collect();
        let mut rng = seeded(bench.shared().seed, &["conformance", "cycle"]);
        for table in &tables {
            source.create_table(table).map_err(unjudged)?;
            draw::fill(&mut source, table, 40, &style(bench), &mut rng).map_err(unjudged)?;
        }
        Ok(Play {
            bench,
            source,
            clock: ManualClock::new(START),
            settings: Settings {
                batch_bytes_max: 20_000,
                pipeline: task::Pipeline::Inline,
                ..Settings::default()
            },
            rng,
            tables,
        })
    }

    fn change(&mut self, table: usize, insert: u64, update: u64, delete: u64) -> Done {
        let counts = Counts {
            insert,
            update,
            delete,
            ..Counts::default()
        };
        let table = self.tables[table].clone();
        draw::draw_changes(
            &mut self.source,
            &table,
            &counts,
            &style(self.bench),
            &mut self.rng,
        )
        .map(|_| ())
        .map_err(unjudged)
    }

    /// A cycle that has to come to its end.
    fn mirror(&mut self) -> Done<CycleReport> {
        let context = self.bench.context().to_owned();
        let shared = self.bench.shared();
        let cycle = Cycle {
            context: &context,
            settings: &self.settings,
            application_key: &shared.application_key,
            endpoint: &shared.wire,
            filter: &EveryTable,
            wire_clock: shared.clock.as_ref(),
            source_clock: &self.clock,
        };
        let report = task::run(&cycle, &mut self.source, self.bench.tokens());
        match &report.outcome {
            Outcome::Completed => Ok(report),
            Outcome::DoNotReplicate => Err(Stop::Skipped(
                "the endpoint answers doNotReplicate, so no cycle goes on".into(),
            )),
            Outcome::Failed(error) => self.bench.fail("the cycle comes to its end", error.to_string()),
        }
    }

    /// What the cycle did to a table: wiped or not, and how many rows were sent.
    fn did(&self, report: &CycleReport, table: &str, wiped: bool, rows: [u64; 3]) -> Done {
        let Some(done) = report.tables.iter().find(|t| t.table == table) else {
            return self.bench.fail(format!("`{table}` in the cycle"), "it is not");
        };
        let words = |wiped: bool, [inserts, updates, deletes]: [u64; 3]| {
            let wiped = if wiped { "wiped, then " } else { "" };
            format!("`{table}`: {wiped}{inserts} I, {updates} U, {deletes} D")
        };
        let expected = words(wiped, rows);
        let lsn = done
            .lsn_before
            .map_or("no LSN".into(), |lsn| format!("LSN {lsn}"));
        let received = words(done.wiped().is_some(), [done.inserts, done.updates, done.deletes]);
        self.bench.expect(
            expected == received,
            format!("the mirror's LSNs lead to this cycle: {expected}"),
            format!("{received}; the mirror answered {lsn}"),
        )
    }

    /// Mirror and source hold the same, where the mirror can be looked at.
    fn compare(&mut self) -> Done {
        let shared = self.bench.shared();
        let Some(mirror) = &shared.mirror else {
            return Ok(());
        };
        let context = self.bench.context().to_owned();
        let path = shared.dir.join(format!("{context}.db"));
        let mut left =
            SqliteSide::open("source", &path, Box::new(|t| !tracking::is_own(t))).map_err(unjudged)?;
        let mut right = match super::super::mirror::open(mirror.as_ref(), &context) {
            Ok(side) => side,
            Err(
                super::super::mirror::LookError::NotThere(why) | super::super::mirror::LookError::Wrong(why),
            ) => {
                return Err(Stop::Unjudged(why));
            }
        };
        let options = Options {
            tables: Some(self.tables.iter().map(|t| t.name.clone()).collect()),
            findings_per_table_max: 3,
            ..Options::default()
        };
        match compare::compare(&mut left, right.as_mut(), &options) {
            Ok(report) if report.is_equal() => Ok(()),
            Ok(report) => self.bench.fail("mirror and source hold the same", report.text()),
            Err(error) => self
                .bench
                .fail("a mirror that can be compared", error.to_string()),
        }
    }

    fn advance(&mut self, seconds: i64) -> Done {
        self.clock.advance(seconds);
        let now = mirrorlab_protocol::clock::Clock::now(&self.clock);
        self.source.set_now(now).map_err(unjudged)
    }
}

fn play(
    id: &str,
    rule: &'static str,
    title: &str,
    steps: impl Fn(&mut Play<'_, '_>) -> Done + Send + Sync + 'static,
) -> Check {
    must(format!("cycle.{id}"), rule, title, move |b| {
        let mut play = Play::new(b)?;
        steps(&mut play)?;
        play.compare()
    })
    .and(&["TASK-03", "LSN-04"])
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        play("first", "TASK-03", "the first cycle fills the mirror", |p| {
            let report = p.mirror()?;
            p.did(&report, "contact", true, [40, 0, 0])?;
            p.did(&report, "sale", true, [40, 0, 0])
        }),
        play("quiet", "LSN-07", "a cycle without changes sends nothing", |p| {
            p.mirror()?;
            let report = p.mirror()?;
            p.did(&report, "contact", false, [0, 0, 0])
        }),
        play(
            "changes",
            "TASK-04",
            "changes since the mirror's LSN are sent, and no more",
            |p| {
                p.mirror()?;
                p.change(0, 5, 7, 3)?;
                let report = p.mirror()?;
                p.did(&report, "contact", false, [5, 7, 3])?;
                p.did(&report, "sale", false, [0, 0, 0])
            },
        ),
        play(
            "many-cycles",
            "TASK-04",
            "six cycles of changes leave mirror and source equal",
            |p| {
                for _ in 0..6 {
                    p.mirror()?;
                    p.change(0, 3, 4, 2)?;
                    p.change(1, 2, 3, 1)?;
                }
                p.mirror()?;
                Ok(())
            },
        ),
        play(
            "restored-source",
            "TASK-05",
            "a source that was restored from its backup is seen by the LSNs, and sent again",
            |p| {
                p.mirror()?;
                p.source.backup("monday").map_err(unjudged)?;
                p.change(0, 5, 20, 5)?;
                p.mirror()?;
                p.source.restore("monday").map_err(unjudged)?;
                let report = p.mirror()?;
                p.did(&report, "contact", true, [40, 0, 0])?;
                p.did(&report, "sale", true, [40, 0, 0])
            },
        )
        .and(&["LSN-01", "TRACK-04", "TRACK-06"]),
        play(
            "retention",
            "TRACK-01",
            "a mirror that is older than the source's memory is filled anew",
            |p| {
                p.mirror()?;
                p.change(0, 2, 2, 2)?;
                p.advance(8 * DAY)?;
                let report = p.mirror()?;
                p.did(&report, "contact", true, [40, 0, 0])
            },
        )
        .and(&["TRACK-02", "TASK-14"]),
        play("truncated", "TRACK-03", "a truncated table is wiped", |p| {
            p.mirror()?;
            p.source.truncate("contact").map_err(unjudged)?;
            let report = p.mirror()?;
            p.did(&report, "contact", true, [0, 0, 0])
        })
        .and(&["LSN-06"]),
        play(
            "new-column",
            "SCHEMA-16",
            "a new column in the source is one in the mirror",
            |p| {
                p.mirror()?;
                let mut table = p.tables[0].clone();
                table.columns.push(column("added", ColumnType::Int, true));
                p.source.alter_table(&table).map_err(unjudged)?;
                p.tables[0] = table;
                p.change(0, 2, 3, 1)?;
                p.mirror()?;
                Ok(())
            },
        )
        .and(&["TRACK-05", "SCHEMA-07"]),
        play(
            "small-batches",
            "ROW-05",
            "a table in many small calls is whole",
            |p| {
                p.settings.batch_bytes_max = 2_000;
                p.mirror()?;
                Ok(())
            },
        ),
        play(
            "shared-calls",
            "ROW-05",
            "tables that share calls are whole",
            |p| {
                p.settings.share_calls = true;
                p.settings.earlier_lsn = -1;
                p.mirror()?;
                p.change(0, 5, 5, 5)?;
                p.change(1, 5, 5, 5)?;
                let report = p.mirror()?;
                p.did(&report, "sale", false, [5, 5, 5])
            },
        )
        .and(&["LSN-02"]),
    ]
}

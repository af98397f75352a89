//! Cycles on the real clock, business between them, and what became of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mirrorlab_protocol::clock::{Clock, SystemClock};
use mirrorlab_simulator::blocked::SkipTable;
use mirrorlab_simulator::draw::{self, Style, seeded};
use mirrorlab_simulator::event_log::{Entry, Level};
use mirrorlab_simulator::office::Pace;
use mirrorlab_simulator::source::Source;
use mirrorlab_simulator::task::report::CycleReport;
use rand_chacha::ChaCha8Rng;

use super::SimulateArgs;
use crate::cli::{CliError, Exit, print};

/// The longest time that is waited before the clock is looked at again: somebody may set it.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Whether it is time to end.
#[derive(Default)]
pub(super) struct Stop {
    set: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    /// From now on no cycle begins.
    pub(super) fn set(&self) {
        *lock(&self.set) = true;
        self.told.notify_all();
    }

    pub(super) fn is_set(&self) -> bool {
        *lock(&self.set)
    }

    /// Waits until `time` of `clock`; `false` where it was set before.
    fn wait_until(&self, clock: &dyn Clock, time: i64) -> bool {
        let mut set = lock(&self.set);
        loop {
            let left = u64::try_from(time.saturating_sub(clock.now())).unwrap_or(0);
            if *set || left == 0 {
                return !*set;
            }
            let wait = Duration::from_secs(left).min(LOOK_AGAIN);
            set = self
                .told
                .wait_timeout(set, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here is ever left half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of the cycles: printed, written, counted.
pub(super) struct Record(Mutex<Recorded>);

struct Recorded {
    events: Option<(PathBuf, File)>,
    completed: u64,
    failed: u64,
    /// Why nothing more can be done; the first reason counts.
    broken: Option<CliError>,
}

impl Record {
    /// `events` is the file that entries are added to.
    pub(super) fn new(events: Option<&Path>) -> Result<Arc<Record>, CliError> {
        let open = |path: &Path| {
            let opened = File::options().create(true).append(true).open(path);
            opened.map(|file| (path.to_owned(), file)).map_err(|why| {
                CliError::usage(format!(
                    "--events {}: it cannot be written: {why}",
                    path.display()
                ))
            })
        };
        Ok(Arc::new(Record(Mutex::new(Recorded {
            events: events.map(open).transpose()?,
            completed: 0,
            failed: 0,
            broken: None,
        }))))
    }

    /// Takes an entry of the event log.
    pub(super) fn add(&self, entry: &Entry) {
        let mut recorded = lock(&self.0);
        match entry.level {
            Level::Information => recorded.completed += 1,
            Level::Error => recorded.failed += 1,
        }
        let mut done = print(&format!("{entry}\n"));
        if let (Ok(()), Some((path, file))) = (&done, &mut recorded.events) {
            // One write, so that whoever reads along sees whole lines.
            done = file
                .write_all(format!("{}\n", entry.to_json()).as_bytes())
                .map_err(|why| CliError::broken(format!("cannot write {}: {why}", path.display())));
        }
        if let Err(error) = done {
            recorded.broken.get_or_insert(error);
        }
    }

    fn break_off(&self, error: CliError) {
        lock(&self.0).broken.get_or_insert(error);
    }

    fn is_broken(&self) -> bool {
        lock(&self.0).broken.is_some()
    }

    /// Says how it went.
    pub(super) fn end(&self) -> Result<Exit, CliError> {
        let mut recorded = lock(&self.0);
        if let Some(error) = recorded.broken.take() {
            return Err(error);
        }
        let (completed, failed) = (recorded.completed, recorded.failed);
        let cycles = match completed + failed {
            1 => "1 cycle".to_owned(),
            n => format!("{n} cycles"),
        };
        print(&format!("{cycles}, {failed} failed\n"))?;
        Ok(if failed == 0 { Exit::Held } else { Exit::Failed })
    }
}

/// When tenants go on.
pub(super) struct RealPace {
    stop: Arc<Stop>,
    record: Arc<Record>,
    clock: SystemClock,
    cycles_max: Option<u64>,
    waits: bool,
    changes: u64,
    /// Business goes on in tables that are not sent as well, but nobody would see it.
    skip: SkipTable,
    seed: u64,
    tenants: Mutex<BTreeMap<String, Doing>>,
}

/// How far a tenant is.
struct Doing {
    cycles: u64,
    rng: ChaCha8Rng,
}

impl RealPace {
    pub(super) fn new(
        args: &SimulateArgs,
        skip: SkipTable,
        seed: u64,
        stop: Arc<Stop>,
        record: Arc<Record>,
    ) -> RealPace {
        RealPace {
            stop,
            record,
            clock: SystemClock,
            cycles_max: args.cycles,
            waits: !args.every.is_zero(),
            changes: u64::from(args.changes),
            skip,
            seed,
            tenants: Mutex::default(),
        }
    }

    /// How many cycles a tenant has had, and what its business is drawn from; lent, since tenants draw side by side.
    fn take(&self, context: &str) -> Doing {
        lock(&self.tenants).remove(context).unwrap_or_else(|| Doing {
            cycles: 0,
            rng: seeded(self.seed, &["simulate", context, "changes"]),
        })
    }

    fn put(&self, context: &str, doing: Doing) {
        lock(&self.tenants).insert(context.to_owned(), doing);
    }

    fn business(&self, source: &mut dyn Source, rng: &mut ChaCha8Rng) -> Result<(), CliError> {
        source.set_now(self.clock.now()).map_err(CliError::broken)?;
        let mut tables = source.tables().map_err(CliError::broken)?;
        tables.retain(|table| self.skip.why_not(&table.name).is_none());
        draw::business_changes(source, &tables, self.changes, &Style::default(), rng)
            .map_err(CliError::broken)?;
        Ok(())
    }
}

impl Pace for RealPace {
    fn wait(&self, context: &str, next: i64) -> bool {
        let done = lock(&self.tenants).get(context).map_or(0, |doing| doing.cycles);
        if self.cycles_max.is_some_and(|max| done >= max) || self.record.is_broken() {
            return false;
        }
        let until = if self.waits { next } else { i64::MIN };
        self.stop.wait_until(&self.clock, until)
    }

    fn before(&self, context: &str, source: &mut dyn Source) -> bool {
        let mut doing = self.take(context);
        let business = match doing.cycles {
            0 => Ok(()),
            _ => self.business(source, &mut doing.rng),
        };
        self.put(context, doing);
        match business {
            Ok(()) => true,
            Err(error) => {
                self.record.break_off(CliError {
                    message: format!("{context}: {}", error.message),
                    ..error
                });
                self.stop.set();
                false
            }
        }
    }

    fn after(&self, report: &CycleReport) {
        let mut doing = self.take(&report.context);
        doing.cycles += 1;
        self.put(&report.context, doing);
        if self.record.is_broken() {
            self.stop.set();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirrorlab_protocol::clock::ManualClock;

    #[test]
    fn who_waits_is_told_to_stop() {
        let stop = Stop::default();
        let clock = ManualClock::new(100);
        assert!(stop.wait_until(&clock, i64::MIN), "no time to wait for");
        assert!(stop.wait_until(&clock, 100));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| stop.wait_until(&clock, i64::MAX));
            stop.set();
            assert!(!waits.join().unwrap());
        });
        assert!(stop.is_set());
        assert!(!stop.wait_until(&clock, 0), "once set, nothing begins");
    }
}

//! Time is handed in, never taken: whoever needs it holds a [`Clock`].
//!
//! Two clocks are never mixed. The *source's* clock drives schedules and retention, and a scenario moves it. The *wire's*
//! clock dates tokens and answers; it is virtual only where both sides live in one process.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time, in whole seconds since 1970-01-01 00:00 UTC.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        }
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that says `now`.
    pub fn new(now: i64) -> ManualClock {
        ManualClock(AtomicI64::new(now))
    }

    /// Moves the clock by `seconds`, back where negative.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_goes_where_it_is_moved() {
        let clock = ManualClock::new(1_589_798_443);
        assert_eq!(clock.now(), 1_589_798_443);
        clock.advance(3600);
        assert_eq!(clock.now(), 1_589_802_043);
        clock.advance(-1_589_802_044);
        assert_eq!(clock.now(), -1, "before 1970");
    }

    #[test]
    fn the_machines_clock_counts_seconds_since_1970() {
        let years = SystemClock.now() / (365 * 86_400);
        assert!((50..200).contains(&years), "{years} years");
    }
}

//! Another try, where the error is one that passes.

use std::time::{Duration, Instant};

use super::error::{Kind, MssqlError};

/// The first pause; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pause before the `attempt`-th try anew, counted from 1.
pub fn pause(attempt: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1)))
        .min(PAUSE_MAX)
}

/// Does `work` until it succeeds, fails for good, or its next try would begin after `limit`. Only work that left nothing
/// behind may be done so.
///
/// # Errors
/// The last try's.
pub fn retry<T>(
    limit: Duration,
    passes: impl Fn(Kind) -> bool,
    mut work: impl FnMut() -> Result<T, MssqlError>,
) -> Result<T, MssqlError> {
    let begun = Instant::now();
    let mut attempt = 1;
    loop {
        match work() {
            Err(error) if passes(error.kind) && begun.elapsed() + pause(attempt) < limit => {
                tracing::info!(%error, attempt, "trying again");
                std::thread::sleep(pause(attempt));
                attempt += 1;
            }
            done => return done,
        }
    }
}

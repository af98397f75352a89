//! What a run found: one shape of failure everywhere, for people and for programs.
//!
//! - [`failure`]: a check that did not hold
//! - [`result`]: what came of a scenario, and of a run
//! - [`terminal`]: a run as it is shown while it goes, a line a scenario
//!
//! [`RunResult::write_json`] writes a run for programs.

pub mod failure;
pub mod result;
pub mod terminal;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use result::{NotChecked, NotCheckedKind, RunResult, RunVerdict, ScenarioResult, Verdict};
pub use terminal::{Style, Terminal};

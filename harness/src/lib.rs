//! The program `mirrorlab` and the harness behind it.
//!
//! - [`compare`]: whether two databases hold the same tables and rows
//! - [`report`]: what a run found, for people and for programs
//! - [`run`]: scenarios, step by step, in a world of their own
//! - [`scenario`]: scenario files, read into a typed model

pub mod compare;
pub mod report;
pub mod run;
pub mod scenario;

//! The program `mirrorlab` and the harness behind it.
//!
//! - [`cli`]: the program's commands, their flags and exit codes
//! - [`compare`]: whether two databases hold the same tables and rows
//! - [`defects`]: servers with one mistake each, which every run must catch
//! - [`conformance`]: whether an endpoint, whosever it is, keeps to the rules of the wire
//! - [`fuzz`]: histories drawn at random, run and shrunk
//! - [`keyset`]: the certificates and keys of one trial
//! - [`record`]: a proxy that writes down every call on its way to an endpoint
//! - [`replay`]: recorded calls once more, and whether they are answered as they were
//! - [`report`]: what a run found, for people and for programs
//! - [`run`]: scenarios, step by step, in a world of their own
//! - [`scenario`]: scenario files, read into a typed model

pub mod cli;
pub mod compare;
pub mod conformance;
pub mod defects;
pub mod fuzz;
pub mod keyset;
pub mod record;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;

//! The program `mirrorlab` and the harness behind it.
//!
//! - [`compare`]: whether two databases hold the same tables and rows

pub mod compare;

//! The program `mirrorlab` and the harness behind it.
//!
//! - [`scenario`]: scenario files, read into a typed model.

pub mod scenario;

//! The databases: for each engine its connection, types, quoting, DDL, and the way from a cell's value to a column and
//! back. No rule of the mirroring protocol is in here.
//!
//! - [`sqlite`]: the embedded databases, of sources and of mirrors
//! - [`mssql`]: SQL Server
//! - [`private`]: files and directories that hold customers' data
//!
//! Source, mirror and comparer all stand on this crate, so a mistake in it could look right from all three sides: its
//! tests read back with literal SQL, not with its own functions.

pub mod mssql;
pub mod private;
pub mod sqlite;

//! SQLite: one file per database, columns declared with their SQL Server types.
//!
//! - [`mod@open`]: opening a file, and saying plainly why it failed
//! - [`ddl`]: quoting, creating, describing and changing tables
//! - [`cell`]: values into columns and back, exactly
//!
//! How values are kept: integers and floats as SQLite's own; text as text; bytes as blobs; dates and times as ISO text
//! in the column's precision; GUIDs as text; exact numbers as text, in columns whose declared type says so
//! (`decimal_text(18,2)`), since SQLite would turn them into floats otherwise. SQLite keeps no sign on a zero: `-0` comes
//! back as `0`.

pub mod cell;
pub mod ddl;
pub mod open;

pub use cell::{Bound, ReadError, read};
pub use ddl::{
    add_column, create_table, declared, describe, describe_readable, names, quote, rebuild, table_exists,
    undeclared,
};
pub use open::{Durability, OpenError, explain, make, open};

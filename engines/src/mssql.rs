//! SQL Server: connections, types, tables.
//!
//! - [`address`]: connection strings, and the password that never shows ([`secret`])
//! - [`connection`]: statements, rows, bulk loads; `tunnel`: TLS
//! - [`pool`]: a server, its connections kept for the next call; [`retry`]: another try where one may help
//! - [`error`]: what can go wrong, told apart by what to do about it
//! - [`capabilities`]: what this engine can do: not all that speak T-SQL can do all of it
//! - [`value`]: values into columns and back, exactly
//! - [`ddl`], [`describe`], [`alter`]: tables made, looked at, changed in place
//! - [`backup`]: a database kept, and brought back
//! - [`exact`]: values told apart to the bit by the server itself
//! - `testing`: a server for tests (feature `testing`)
//!
//! How values are kept: in SQL Server's own types, but for a row version, which is kept as `binary(8)`. What has run
//! against which engine is in `docs/`.

pub mod address;
pub mod alter;
pub mod backup;
pub mod capabilities;
pub mod connection;
pub mod ddl;
pub mod describe;
pub mod error;
pub mod exact;
pub mod pool;
pub mod retry;
pub mod secret;
#[cfg(feature = "testing")]
pub mod testing;
mod tunnel;
pub mod value;

pub use address::{Address, AddressError};
pub use capabilities::Capabilities;
pub use connection::{Connection, Row, RowStream};
pub use ddl::quote;
pub use error::{Kind, MssqlError};
pub use pool::{Pooled, Server, ServerOptions};
pub use secret::Secret;
pub use value::{Param, Statement};

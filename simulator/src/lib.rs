//! The SuperOffice side: what pushes a customer's database to a partner's endpoint.
//!
//! - [`blocked`]: which tables are not mirrored, and why
//! - [`draw`]: rows and changes drawn from a seed
//! - [`endpoint`]: how a call reaches the partner
//! - [`schema_file`]: tables given in a file, SuperOffice's own, and schemas drawn from a seed
//! - [`source`]: a tenant's SuperOffice database, with change tracking

pub mod blocked;
pub mod draw;
pub mod endpoint;
pub mod schema_file;
pub mod source;

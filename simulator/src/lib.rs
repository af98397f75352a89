//! The SuperOffice side: what pushes a customer's database to a partner's endpoint.
//!
//! - [`blocked`]: which tables are not mirrored, and why
//! - [`capture`]: recorded and hand-saved calls in files
//! - [`draw`]: rows and changes drawn from a seed
//! - [`endpoint`]: how a call reaches the partner
//! - [`schema_file`]: tables given in a file, SuperOffice's own, and schemas drawn from a seed
//! - [`authority`]: SuperOffice's certificate and key, and a signed token for every call
//! - [`source`]: a tenant's SuperOffice database, with change tracking
//! - [`task`]: the mirroring task: one tenant's cycle
//! - [`schedule`]: when a tenant's next cycle is due
//! - [`approvals`]: which tenants approved which application
//! - [`event_log`]: one entry for each cycle
//! - [`office`]: the tenants, each with its source, and their cycles side by side

pub mod approvals;
pub mod authority;
pub mod blocked;
pub mod capture;
pub mod draw;
pub mod endpoint;
pub mod event_log;
pub mod office;
pub mod schedule;
pub mod schema_file;
pub mod source;
pub mod task;

#[cfg(test)]
mod testing;

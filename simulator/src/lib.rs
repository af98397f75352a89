//! The SuperOffice side: what pushes a customer's database to a partner's endpoint.
//!
//! - [`endpoint`]: how a call reaches the partner
//! - [`source`]: a tenant's SuperOffice database, with change tracking

pub mod endpoint;
pub mod source;

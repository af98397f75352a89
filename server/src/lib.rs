//! The mirroring server: what a partner hosts so that SuperOffice can push a customer's database to it.
//!
//! - [`store`]: where mirrors live; rows and LSN in one transaction

pub mod store;

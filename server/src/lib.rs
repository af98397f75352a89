//! The mirroring server: what a partner hosts so that SuperOffice can push a customer's database to it.
//!
//! - [`operations`]: the five operations, each one transaction on a tenant's mirror
//! - [`admin`]: MirrorAdmin, the partner's side: where mirrors live, hooks, the event log
//! - [`events`]: what the server tells the partner
//! - [`schema_change`]: what a table's new schema asks for
//! - [`trust`]: the signed token of every call, and the certificates it is checked under
//! - [`store`]: where mirrors live; rows and LSN in one transaction

pub mod admin;
pub mod events;
pub mod operations;
pub mod schema_change;
pub mod store;
pub mod trust;
mod web;

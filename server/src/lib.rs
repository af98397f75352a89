//! The mirroring server: what a partner hosts so that SuperOffice can push a customer's database to it.
//!
//! - [`http`]: HTTPS in front of the service: limits, gzip, shutdown
//! - [`service`]: one call's bytes in, its answer out
//! - [`trust`]: the signed token of every call, and the certificates it is checked under
//! - [`wsdl`], [`page`]: the contract, and the page for people
//! - [`operations`]: the five operations, each one transaction on a tenant's mirror
//! - [`admin`]: MirrorAdmin, the partner's side: where mirrors live, hooks, the event log
//! - [`hooks`]: the MirrorAdmin for people who write no Rust: a name template, SQL files, webhooks
//! - [`events`]: what the server tells the partner
//! - [`schema_change`]: what a table's new schema asks for
//! - [`store`]: where mirrors live; rows and LSN in one transaction
//! - [`config`]: settings from a TOML file

pub mod admin;
pub mod config;
pub mod events;
pub mod hooks;
pub mod http;
pub mod operations;
pub mod page;
pub mod schema_change;
pub mod service;
pub mod store;
#[cfg(test)]
mod testing;
pub mod trust;
mod web;
pub mod wsdl;

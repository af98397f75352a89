//! Scenarios, run step by step in a world of their own: a server, a SuperOffice, and what lies between them.
//!
//! - [`keys`]: the keys of a run
//! - [`host`]: the server under test, started, killed, started anew
//! - [`foreign`]: all that is known of one that is not ours
//! - [`admin`]: the partner's side of it
//! - [`calls`]: calls written out, and what they leave
//! - [`faults`]: what calls meet on their way
//! - [`wire`]: what their connections meet, really
//! - [`store`]: what the mirror's file meets
//! - [`mirror`]: mirrors, whatever database they are in
//! - [`source`]: sources, whatever database they are in
//! - [`mssql`]: a run's databases on a SQL Server
//! - [`needs`]: what a scenario needs of its world, and why a world cannot give it
//! - [`lsns`]: what an endpoint must remember
//! - [`tenants`]: tenants' names
//! - [`world`]: all of it, for one scenario
//! - [`population`]: first rows, and drawn changes
//! - [`cycles`]: cycles now, or as the schedule has them
//! - [`steps`]: what each step does
//! - [`check`]: what a step's result must hold
//! - [`folder`]: a folder of scenarios in one call, for tests in Rust
//! - [`runner`]: scenario after scenario

pub mod admin;
pub mod calls;
pub mod check;
pub mod cycles;
pub mod faults;
pub mod folder;
pub mod foreign;
pub mod host;
pub mod keys;
pub mod lsns;
pub mod mirror;
pub mod mssql;
pub mod needs;
pub mod population;
pub mod runner;
pub mod source;
pub mod steps;
pub mod store;
pub mod tenants;
pub mod wire;
pub mod world;

//! Scenarios, run step by step in a world of their own: a server, a SuperOffice, and what lies between them.
//!
//! - [`check`]: what a step's result must hold
//! - [`faults`]: what calls meet on their way

pub mod check;
pub mod faults;

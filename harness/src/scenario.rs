//! Scenario files: what they can say, and how they are read.
//!
//! - [`model`]: a scenario as the runner sees it: tenants, settings, steps.
//! - [`expect`]: what a step's result must hold.
//! - [`place`]: where in its file a thing stands.

pub mod expect;
pub mod model;
pub mod place;

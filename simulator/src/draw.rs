//! Rows and changes drawn from a seed.
pub mod pick;

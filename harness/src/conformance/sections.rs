//! The catalogue: a file for each section of the rules.
//!
//! A check's id never changes. New ones go to the end of their section's list or wherever they read best: nothing hangs
//! on their order but the names of a run's tenants.

mod answers;
mod concurrency;
mod cycle;
mod envelope;
mod faults;
mod isolation;
mod lsn;
mod repeated;
mod rows;
mod schema;
mod transport;
mod trust;
mod values;
mod wipe;

use super::bench::Bench;
use super::check::{Check, Done, Stop};
use crate::run::mirror::{Rows, SqlError};

/// All checks.
pub fn catalogue() -> Vec<Check> {
    [
        transport::checks(),
        envelope::checks(),
        faults::checks(),
        answers::checks(),
        trust::checks(),
        schema::checks(),
        values::checks(),
        rows::checks(),
        lsn::checks(),
        wipe::checks(),
        cycle::checks(),
        repeated::checks(),
        isolation::checks(),
        concurrency::checks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A table that most checks can do with.
const PLAIN: &str = "id int not null; v nvarchar(200) null";

/// Plays the person who works in a mirror with tools of their own; the rows of the last statement.
fn by_hand(b: &Bench<'_>, statements: &[String]) -> Done<Rows> {
    let Some(mirrors) = &b.shared().mirror else {
        return Err(Stop::Skipped("it needs a mirror".into()));
    };
    match mirrors.of(b.context()).run(statements) {
        Ok(rows) => Ok(rows),
        Err(SqlError::Mirror(error)) => Err(Stop::Unjudged(error.to_string())),
        Err(error) => b.fail(
            format!("the mirror's metadata table {} as documented", metadata(b)),
            error.to_string(),
        ),
    }
}

/// The metadata table's name, which needs no quotes: a tenant's is of letters and digits.
fn metadata(b: &Bench<'_>) -> String {
    format!("{}_mirroring", b.context())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_read_well() {
        let mut seen = BTreeSet::new();
        for check in catalogue() {
            assert!(seen.insert(check.id.clone()), "{} stands there twice", check.id);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let parts: Vec<&str> = check.id.split('.').collect();
            assert!(
                parts.len() == 2 && parts.iter().all(|p| !p.is_empty() && p.chars().all(plain)),
                "{}",
                check.id
            );
            assert!(!check.title.ends_with('.'), "{}", check.title);
        }
        assert!(seen.len() >= 200, "{} checks", seen.len());
        assert!(seen.len() < 999, "tenants' names have three digits for a check");
    }
}

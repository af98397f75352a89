//! Tenants' names. A mirror that is not ours outlives the run, so a foreign endpoint sees tenants that it never saw.

use std::collections::BTreeMap;

use crate::scenario::model::Scenario;

/// What fresh names begin with unless somebody says otherwise, as SuperOffice's do.
pub const PREFIX_DEFAULT: &str = "Cust";
/// The longest prefix: a context id has at most 64 characters.
const PREFIX_LENGTH_MAX: usize = 40;
/// Tags are below it: one for each second of thirty years.
const TAGS: i64 = 1_000_000_000;

/// How tenants are named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TenantNames {
    /// As the files name them.
    #[default]
    AsWritten,
    /// Prefix, tag, the scenario's number in the run, the tenant's number in the scenario.
    Fresh {
        /// Letters, then perhaps digits.
        prefix: String,
        /// Tells this run's tenants from those of other runs.
        tag: u32,
    },
}

/// A scenario with the names of a run, and what the file wrote in their place.
#[derive(Debug)]
pub struct Renamed {
    /// The scenario.
    pub scenario: Scenario,
    /// From the names of the run to those of the file.
    pub written: BTreeMap<String, String>,
}

impl TenantNames {
    /// Names that no earlier run had: the tag is the time, in seconds since 1970 UTC.
    pub fn fresh(prefix: &str, now: i64) -> TenantNames {
        TenantNames::Fresh {
            prefix: prefix.to_owned(),
            tag: u32::try_from(now.rem_euclid(TAGS)).unwrap_or(0),
        }
    }

    /// What all names of a run begin with; `None` where each is as it is written.
    pub fn beginning(&self) -> Option<String> {
        match self {
            TenantNames::AsWritten => None,
            TenantNames::Fresh { prefix, tag } => Some(format!("{prefix}{tag:09}")),
        }
    }

    /// The scenario with the names of this run. `number` is its place in the run.
    pub fn rename(&self, scenario: &Scenario, number: usize) -> Renamed {
        let Some(beginning) = self.beginning() else {
            return Renamed {
                scenario: scenario.clone(),
                written: BTreeMap::new(),
            };
        };
        let position = |context: &str| scenario.tenants.iter().position(|t| t.context.value == context);
        let name = |context: &str| {
            let at = position(context)?;
            Some(format!("{beginning}{number:03}{at:02}"))
        };
        let written = scenario.tenants.iter().filter_map(|tenant| {
            let context = &tenant.context.value;
            Some((name(context)?, context.clone()))
        });
        Renamed {
            written: written.collect(),
            scenario: scenario.renamed(&name),
        }
    }
}

/// Reads a prefix of tenants' names: a letter, then letters and digits.
///
/// # Errors
/// A text for people.
pub fn prefix(text: &str) -> Result<String, String> {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
        && text.len() <= PREFIX_LENGTH_MAX;
    match plain {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "tenants' names cannot begin with it; expected a letter, then letters and digits, {PREFIX_LENGTH_MAX} at most"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Catalogue;
    use crate::scenario::model::StepKind;
    use crate::scenario::parse::parse;

    #[test]
    fn a_file_speaks_of_its_tenants_by_their_new_names_everywhere() {
        let text = "\
id: x
title: t
cites: c
tenants:
  Cust10001: {tables: {contact: 1}}
  Cust10002: {tables: {contact: 1}}
steps:
  - fault: {tenant: Cust10002, http: 503}
  - token: foreign-tenant
  - mirror: {expect: {error: 'no such thing for Cust10001', Cust10002: {error: Cust10002 is away}}}
  - mirror_sql: {run: 'select \"Cust10001\" from {context}_mirroring', tenant: Cust10001, expect: {rows: [[Cust10001]]}}
  - compare: {expect: {Cust10002: {contact: {missing: 1}}}}
";
        let scenario = match parse("x.yaml".as_ref(), text, &Catalogue::superoffice()) {
            Ok(scenario) => scenario,
            Err(mistakes) => panic!("{}", mistakes.render(100, false)),
        };
        let names = TenantNames::fresh("Trial", 5_000_000_042);
        let renamed = names.rename(&scenario, 7);
        let shown = format!("{:?}{:?}", renamed.scenario.tenants, renamed.scenario.steps);
        assert!(!shown.contains("Cust1000"), "{shown}");
        assert!(shown.contains("Trial00000004200701 is away"), "{shown}");
        assert!(matches!(&renamed.scenario.steps[0].tenant, Some(t) if t.value == "Trial00000004200701"));
        assert!(matches!(&renamed.scenario.steps[4].kind, StepKind::Compare(_)));
        assert_eq!(renamed.written["Trial00000004200700"], "Cust10001");
        // A failure still shows the file as it is.
        assert_eq!(renamed.scenario.text, scenario.text);
        let same = TenantNames::AsWritten.rename(&scenario, 7);
        assert_eq!(format!("{:?}", same.scenario), format!("{scenario:?}"));
    }

    #[test]
    fn prefixes() {
        for right in ["Cust", "x", "Trial7"] {
            assert!(prefix(right).is_ok(), "{right}");
        }
        for wrong in ["", "7x", "a-b", "a b", "å", &"x".repeat(41)] {
            assert!(prefix(wrong).is_err(), "{wrong}");
        }
    }
}

//! Which tenants approved which application: a customer's administrator does that in SuperOffice, and may take it back.

use std::collections::BTreeMap;

/// The approvals of all applications. Times are the source clock's, in seconds since 1970 UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    /// Since when, by application and tenant.
    since: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Approvals {
    /// `context` approves `application` at `now`. `false` where it had before; that approval's time stays.
    pub fn approve(&mut self, application: &str, context: &str, now: i64) -> bool {
        let tenants = self.since.entry(application.to_owned()).or_default();
        if tenants.contains_key(context) {
            return false;
        }
        tenants.insert(context.to_owned(), now);
        true
    }

    /// `context` takes its approval back. `false` where there was none.
    pub fn withdraw(&mut self, application: &str, context: &str) -> bool {
        self.since
            .get_mut(application)
            .is_some_and(|tenants| tenants.remove(context).is_some())
    }

    /// Since when `context` approves `application`; `None` where it does not.
    pub fn since(&self, application: &str, context: &str) -> Option<i64> {
        self.since.get(application)?.get(context).copied()
    }

    /// The tenants that approve `application`, by name.
    pub fn tenants(&self, application: &str) -> Vec<&str> {
        let tenants = self.since.get(application).into_iter().flat_map(BTreeMap::keys);
        tenants.map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_one_application_s_until_it_is_withdrawn() {
        let mut approvals = Approvals::default();
        assert!(approvals.approve("a", "Cust10002", 5));
        assert!(approvals.approve("a", "Cust10001", 6));
        assert!(!approvals.approve("a", "Cust10002", 9));
        assert_eq!(approvals.since("a", "Cust10002"), Some(5));
        assert_eq!(approvals.since("b", "Cust10002"), None);
        assert_eq!(approvals.tenants("a"), ["Cust10001", "Cust10002"]);
        assert!(approvals.withdraw("a", "Cust10002"));
        assert!(!approvals.withdraw("a", "Cust10002") && !approvals.withdraw("b", "Cust10001"));
        assert_eq!(approvals.tenants("a"), ["Cust10001"]);
        assert!(approvals.approve("a", "Cust10002", 20));
        assert_eq!(approvals.since("a", "Cust10002"), Some(20));
    }
}

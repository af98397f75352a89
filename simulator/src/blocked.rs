//! Which tables of a tenant are not mirrored, and why.
//!
//! SuperOffice keeps a list of tables that it never sends: internal ones, private ones, those of its Travel feature (doc).
//! The list changes with its versions. An application can name further tables in its SkipTable preference (doc).

use std::collections::BTreeSet;
use std::fmt;

use mirrorlab_protocol::names::fold;

/// Why a table is not mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is on the vendor's list, with the reason where the vendor gives one.
    Blocked(Option<&'static str>),
    /// The application's SkipTable preference names it.
    Skipped,
}

/// `blocked (internal)`, `blocked`, `skipped by preference`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Blocked(Some(why)) => write!(f, "blocked ({why})"),
            Reason::Blocked(None) => f.write_str("blocked"),
            Reason::Skipped => f.write_str("skipped by preference"),
        }
    }
}

/// Why SuperOffice never mirrors a table of this name; `None` where it does. Letter case does not count.
pub fn why_not(table: &str) -> Option<Reason> {
    let name = fold(table);
    BLOCKED
        .iter()
        .find(|(_, tables)| tables.contains(&name.as_str()))
        .map(|(why, _)| Reason::Blocked(Some(*why).filter(|why| !why.is_empty())))
}

/// Every name on the vendor's list, in name order.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = BLOCKED
        .iter()
        .flat_map(|(_, tables)| tables.iter().copied())
        .collect();
    names.sort_unstable();
    names
}

/// An application's SkipTable preference: tables that it does not want.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SkipTable {
    /// Without their letter case.
    names: BTreeSet<String>,
    /// Tables that are sent though the vendor's list has them, without their letter case.
    captured: BTreeSet<String>,
}

impl SkipTable {
    /// The preference that names these tables.
    pub fn new<S: AsRef<str>>(tables: impl IntoIterator<Item = S>) -> SkipTable {
        SkipTable {
            names: tables.into_iter().map(|table| fold(table.as_ref())).collect(),
            captured: BTreeSet::new(),
        }
    }

    /// The same preference where these tables were seen to be sent: the vendor's list does not apply to a captured
    /// schema, whatever it says today.
    #[must_use]
    pub fn with_captured<S: AsRef<str>>(mut self, tables: impl IntoIterator<Item = S>) -> SkipTable {
        self.captured
            .extend(tables.into_iter().map(|table| fold(table.as_ref())));
        self
    }

    /// Reads the preference's text: names between commas, semicolons or white space (assumed).
    pub fn parse(text: &str) -> SkipTable {
        SkipTable::new(
            text.split(|c: char| c == ',' || c == ';' || c.is_whitespace())
                .filter(|name| !name.is_empty()),
        )
    }

    /// Why a table is not mirrored for this application; `None` where it is. The vendor's list comes first: no
    /// preference opens it, only a capture that shows otherwise.
    pub fn why_not(&self, table: &str) -> Option<Reason> {
        let name = fold(table);
        why_not(table)
            .filter(|_| !self.captured.contains(&name))
            .or_else(|| self.names.contains(&name).then_some(Reason::Skipped))
    }
}

/// The vendor's list (doc): the reason, empty where it gives none, and the tables in lower case.
#[rustfmt::skip]
const BLOCKED: &[(&str, &[&str])] = &[
    ("a user's own state", &[
        "history",
    ]),
    ("configuration", &[
        "erpsynclog", "importdefault", "importfield", "importobject", "importrelation", "licenseassoclink",
        "licenssatllink", "message", "messagehandler", "modulelicense", "moduleowner", "olefield",
        "olefieldtext", "olesubject", "olesubjecttext", "oleview", "oleviewtext", "prefdesc",
        "prefdescline", "searchcriteria", "searchcriteriagroup", "searchcriterion", "searchcriterionvalue",
        "sorcriteria", "sorfct", "sorfield", "sorlabellayout", "soroperators", "sorpublish",
        "sorpublishgrouplink", "sorsection", "sortemplate", "superlistcolumnsize", "systemevent",
        "taborder", "timestamps", "trayapp", "user_attribute", "user_candidate", "webappusage", "webhook",
        "winpossize", "word_relations",
    ]),
    ("holds credentials", &[
        "credentials",
    ]),
    ("internal", &[
        "batchtask", "batchtaskdefinition", "cachetables", "config", "configurablescreendelta",
        "connectionconfigfield", "foreignapp", "foreigndevice", "foreignkey", "inbox", "locking",
        "mergemovelog", "outbox", "registry", "session_object",
    ]),
    ("internal counters that change all the time", &[
        "sequence",
    ]),
    ("internal, and changes very often", &[
        "userpreference",
    ]),
    ("not used online", &[
        "activeuser", "dbi_agent", "dbi_agent_field", "dbi_agent_schedule",
    ]),
    ("part of Audience", &[
        "audienceconfig", "audiencelayout", "audiencelayoutlink", "audiencevisibility",
    ]),
    ("part of Travel", &[
        "area", "areauserassignment", "areauserinclusion", "satellite", "travelcurrent",
        "travelgenerateddatabase", "travelgeneratedtransaction", "travelidmapping", "traveller",
        "traveltransactionlog",
    ]),
    ("private to its user", &[
        "email_account", "email_attachment", "email_folder", "email_item",
    ]),
    ("search data, very large", &[
        "countervalue", "statusvalue",
    ]),
    ("search index, changes in great volume", &[
        "freetextindex", "freetextstopwords", "freetextwords",
    ]),
    ("sensitive data of sessions", &[
        "login", "login_customer",
    ]),
    ("temporary", &[
        "udtemplarge", "udtempsmall",
    ]),
    ("", &[
        "cacheinvalidation", "cc_template", "cust_config", "dashboard", "dashboard_theme", "dashboard_tile",
        "dashboard_tile_definition", "dashboard_tile_field", "form_keys", "item_config", "kb_entry_words",
        "log_events", "notice_frame", "notify", "script_run_trace", "service_auth", "ticket_log_action",
        "ticket_log_change", "usagestats",
    ]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_does_not_open_a_blocked_table() {
        assert_eq!(
            why_not("Credentials").unwrap().to_string(),
            "blocked (holds credentials)"
        );
        assert_eq!(why_not("webhook"), Some(Reason::Blocked(Some("configuration"))));
        assert_eq!(why_not("Dashboard").unwrap().to_string(), "blocked");
        assert_eq!(why_not("contact"), None);
        assert_eq!(why_not("y_config"), None);
    }

    #[test]
    fn the_list_is_in_lower_case_and_names_no_table_twice() {
        let names = names();
        let distinct: BTreeSet<String> = names.iter().map(|name| fold(name)).collect();
        assert_eq!(
            distinct.iter().collect::<Vec<_>>(),
            names.iter().collect::<Vec<_>>()
        );
        assert_eq!(names.len(), 112);
    }

    #[test]
    fn a_preference_adds_and_never_opens() {
        let skip = SkipTable::parse(" Document, y_cars;\nlogin ");
        assert_eq!(skip.why_not("document"), Some(Reason::Skipped));
        assert_eq!(
            skip.why_not("Y_CARS").unwrap().to_string(),
            "skipped by preference"
        );
        assert!(matches!(skip.why_not("login"), Some(Reason::Blocked(_))));
        assert_eq!(skip.why_not("contact"), None);
        assert_eq!(SkipTable::default().why_not("document"), None);
    }

    #[test]
    fn what_was_captured_is_sent_unless_it_is_skipped() {
        let skip = SkipTable::parse("webhook").with_captured(["Login", "WEBHOOK"]);
        assert_eq!(skip.why_not("login"), None);
        assert_eq!(skip.why_not("webhook"), Some(Reason::Skipped));
        assert!(matches!(skip.why_not("credentials"), Some(Reason::Blocked(_))));
    }
}

//! The tenant's event log, as SuperOffice keeps it: one Information entry for a successful cycle, an Error entry for any
//! other (doc). Times are the source clock's.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use mirrorlab_protocol::datetime::DateTime;
use serde::Serialize;

use crate::task::report::CycleReport;

/// How many entries are kept in memory; older ones were handed to the listener.
pub const ENTRIES_KEPT_MAX: usize = 10_000;

/// How grave an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Level {
    /// A cycle without error.
    Information,
    /// A cycle that ended early.
    Error,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, on the source's clock, in seconds since 1970 UTC.
    pub time: i64,
    /// The tenant.
    pub context: String,
    /// How grave.
    pub level: Level,
    /// What happened, for people.
    pub text: String,
}

impl Entry {
    /// The entry that a cycle leaves, at its end.
    pub fn of(report: &CycleReport, time: i64) -> Entry {
        Entry {
            time,
            context: report.context.clone(),
            level: if report.is_success() {
                Level::Information
            } else {
                Level::Error
            },
            text: report.summary(),
        }
    }

    /// One line of JSON, without its line end.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            tenant: &'a str,
            level: Level,
            text: &'a str,
        }
        let line = Line {
            time: utc(self.time),
            tenant: &self.context,
            level: self.level,
            text: &self.text,
        };
        serde_json::to_string(&line).expect("texts always have a JSON form")
    }
}

/// `2027-01-15 08:00:00Z Cust10001 Error        …`, always one line.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Information => "Information",
            Level::Error => "Error",
        };
        write!(
            f,
            "{} {} {level:<11} ",
            utc(self.time).replace('T', " "),
            self.context
        )?;
        for c in self.text.chars() {
            // Whatever an endpoint answers must not forge a second line, or move a terminal's cursor.
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

fn utc(seconds: i64) -> String {
    let mut out = Vec::new();
    DateTime::from_unix_seconds(seconds)
        .unwrap_or(DateTime::MIN)
        .write_iso(&mut out, 0);
    String::from_utf8_lossy(&out).replace(' ', "T") + "Z"
}

type Listener = Box<dyn Fn(&Entry) + Send + Sync>;

/// All tenants' entries, in the order in which their cycles ended.
#[derive(Default)]
pub struct EventLog {
    entries: Mutex<VecDeque<Entry>>,
    listener: Option<Listener>,
}

impl EventLog {
    /// A log that tells `listener` every entry as it comes, one at a time: to print it, or to write it to a file.
    pub fn with_listener(listener: impl Fn(&Entry) + Send + Sync + 'static) -> EventLog {
        EventLog {
            entries: Mutex::default(),
            listener: Some(Box::new(listener)),
        }
    }

    /// Adds an entry.
    pub fn add(&self, entry: Entry) {
        let mut entries = self
            .entries
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(listener) = &self.listener {
            listener(&entry);
        }
        if entries.len() == ENTRIES_KEPT_MAX {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The newest [`ENTRIES_KEPT_MAX`] entries, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self
            .entries
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        entries.iter().cloned().collect()
    }

    /// A tenant's newest entry.
    pub fn last_of(&self, context: &str) -> Option<Entry> {
        let entries = self
            .entries
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        entries
            .iter()
            .rev()
            .find(|entry| entry.context == context)
            .cloned()
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;
    use std::sync::Arc;

    fn entry(context: &str, text: &str) -> Entry {
        Entry {
            time: NOW,
            context: context.into(),
            level: Level::Error,
            text: text.into(),
        }
    }

    #[test]
    fn an_entry_is_one_line_in_both_forms() {
        let entry = entry("Cust10001", "Mirroring failed: line\nfeed \u{1b}[2J \"quoted\"");
        insta::assert_snapshot!(entry.to_string(), @r#"2027-01-15 08:00:00Z Cust10001 Error       Mirroring failed: line\nfeed \u{1b}[2J "quoted""#);
        insta::assert_snapshot!(entry.to_json(), @r#"{"time":"2027-01-15T08:00:00Z","tenant":"Cust10001","level":"Error","text":"Mirroring failed: line\nfeed \u001b[2J \"quoted\""}"#);
        let good = Entry {
            level: Level::Information,
            text: "Mirroring completed.".into(),
            ..entry
        };
        insta::assert_snapshot!(good.to_string(), @"2027-01-15 08:00:00Z Cust10001 Information Mirroring completed.");
    }

    #[test]
    fn the_log_tells_its_listener_and_keeps_the_newest() {
        let heard = Arc::new(Mutex::new(0));
        let ear = heard.clone();
        let log = EventLog::with_listener(move |_| *ear.lock().unwrap() += 1);
        for n in 0..ENTRIES_KEPT_MAX + 3 {
            log.add(entry("a", &n.to_string()));
        }
        log.add(entry("b", "last"));
        assert_eq!(*heard.lock().unwrap(), ENTRIES_KEPT_MAX + 4);
        assert_eq!(log.entries().len(), ENTRIES_KEPT_MAX);
        assert_eq!(log.entries()[0].text, "4");
        assert_eq!(log.last_of("a").unwrap().text, (ENTRIES_KEPT_MAX + 2).to_string());
        assert!(log.last_of("c").is_none());
    }
}

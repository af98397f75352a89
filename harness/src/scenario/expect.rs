//! What a step's result must hold. What a file does not name may be anything, except where it says otherwise here.

use std::fmt;

use mirrorlab_protocol::names::{Operation, same_name};

use super::model::QuietHours;
use super::place::{At, Spanned};

/// An expectation for all tenants of a step, and others for single ones.
#[derive(Debug, Clone, PartialEq)]
pub struct PerTenant<T> {
    /// For every tenant that is not named.
    pub all: Option<T>,
    /// For one tenant each, in place of `all`.
    pub tenants: Vec<(Spanned<String>, T)>,
}

impl<T> Default for PerTenant<T> {
    fn default() -> Self {
        PerTenant {
            all: None,
            tenants: Vec::new(),
        }
    }
}

impl<T> PerTenant<T> {
    /// What a tenant's result must hold.
    pub fn of(&self, context: &str) -> Option<&T> {
        self.tenants
            .iter()
            .find(|(named, _)| named.value == context)
            .map(|(_, expect)| expect)
            .or(self.all.as_ref())
    }
}

/// Of one cycle. A `mirror` step without any `expect` must succeed.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorExpect {
    /// Where `expect` stands.
    pub at: At,
    /// How the cycle ends: [`Outcome::Ok`] unless said otherwise.
    pub outcome: Outcome,
    /// Found in the text of the cycle's Error event.
    pub error: Option<Spanned<TextPattern>>,
    /// Tables that were wiped: exactly these.
    pub wiped: Option<Spanned<Wiped>>,
    /// Rows sent per table, as ReplicationCompleted counts them. Where one table is named, the others must have none.
    pub tables: Vec<TableCounts>,
    /// `true`: no row sent, nothing wiped, an empty ChangedTables.
    pub quiet: Option<Spanned<bool>>,
    /// Calls that the server was sent.
    pub calls: Option<CallCounts>,
    /// Log entries made by this step: each must be found.
    pub events: Vec<EventExpect>,
}

impl MirrorExpect {
    /// A cycle that must succeed, and nothing more.
    pub fn ok(at: At) -> MirrorExpect {
        MirrorExpect {
            at,
            outcome: Outcome::Ok,
            error: None,
            wiped: None,
            tables: Vec::new(),
            quiet: None,
            calls: None,
            events: Vec::new(),
        }
    }
}

/// How a cycle ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An Information event.
    Ok,
    /// An Error event.
    Error,
    /// Authenticate answered `doNotReplicate`: the cycle ended there, without error.
    Declined,
    /// There was no cycle: the tenant has not approved the application.
    None,
}

impl Outcome {
    /// As a file writes them.
    pub const NAMED: [(&'static str, Outcome); 4] = [
        ("ok", Outcome::Ok),
        ("error", Outcome::Error),
        ("declined", Outcome::Declined),
        ("none", Outcome::None),
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            Outcome::NAMED
                .iter()
                .find(|(_, o)| o == self)
                .map_or("", |(name, _)| name),
        )
    }
}

/// Text to be found in a message: letter case does not count, `*` stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPattern(String);

impl TextPattern {
    /// Takes any text.
    pub fn new(text: &str) -> TextPattern {
        TextPattern(text.to_owned())
    }

    /// Whether a message contains it.
    pub fn matches(&self, message: &str) -> bool {
        let message = message.to_lowercase();
        let mut rest = message.as_str();
        self.0
            .to_lowercase()
            .split('*')
            .all(|part| match rest.find(part) {
                Some(found) => {
                    rest = &rest[found + part.len()..];
                    true
                }
                None => false,
            })
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which tables a cycle wiped.
#[derive(Debug, Clone, PartialEq)]
pub enum Wiped {
    /// Every table that is mirrored.
    All,
    /// Not one.
    None,
    /// Exactly these.
    Tables(Vec<Spanned<String>>),
}

/// Rows sent of one table; what is not named is 0.
#[derive(Debug, Clone, PartialEq)]
pub struct TableCounts {
    /// The table.
    pub table: Spanned<String>,
    /// New rows.
    pub inserts: u64,
    /// Changed rows.
    pub updates: u64,
    /// Rows that went.
    pub deletes: u64,
}

/// A number that must be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Just so many.
    Exactly(u64),
    /// So many or more.
    AtLeast(u64),
}

impl Count {
    /// Whether a number meets it.
    pub fn holds(self, number: u64) -> bool {
        match self {
            Count::Exactly(n) => number == n,
            Count::AtLeast(n) => number >= n,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Count::Exactly(n) => n.fmt(f),
            Count::AtLeast(n) => write!(f, "at least {n}"),
        }
    }
}

/// Calls of one cycle.
#[derive(Debug, Clone, PartialEq)]
pub enum CallCounts {
    /// Of all operations together.
    InAll(Spanned<Count>),
    /// Of single operations; the others may be any number.
    Each(Vec<(Spanned<Operation>, Count)>),
}

/// A log entry that must be found.
#[derive(Debug, Clone, PartialEq)]
pub struct EventExpect {
    /// Where it stands.
    pub at: At,
    /// Whose log.
    pub log: LogSide,
    /// Its kind.
    pub kind: EventKind,
    /// Found in its text.
    pub text: Option<TextPattern>,
}

/// Whose log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSide {
    /// The mirroring task's, on SuperOffice's side.
    Task,
    /// The server's, through MirrorAdmin.
    Server,
}

/// A log entry's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// All is well.
    Information,
    /// Somebody should look.
    Warning,
    /// Something failed.
    Error,
}

impl EventKind {
    /// As a file writes them.
    pub const NAMED: [(&'static str, EventKind); 3] = [
        ("information", EventKind::Information),
        ("warning", EventKind::Warning),
        ("error", EventKind::Error),
    ];
}

/// Of a comparison. A `compare` step without `expect`, or with `differences: none`, must find none.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareExpect {
    /// Where `expect` stands.
    pub at: At,
    /// Differing tables; the others must be equal.
    pub tables: Vec<TableDifference>,
}

impl CompareExpect {
    /// What is expected of a table; `None` where it must be equal.
    pub fn table(&self, name: &str) -> Option<&TableDifference> {
        self.tables.iter().find(|t| same_name(&t.table, name))
    }
}

/// How one table must differ; what is not named must be equal.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDifference {
    /// The table.
    pub table: Spanned<String>,
    /// The table itself is only on one side.
    pub only_in: Option<Side>,
    /// Columns that differ: in being there, type, nullability, default or place.
    pub columns: Option<Keys>,
    /// Rows that only the source has.
    pub missing: Option<Keys>,
    /// Rows that only the mirror has.
    pub extra: Option<Keys>,
    /// Rows that both have, with other values.
    pub different: Option<Keys>,
}

/// Which side of the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The SuperOffice database.
    Source,
    /// The partner's.
    Mirror,
}

/// How many, or exactly which.
#[derive(Debug, Clone, PartialEq)]
pub enum Keys {
    /// So many.
    Count(Count),
    /// Exactly these: a row's key, or a column's name, as text.
    These(Vec<String>),
}

/// Of the cycles of a `run_due` step, for one tenant. Without `expect`, each of them must succeed.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDueExpect {
    /// Where `expect` stands.
    pub at: At,
    /// How many cycles ran.
    pub cycles: Option<Spanned<Count>>,
    /// How each of them ends: [`Outcome::Ok`] unless said otherwise.
    pub outcome: Outcome,
    /// No cycle started within these hours, local time.
    pub none_between: Option<Spanned<QuietHours>>,
    /// When the first one started, in minutes since midnight, local time.
    pub first: Option<Spanned<u16>>,
    /// Rows sent per table by all of them together, as in [`MirrorExpect::tables`].
    pub tables: Vec<TableCounts>,
}

/// Of a person's question to the mirror.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlExpect {
    /// Where `expect` stands.
    pub at: At,
    /// The rows of the answer in order, each cell as text; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

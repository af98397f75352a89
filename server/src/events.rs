//! Events: what the server tells the partner, through [`crate::admin::MirrorAdmin::log_event`].

use mirrorlab_protocol::names::Operation;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Something went as it should.
    Information,
    /// Nothing failed, but a person should look.
    Warning,
    /// A call was refused.
    Error,
}

impl EventKind {
    /// `Information`, `Warning` or `Error`.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Information => "Information",
            EventKind::Warning => "Warning",
            EventKind::Error => "Error",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that happened, as the vendor's LogEvent carries it (doc).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The tenant; empty where a call's token did not tell it.
    pub context: String,
    /// The operation; `None` for what happens outside of a call.
    pub operation: Option<Operation>,
    /// How much it matters.
    pub kind: EventKind,
    /// What happened, for a person. No secrets.
    pub message: String,
    /// Details for the log; may be empty.
    pub additional_info: String,
}

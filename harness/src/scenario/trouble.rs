//! What a scenario lets go wrong: tokens that should be refused, calls that do not arrive, servers that die.

use mirrorlab_protocol::names::Operation;

/// What may be wrong with a token, or look so: the simulator's own list, whose names a file writes.
pub use mirrorlab_simulator::authority::TokenDefect;

use super::place::Spanned;

/// Which of the calls to come are hit.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Only calls of this operation count.
    pub operation: Option<Operation>,
    /// Only calls that carry this table count.
    pub table: Option<Spanned<String>>,
    /// How many that count pass unharmed first.
    pub after: u32,
    /// How many are hit then; `None` is all of them until the end.
    pub calls: Option<u32>,
}

/// What is wrong with which tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenFault {
    /// What is wrong.
    pub defect: TokenDefect,
    /// With which calls' tokens.
    pub hit: Hit,
}

/// What which calls meet on their way.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What they meet.
    pub kind: FaultKind,
    /// Which calls.
    pub hit: Hit,
}

/// What a call may meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// In the server's place somebody answers `IsSuccessful` false with this text; the server never sees the call.
    Refuse(String),
    /// In the server's place somebody answers with this HTTP status, 300 to 599.
    Http(u16),
    /// Nobody listens.
    ConnectionRefused,
    /// The connection breaks before the call has arrived.
    ConnectionBroken,
    /// No answer in time, and the call never arrived.
    TimedOut,
    /// The call arrives and is done; its answer is lost.
    AnswerLost,
    /// The call arrives twice, and the second answer is given back.
    ArrivesTwice,
    /// Authenticate's answer comes with a signature that does not fit.
    AnswerSignature,
    /// Authenticate's answer is about another nonce.
    AnswerNonce,
    /// Authenticate's answer is dated 16 minutes off.
    AnswerTime,
    /// The answer is not XML.
    AnswerGarbage,
    /// One cell of the call is not a value of its column's type, so that the server itself must refuse.
    SpoiledCell,
    /// The server dies when the call arrives, and is started anew on what it had committed before the next step.
    StopServer,
}

impl FaultKind {
    /// Those without a value of their own, each with the key and the value under which a file writes it.
    pub const NAMED: [(&'static str, &'static str, FaultKind); 11] = [
        ("connection", "refused", FaultKind::ConnectionRefused),
        ("connection", "broken", FaultKind::ConnectionBroken),
        ("connection", "timed_out", FaultKind::TimedOut),
        ("answer", "lost", FaultKind::AnswerLost),
        ("answer", "bad_signature", FaultKind::AnswerSignature),
        ("answer", "other_nonce", FaultKind::AnswerNonce),
        ("answer", "bad_time", FaultKind::AnswerTime),
        ("answer", "garbage", FaultKind::AnswerGarbage),
        ("call", "twice", FaultKind::ArrivesTwice),
        ("call", "spoiled_cell", FaultKind::SpoiledCell),
        ("server", "stops", FaultKind::StopServer),
    ];
}

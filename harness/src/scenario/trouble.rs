//! What a scenario lets go wrong: tokens that should be refused, calls that do not arrive, servers that die.

use std::fmt;

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

/// A point of a call, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillAt {
    /// So many thousandths of its bytes have arrived.
    Call(u16),
    /// The database's own log of the mirror has come to so many bytes while the server works on the call. Where the call
    /// is answered without that, it dies when the answer begins.
    Log(u64),
}

/// What a call may meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// In the server's place somebody answers `IsSuccessful` false with this text; the server never sees the call.
    Refuse(String),
    /// In the server's place somebody answers with this HTTP status, 300 to 599.
    Http(u16),
    /// In the server's place somebody answers with a SOAP fault of this text, at HTTP 500.
    SoapFault(String),
    /// Nobody listens.
    ConnectionRefused,
    /// The connection is reset before the call has begun to arrive.
    ConnectionBroken,
    /// The connection is reset when half of the call has arrived.
    ConnectionHalfway,
    /// No answer in time, and the call never arrived.
    TimedOut,
    /// The call arrives and is done; the connection is reset before its answer arrives.
    AnswerLost,
    /// The call arrives and is done; half of its answer arrives.
    AnswerTruncated,
    /// The call arrives and is done; its answer comes too late for the sender.
    AnswerLate,
    /// The call arrives twice, and the second answer is given back.
    ArrivesTwice,
    /// The call arrives and is done, and arrives once more among the last calls of the tenant's next cycle.
    ArrivesAgain,
    /// The call is given up by the sender, and arrives among the last calls of the tenant's next cycle.
    Overtaken,
    /// The call's body arrives cut in the middle, as if it were whole.
    CallTruncated,
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
    /// The server's process is killed when half of the call has arrived.
    KilledHalfway,
    /// The server's process is killed while it works on the call: all of it has arrived.
    KilledWorking,
    /// The server's process is killed when the first byte of its answer has come.
    KilledAnswering,
    /// The server's process is killed at this point of the call.
    KilledAt(KillAt),
    /// The mirror may grow no more while the call is worked on.
    DiskFull,
    /// Another program holds the mirror while the call is worked on.
    Locked,
}

impl FaultKind {
    /// Those without a value of their own, each with the key and the value under which a file writes it.
    pub const NAMED: [(&'static str, &'static str, FaultKind); 22] = [
        ("connection", "refused", FaultKind::ConnectionRefused),
        ("connection", "broken", FaultKind::ConnectionBroken),
        ("connection", "halfway", FaultKind::ConnectionHalfway),
        ("connection", "timed_out", FaultKind::TimedOut),
        ("answer", "lost", FaultKind::AnswerLost),
        ("answer", "truncated", FaultKind::AnswerTruncated),
        ("answer", "late", FaultKind::AnswerLate),
        ("answer", "bad_signature", FaultKind::AnswerSignature),
        ("answer", "other_nonce", FaultKind::AnswerNonce),
        ("answer", "bad_time", FaultKind::AnswerTime),
        ("answer", "garbage", FaultKind::AnswerGarbage),
        ("call", "twice", FaultKind::ArrivesTwice),
        ("call", "again_later", FaultKind::ArrivesAgain),
        ("call", "overtaken", FaultKind::Overtaken),
        ("call", "truncated", FaultKind::CallTruncated),
        ("call", "spoiled_cell", FaultKind::SpoiledCell),
        ("server", "stops", FaultKind::StopServer),
        ("server", "disk_full", FaultKind::DiskFull),
        ("server", "locked", FaultKind::Locked),
        ("server", "killed_halfway", FaultKind::KilledHalfway),
        ("server", "killed_working", FaultKind::KilledWorking),
        ("server", "killed_answering", FaultKind::KilledAnswering),
    ];

    /// Whether the server's process is killed at a point of the call: done really where it is a process of its own.
    pub fn kills(&self) -> bool {
        matches!(
            self,
            FaultKind::KilledHalfway
                | FaultKind::KilledWorking
                | FaultKind::KilledAnswering
                | FaultKind::KilledAt(_)
        )
    }

    /// Whether one clean cycle heals whatever it did. A call that later ones overtook does what it says, and no LSN tells
    /// of it: only the token's time, or the refusal of nonces seen before, keeps it out.
    pub fn heals(&self) -> bool {
        !matches!(self, FaultKind::ArrivesAgain | FaultKind::Overtaken)
    }
}

/// As a file writes it: `http: 503`.
impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = FaultKind::NAMED.iter().find(|(_, _, kind)| kind == self);
        match (self, named) {
            (FaultKind::Refuse(text), _) => write!(f, "refuse: {text}"),
            (FaultKind::SoapFault(text), _) => write!(f, "soap_fault: {text}"),
            (FaultKind::Http(status), _) => write!(f, "http: {status}"),
            (FaultKind::KilledAt(KillAt::Call(part)), _) => write!(f, "killed: {{call: {part}}}"),
            (FaultKind::KilledAt(KillAt::Log(bytes)), _) => write!(f, "killed: {{log: {bytes}}}"),
            (_, Some((key, value, _))) => write!(f, "{key}: {value}"),
            (other, None) => write!(f, "{other:?}"),
        }
    }
}

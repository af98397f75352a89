//! What a scenario lets go wrong: tokens that should be refused, calls that do not arrive, servers that die.

use std::fmt;

use mirrorlab_protocol::names::Operation;

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

/// What may be wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenDefect {
    /// The header is not there at all.
    Missing,
    /// Something that is no token.
    Garbage,
    /// Signed well, then changed.
    Tampered,
    /// Signed with a key that the server does not trust, under the thumbprint of one that it does.
    ForeignKey,
    /// Signed with a key that the server does not trust, under its own thumbprint.
    UnknownKey,
    /// For another application.
    ForeignApplication,
    /// By another issuer.
    ForeignIssuer,
    /// `sub` and `ctx` name two tenants.
    TwoTenants,
    /// No tenant in it.
    NoTenant,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Not signed, and says so: `alg` none.
    Unsigned,
    /// `alg` HS256, with the public key as the secret.
    PublicKeyAsSecret,
    /// The token of the call before, once more.
    Replayed,
}

impl TokenDefect {
    /// All of them.
    pub const ALL: [TokenDefect; 14] = [
        TokenDefect::Missing,
        TokenDefect::Garbage,
        TokenDefect::Tampered,
        TokenDefect::ForeignKey,
        TokenDefect::UnknownKey,
        TokenDefect::ForeignApplication,
        TokenDefect::ForeignIssuer,
        TokenDefect::TwoTenants,
        TokenDefect::NoTenant,
        TokenDefect::Expired,
        TokenDefect::NotYetValid,
        TokenDefect::Unsigned,
        TokenDefect::PublicKeyAsSecret,
        TokenDefect::Replayed,
    ];

    /// As a file writes it.
    pub fn name(self) -> &'static str {
        match self {
            TokenDefect::Missing => "missing",
            TokenDefect::Garbage => "garbage",
            TokenDefect::Tampered => "tampered",
            TokenDefect::ForeignKey => "foreign_key",
            TokenDefect::UnknownKey => "unknown_key",
            TokenDefect::ForeignApplication => "foreign_application",
            TokenDefect::ForeignIssuer => "foreign_issuer",
            TokenDefect::TwoTenants => "two_tenants",
            TokenDefect::NoTenant => "no_tenant",
            TokenDefect::Expired => "expired",
            TokenDefect::NotYetValid => "not_yet_valid",
            TokenDefect::Unsigned => "unsigned",
            TokenDefect::PublicKeyAsSecret => "public_key_as_secret",
            TokenDefect::Replayed => "replayed",
        }
    }
}

impl fmt::Display for TokenDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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

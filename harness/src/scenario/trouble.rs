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

/// What may be wrong with a token, or look so. The words are the simulator's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenDefect {
    /// Signed by a key that is not the certificate's.
    WrongKey,
    /// Names a certificate that nobody has, and is signed by its key.
    UnknownKid,
    /// Names no certificate at all.
    NoKid,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Names another tenant and is right in all else, so that it has to be believed.
    ForeignTenant,
    /// Names one tenant as `sub` and another as the context.
    TwoTenants,
    /// The tenant's name climbs out of a directory.
    PathTenant,
    /// For another application.
    OtherAudience,
    /// By another issuer.
    OtherIssuer,
    /// No nonce to be signed.
    NoNonce,
    /// Not signed, and says so.
    AlgNone,
    /// `alg` is HS256, with the public certificate as the secret.
    Hs256,
    /// Signed well, then changed.
    Tampered,
    /// The envelope has no `SignedToken`.
    MissingHeader,
    /// The `SignedToken` is empty.
    Empty,
    /// The `SignedToken` is no JWT.
    Garbage,
    /// The token of the call before, once more. Harmless, unless the server refuses known nonces.
    Repeated,
    /// Line breaks and blanks around it. Harmless.
    LineBreaks,
    /// Only `x5t` names the certificate. Harmless.
    OnlyX5t,
}

impl TokenDefect {
    /// All of them.
    pub const ALL: [TokenDefect; 20] = [
        TokenDefect::WrongKey,
        TokenDefect::UnknownKid,
        TokenDefect::NoKid,
        TokenDefect::Expired,
        TokenDefect::NotYetValid,
        TokenDefect::ForeignTenant,
        TokenDefect::TwoTenants,
        TokenDefect::PathTenant,
        TokenDefect::OtherAudience,
        TokenDefect::OtherIssuer,
        TokenDefect::NoNonce,
        TokenDefect::AlgNone,
        TokenDefect::Hs256,
        TokenDefect::Tampered,
        TokenDefect::MissingHeader,
        TokenDefect::Empty,
        TokenDefect::Garbage,
        TokenDefect::Repeated,
        TokenDefect::LineBreaks,
        TokenDefect::OnlyX5t,
    ];

    /// As a file writes it.
    pub fn name(self) -> &'static str {
        match self {
            TokenDefect::WrongKey => "wrong-key",
            TokenDefect::UnknownKid => "unknown-kid",
            TokenDefect::NoKid => "no-kid",
            TokenDefect::Expired => "expired",
            TokenDefect::NotYetValid => "not-yet-valid",
            TokenDefect::ForeignTenant => "foreign-tenant",
            TokenDefect::TwoTenants => "two-tenants",
            TokenDefect::PathTenant => "path-tenant",
            TokenDefect::OtherAudience => "other-audience",
            TokenDefect::OtherIssuer => "other-issuer",
            TokenDefect::NoNonce => "no-nonce",
            TokenDefect::AlgNone => "alg-none",
            TokenDefect::Hs256 => "hs256",
            TokenDefect::Tampered => "tampered",
            TokenDefect::MissingHeader => "missing-header",
            TokenDefect::Empty => "empty",
            TokenDefect::Garbage => "garbage",
            TokenDefect::Repeated => "repeated",
            TokenDefect::LineBreaks => "line-breaks",
            TokenDefect::OnlyX5t => "only-x5t",
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

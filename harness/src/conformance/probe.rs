//! The first question: is there an endpoint at all? Whoever asks 200 questions of a login page gets 200 wrong answers.

use std::sync::Arc;
use std::time::Duration;

use mirrorlab_protocol::names::{Operation, SERVICE_FILE};
use mirrorlab_simulator::authority::{Authority, Tokens};
use mirrorlab_simulator::endpoint::https::shown;

use super::bench::{Said, Shared, read_answer};
use super::say;
use super::wire::{Ask, HttpAnswer, Limits, Wire, WireError};
use crate::report::failure::printable;

/// How long the first call may take: nothing is written for it.
const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(15);

/// How much of a refusal's text is shown.
const REFUSAL_CHARS_MAX: usize = 400;

/// Who asks, and whom.
pub struct Probe<'p> {
    /// The endpoint.
    pub wire: &'p Wire,
    /// SuperOffice.
    pub authority: &'p Arc<Authority>,
    /// The application's id, as tokens name it.
    pub application_id: &'p str,
    /// A tenant that is asked about nothing else.
    pub context: &'p str,
    /// Draws the token's nonce.
    pub seed: u64,
    /// The time, in seconds since 1970 UTC.
    pub now: i64,
    /// What was not done where there is no endpoint: `checked`.
    pub done: &'p str,
}

/// Authenticates once, rightly: conformance's first call.
///
/// # Errors
/// What is there instead of an endpoint, and what to do, in one message.
pub fn probe(shared: &Shared) -> Result<(), String> {
    let probe = Probe {
        wire: &shared.wire,
        authority: &shared.authority,
        application_id: &shared.application_id,
        context: &shared.context(999, 9),
        seed: shared.seed ^ u64::from(shared.tag),
        now: shared.clock.now(),
        done: "checked",
    };
    probe.ask()
}

/// Asks whether a service is there at all, by a token that is none: it may refuse that as it likes.
///
/// # Errors
/// What is there instead, and what to do, in one message.
pub fn reach(wire: &Wire, done: &str) -> Result<(), String> {
    let answer = first_answer(wire, Some("nonsense"), done)?;
    match judge(wire, &answer, done) {
        Judged::Endpoint | Judged::Refused(_) => Ok(()),
        Judged::Other(why) => Err(format!("{}: {why}", shown(wire.url().as_str()))),
    }
}

/// The answer to the first call.
fn first_answer(wire: &Wire, token: Option<&str>, done: &str) -> Result<HttpAnswer, String> {
    let body = say::envelope(token, &say::authenticate(None));
    let ask = Ask::call(Operation::Authenticate, body.into_bytes());
    // The limits of a whole run are generous; nobody waits as long for a first answer.
    let limits = wire.limits();
    let brief = wire.within(Limits {
        call: limits.call.min(PROBE_TIMEOUT_MAX),
        ..limits
    });
    let answer = brief.ask(&ask);
    answer.map_err(|error| format!("{}: {}", shown(wire.url().as_str()), unreached(&error, done)))
}

/// What the first answer shows.
enum Judged {
    /// There is an endpoint; the checks will say how it is.
    Endpoint,
    /// There is, and it refuses the token.
    Refused(String),
    /// What there is, and what to do.
    Other(String),
}

impl Probe<'_> {
    /// Authenticates once, rightly. Every command asks this first, so that they all say the same of what is no endpoint.
    ///
    /// # Errors
    /// What is there instead of an endpoint, and what to do, in one message.
    pub fn ask(&self) -> Result<(), String> {
        let authority = Arc::clone(self.authority);
        let mut tokens = Tokens::new(authority, self.application_id, self.context, self.seed);
        let token = tokens.mint(self.now).text;
        let answer = first_answer(self.wire, token.as_deref(), self.done)?;
        let why = match judge(self.wire, &answer, self.done) {
            Judged::Endpoint => return Ok(()),
            Judged::Other(why) => why,
            Judged::Refused(text) => format!(
                "the endpoint refuses a right token: \"{}\". It has to trust the certificate of --keys \
                 (trust/superoffice.pem there), and the application id has to be `{}` on both sides; nothing was {}",
                start_of(&text),
                self.application_id,
                self.done
            ),
        };
        Err(format!("{}: {why}", shown(self.wire.url().as_str())))
    }
}

fn judge(wire: &Wire, answer: &HttpAnswer, done: &str) -> Judged {
    let status = answer.status;
    let kind = answer
        .header("content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let path_hint = match wire.url().path().ends_with(SERVICE_FILE) {
        true => "is the part of the path before it right?",
        false => "SuperOffice calls a path that ends in it; does --endpoint name the whole URL?",
    };
    match read_answer(Operation::Authenticate, answer) {
        Said::Yes(_) => Judged::Endpoint,
        Said::No(text) => Judged::Refused(text),
        Said::Fault { code, text, .. } if code == "ActionNotSupported" => Judged::Other(format!(
            "a SOAP service, but not the mirroring one: it does not know Authenticate ({}). Correct --endpoint; nothing \
         was {done}",
            mirrorlab_protocol::excerpt(&text)
        )),
        // What `mirrorlab record` says too where nothing is behind it.
        Said::Fault {
            status: 502..=504,
            text,
            ..
        } => Judged::Other(format!(
            "a proxy answers that the service behind it does not (HTTP {status}): \"{}\". Start the service, or \
             mend what keeps the proxy from it; nothing was {done}",
            start_of(&text)
        )),
        // A service that fails is still the service: the checks will say how.
        Said::Fault { .. } => Judged::Endpoint,
        Said::Other { what, .. } => Judged::Other(match status {
            300..=399 => format!(
                "it redirects (HTTP {status}) to {}. SuperOffice follows no redirect: give --endpoint the URL that answers \
             by itself; nothing was {done}",
                mirrorlab_protocol::excerpt(answer.header("location").unwrap_or("nowhere"))
            ),
            401 | 403 | 407 => format!(
                "something before the service asks for a login or forbids the call (HTTP {status}). The token inside the \
             message is the only login there may be; nothing was {done}"
            ),
            404 | 405 | 410 => format!(
                "nothing takes calls at this path (HTTP {status}). The service is called {SERVICE_FILE}: {path_hint} \
             Nothing was {done}"
            ),
            502..=504 => format!(
                "a proxy answers that the service behind it does not (HTTP {status}). Start the service, or mend what \
                 keeps the proxy from it; nothing was {done}"
            ),
            _ if kind.contains("html") => format!(
                "it answers a web page (HTTP {status}, {kind}) and no SOAP. Is that the service's URL, or that of a site \
             around it? The service is called {SERVICE_FILE}: {path_hint} Nothing was {done}"
            ),
            _ => {
                format!("no SOAP service: HTTP {status}, {what}. Correct --endpoint; nothing was {done}")
            }
        }),
    }
}

/// So much of a text from outside as a message has room for.
fn start_of(text: &str) -> String {
    printable(&text.chars().take(REFUSAL_CHARS_MAX).collect::<String>())
}

fn unreached(error: &WireError, done: &str) -> String {
    match error {
        WireError::Connect(why) => {
            format!("{why}. Start the endpoint, or correct --endpoint; nothing was {done}")
        }
        WireError::Tls(why) if why.contains("certificate") => format!(
            "{why}. Name the authority that signed it with --ca FILE, or, for a trial, give --insecure; nothing was {done}"
        ),
        WireError::Tls(why) => {
            let stop = if why.ends_with('?') { "" } else { "." };
            format!("{why}{stop} Correct scheme and port; nothing was {done}")
        }
        WireError::TimedOut(limit) => format!(
            "the connection stands, but Authenticate was not answered within {} s. Does the service wait for something, \
             or is it another service's port? Nothing was {done}",
            limit.as_secs_f64()
        ),
        // A TLS alert.
        WireError::NotHttp(what) if what.starts_with("\\u{15}") => {
            format!("what answers speaks TLS: write https:// in --endpoint; nothing was {done}")
        }
        WireError::NotHttp(what) => {
            format!("what answers does not speak HTTP: {what}. Correct scheme and port; nothing was {done}")
        }
        WireError::Closed | WireError::Io(_) => format!(
            "{error}. Is it https:// there, or does something before the service end the call? Nothing was {done}"
        ),
    }
}

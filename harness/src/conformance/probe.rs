//! The first question: is there an endpoint at all? Whoever asks 200 questions of a login page gets 200 wrong answers.

use std::sync::Arc;
use std::time::Duration;

use mirrorlab_protocol::names::{Operation, SERVICE_FILE};
use mirrorlab_simulator::authority::{Authority, Tokens};

use super::bench::{Said, Shared, read_answer};
use super::say;
use super::wire::{Ask, HttpAnswer, Limits, Wire, WireError};

/// How long the first call may take: nothing is written for it.
const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(15);

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
    };
    probe.ask()
}

impl Probe<'_> {
    /// Authenticates once, rightly. Every command asks this first, so that they all say the same of what is no endpoint.
    ///
    /// # Errors
    /// What is there instead of an endpoint, and what to do, in one message.
    pub fn ask(&self) -> Result<(), String> {
        let url = self.wire.url().as_str();
        let authority = Arc::clone(self.authority);
        let mut tokens = Tokens::new(authority, self.application_id, self.context, self.seed);
        let token = tokens.mint(self.now).text;
        let body = say::envelope(token.as_deref(), &say::authenticate(None));
        let ask = Ask::call(Operation::Authenticate, body.into_bytes());
        // The limits of a whole run are generous; nobody waits as long for a first answer.
        let limits = self.wire.limits();
        let wire = self.wire.within(Limits {
            call: limits.call.min(PROBE_TIMEOUT_MAX),
            ..limits
        });
        let answer = match wire.ask(&ask) {
            Ok(answer) => answer,
            Err(error) => return Err(format!("{url}: {}", unreached(&error))),
        };
        match self.judge(&answer) {
            None => Ok(()),
            Some(why) => Err(format!("{url}: {why}")),
        }
    }

    fn judge(&self, answer: &HttpAnswer) -> Option<String> {
        let status = answer.status;
        let kind = answer
            .header("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let path_hint = match self.wire.url().path().ends_with(SERVICE_FILE) {
            true => "is the part of the path before it right?",
            false => "SuperOffice calls a path that ends in it; does --endpoint name the whole URL?",
        };
        match read_answer(Operation::Authenticate, answer) {
            Said::Yes(_) => None,
            Said::No(text) => Some(format!(
                "the endpoint refuses a right token: \"{}\". It has to trust the certificate of --keys \
             (trust/superoffice.pem there), and the application id has to be `{}` on both sides; nothing was checked",
                mirrorlab_protocol::excerpt(&text),
                self.application_id
            )),
            Said::Fault { code, text, .. } if code == "ActionNotSupported" => Some(format!(
                "a SOAP service, but not the mirroring one: it does not know Authenticate ({}). Correct --endpoint; nothing \
             was checked",
                mirrorlab_protocol::excerpt(&text)
            )),
            // A service that fails is still the service: the checks will say how.
            Said::Fault { .. } => None,
            Said::Other { what, .. } => Some(match status {
                300..=399 => format!(
                    "it redirects (HTTP {status}) to {}. SuperOffice follows no redirect: give --endpoint the URL that answers \
                 by itself; nothing was checked",
                    mirrorlab_protocol::excerpt(answer.header("location").unwrap_or("nowhere"))
                ),
                401 | 403 | 407 => format!(
                    "something before the service asks for a login or forbids the call (HTTP {status}). The token inside the \
                 message is the only login there may be; nothing was checked"
                ),
                404 | 405 | 410 => format!(
                    "nothing takes calls at this path (HTTP {status}). The service is called {SERVICE_FILE}: {path_hint} \
                 Nothing was checked"
                ),
                502..=504 => format!(
                    "a proxy answers that the service behind it does not (HTTP {status}). Start the service; nothing was checked"
                ),
                _ if kind.contains("html") => format!(
                    "it answers a web page (HTTP {status}, {kind}) and no SOAP. Is that the service's URL, or that of a site \
                 around it? The service is called {SERVICE_FILE}: {path_hint} Nothing was checked"
                ),
                _ => {
                    format!("no SOAP service: HTTP {status}, {what}. Correct --endpoint; nothing was checked")
                }
            }),
        }
    }
}

fn unreached(error: &WireError) -> String {
    match error {
        WireError::Connect(why) => {
            format!("{why}. Start the endpoint, or correct --endpoint; nothing was checked")
        }
        WireError::Tls(why) if why.contains("certificate") => format!(
            "{why}. Name the authority that signed it with --ca FILE, or, for a trial, give --insecure; nothing was checked"
        ),
        WireError::Tls(why) => {
            let stop = if why.ends_with('?') { "" } else { "." };
            format!("{why}{stop} Correct scheme and port; nothing was checked")
        }
        WireError::TimedOut(limit) => format!(
            "the connection stands, but Authenticate was not answered within {} s. Does the service wait for something, \
             or is it another service's port? Nothing was checked",
            limit.as_secs_f64()
        ),
        // A TLS alert.
        WireError::NotHttp(what) if what.starts_with("\\u{15}") => {
            "what answers speaks TLS: write https:// in --endpoint; nothing was checked".to_owned()
        }
        WireError::NotHttp(what) => {
            format!("what answers does not speak HTTP: {what}. Correct scheme and port; nothing was checked")
        }
        WireError::Closed | WireError::Io(_) => format!(
            "{error}. Is it https:// there, or does something before the service end the call? Nothing was checked"
        ),
    }
}

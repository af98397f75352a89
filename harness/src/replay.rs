//! Recorded calls once more, against any endpoint, and whether they are answered as they were.
//!
//! Each call goes with the bytes it had, but for two things that cannot be said twice: its token, which is signed anew for the
//! tenant it names (or another), and the ClientState, which is the one that this endpoint gave. Answers are compared by what
//! they mean: status, kind, IsSuccessful, ErrorMessage, LSNs. Where tokens are signed anew, Authenticate's answer must be
//! signed for them.
//!
//! - [`load`]: files into calls
//! - [`edit`]: a request with another token and ClientState

pub mod edit;
pub mod load;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mirrorlab_protocol::answer;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::keys::PublicKey;
use mirrorlab_protocol::message::{Response, ResponseDetail, read_response};
use mirrorlab_protocol::names::{Operation, fold};
use mirrorlab_protocol::soap::Fault;
use mirrorlab_protocol::token::AUDIENCE_PREFIX;
use mirrorlab_protocol::xml;
use mirrorlab_simulator::authority::{Authority, Tokens};
use mirrorlab_simulator::capture::form::claims_of;
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};

use crate::report::Failure;
use crate::scenario::rename::with_names;
use load::{Item, Recorded};

/// The rule that replayed calls are held against.
const RULE: &str = "a recorded call is answered as it was";
/// The most LSNs that a failure shows.
const LSNS_SHOWN_MAX: usize = 20;

/// Who signs replayed calls.
pub struct Signer {
    /// SuperOffice.
    pub authority: Arc<Authority>,
    /// The application's key, which has to have signed Authenticate's answer.
    pub application_key: PublicKey,
    /// The application's id, where it is another than the recorded tokens name.
    pub application_id: Option<String>,
    /// From which nonces are drawn.
    pub seed: u64,
}

/// What differences count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Texts of errors and faults may differ.
    pub error_text: bool,
    /// LSNs may differ.
    pub lsn: bool,
}

/// How calls are replayed.
pub struct Options {
    /// `None`: calls go as they were recorded, token and all.
    pub signer: Option<Signer>,
    /// Tenants that get another name.
    pub renamed: Vec<(String, String)>,
    /// What may differ.
    pub ignored: Ignored,
    /// The command that repeats all of it.
    pub command: String,
}

/// What came of one call.
#[derive(Debug)]
pub struct Replayed {
    /// `call 3: RowData of Cust10001`.
    pub name: String,
    /// How its answer differs; nothing where it was answered as it was.
    pub failures: Vec<Failure>,
    /// Why its answer was not compared, where it was not.
    pub not_compared: Option<String>,
}

/// A replay that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The calls cannot be replayed so.
    #[error("{0}")]
    Usage(String),
    /// The endpoint is not there.
    #[error("{0}")]
    NoEndpoint(String),
}

/// Replays calls one after the other, in their order.
pub struct Replay<'r> {
    endpoint: &'r dyn Endpoint,
    clock: &'r dyn Clock,
    options: &'r Options,
    /// By the tenant's new name.
    tokens: HashMap<String, Tokens>,
    /// What the endpoint's own Authenticate gave to be handed back.
    states: BTreeMap<String, Option<String>>,
}

impl<'r> Replay<'r> {
    /// A replay against an endpoint.
    pub fn new(endpoint: &'r dyn Endpoint, clock: &'r dyn Clock, options: &'r Options) -> Replay<'r> {
        Replay {
            endpoint,
            clock,
            options,
            tokens: HashMap::new(),
            states: BTreeMap::new(),
        }
    }

    /// Whether all of these can be replayed so: asked before the first one is sent.
    ///
    /// # Errors
    /// [`ReplayError::Usage`], naming the file.
    pub fn check(items: &[Item], options: &Options) -> Result<(), ReplayError> {
        for item in items {
            let wrong = |why: &str| {
                Err(ReplayError::Usage(format!(
                    "{}: call {}: {why}",
                    item.file, item.number
                )))
            };
            if item.redacted.cells {
                return wrong(
                    "its cells were masked when it was recorded (--redact cells): it shows a call's shape, and cannot be \
                     sent again",
                );
            }
            let Some(signer) = &options.signer else {
                if item.redacted.tokens {
                    return wrong(
                        "its token was masked when it was recorded (--redact tokens), and --as-recorded would send it; \
                         give --keys, so that it is signed anew",
                    );
                }
                continue;
            };
            if signer.application_id.is_none() && item.redacted.tokens {
                return wrong(
                    "its token was masked when it was recorded, so it does not say which application it is for; give \
                     --application-id",
                );
            }
        }
        let known = |name: &str| items.iter().any(|item| item.tenant.as_deref() == Some(name));
        if let Some((old, _)) = options.renamed.iter().find(|(old, _)| !known(old)) {
            let mut tenants: Vec<&str> = items.iter().filter_map(|i| i.tenant.as_deref()).collect();
            tenants.sort_unstable();
            tenants.dedup();
            return Err(ReplayError::Usage(format!(
                "--tenant {old}=…: no call is for {old}; there are calls for {}",
                match tenants.as_slice() {
                    [] => "no tenant at all".to_owned(),
                    names => names.join(", "),
                }
            )));
        }
        Ok(())
    }

    /// Sends one call, and holds its answer against the recorded one.
    ///
    /// # Errors
    /// [`ReplayError::NoEndpoint`] where nothing listens there.
    pub fn one(&mut self, item: &Item) -> Result<Replayed, ReplayError> {
        let tenant = item.tenant.as_deref().map(|name| self.renamed(name).to_owned());
        let operation = item.operation.map_or("an unknown operation", Operation::name);
        let mut replayed = Replayed {
            name: match &tenant {
                Some(tenant) => format!("call {}: {operation} of {tenant}", item.number),
                None => format!("call {}: {operation}", item.number),
            },
            failures: Vec::new(),
            not_compared: None,
        };
        let unsent = |replayed: Replayed, why: &str| {
            Ok(Replayed {
                not_compared: Some(format!("not sent: {why}")),
                ..replayed
            })
        };
        let Some(operation) = item.operation else {
            return unsent(replayed, "it is none of the five operations");
        };
        if item.is_cut {
            return unsent(replayed, "only the beginning of it was recorded");
        }
        let (body, nonce) = match self.request(item, tenant.as_deref()) {
            Ok(made) => made,
            Err(why) => return unsent(replayed, &why),
        };
        let call = OutgoingCall {
            operation,
            context: tenant.clone().unwrap_or_default(),
            body,
        };
        let answered = self.endpoint.call(&call);
        let check = Check {
            item,
            step: &replayed.name,
            options: self.options,
        };
        match answered {
            Err(error @ TransportError::Connect { .. }) => {
                return Err(ReplayError::NoEndpoint(format!("{}: {error}", replayed.name)));
            }
            Err(error) => match &item.recorded {
                Recorded::Answer { status, .. } => replayed.failures.push(check.failure(
                    "replay-no-answer",
                    format!("an answer, as then (HTTP {status})"),
                    error.to_string(),
                    None,
                )),
                _ => replayed.not_compared = Some(format!("no answer: {error}")),
            },
            Ok(reply) => {
                let now = Said::read(operation, reply.status, &reply.body);
                if let (Some(tenant), Said::Response(response)) = (&tenant, &now)
                    && let ResponseDetail::Authenticate(detail) = &response.detail
                    && response.successful
                {
                    self.states.insert(tenant.clone(), detail.client_state.clone());
                    if let (Some(signer), Some(nonce)) = (&self.options.signer, &nonce) {
                        let token = detail.signed_application_token.as_deref();
                        if let Err(error) =
                            answer::check(token, nonce, self.clock.now(), &signer.application_key)
                        {
                            replayed.failures.push(check.failure(
                                "replay-answer-token",
                                "the application's signature over this call's nonce, at this time".to_owned(),
                                error.to_string(),
                                Some(&reply),
                            ));
                        }
                    }
                }
                match &item.recorded {
                    Recorded::Answer { status, body } => {
                        let then = Said::read(operation, *status, body);
                        replayed
                            .failures
                            .extend(check.compare(*status, &then, &now, &reply));
                    }
                    Recorded::NoAnswer(why) => {
                        replayed.not_compared = Some(format!("there was no answer then: {why}"));
                    }
                    Recorded::Nothing => {
                        replayed.not_compared = Some("the file has no answer to compare with".to_owned());
                    }
                }
            }
        }
        Ok(replayed)
    }

    fn renamed<'n>(&'n self, tenant: &'n str) -> &'n str {
        self.options
            .renamed
            .iter()
            .find(|(old, _)| old == tenant)
            .map_or(tenant, |(_, new)| new)
    }

    /// The request's bytes, and the nonce of its new token.
    fn request(&mut self, item: &Item, tenant: Option<&str>) -> Result<(Vec<u8>, Option<String>), String> {
        let (Some(signer), Some(tenant)) = (&self.options.signer, tenant) else {
            // A token that names no tenant is wrong on purpose: it goes as it is, and is refused as it was.
            return Ok((item.body.clone(), None));
        };
        let recorded_id = || {
            let claims = claims_of(item.token.as_deref()?)?;
            let audience = claims.get("aud")?.as_str()?;
            Some(audience.strip_prefix(AUDIENCE_PREFIX)?.to_owned())
        };
        let application = signer
            .application_id
            .clone()
            .or_else(recorded_id)
            .ok_or("its token names no application; give --application-id")?;
        let tokens = self
            .tokens
            .entry(tenant.to_owned())
            .or_insert_with(|| Tokens::new(Arc::clone(&signer.authority), &application, tenant, signer.seed));
        let minted = tokens.mint(self.clock.now());
        let state = self.states.get(tenant).cloned();
        let text = xml::decode(&item.body).map_err(|error| error.to_string())?;
        let token = minted.text.unwrap_or_default();
        let edited = edit::edit(&text, &token, state.as_ref().map(Option::as_deref))
            .map_err(|error| format!("its envelope cannot be read: {error}"))?;
        Ok((edited.into_bytes(), Some(minted.nonce)))
    }
}

/// What an answer says.
#[derive(Debug)]
enum Said {
    Response(Response),
    Fault(Fault),
    Other(String),
}

impl Said {
    fn read(operation: Operation, status: u16, body: &[u8]) -> Said {
        let read = xml::decode(body)
            .map_err(Into::into)
            .and_then(|text| read_response(&text, operation));
        match read {
            Ok(Ok(response)) => Said::Response(response),
            Ok(Err(fault)) => Said::Fault(fault),
            Err(_) => {
                let start = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
                Said::Other(format!(
                    "HTTP {status} and no SOAP: {}",
                    mirrorlab_protocol::excerpt(start.trim())
                ))
            }
        }
    }

    /// In words, for what was expected and what came.
    fn words(&self) -> String {
        match self {
            Said::Response(response) if response.successful => "IsSuccessful true".to_owned(),
            Said::Response(response) => format!(
                "IsSuccessful false: {}",
                response.error.as_deref().unwrap_or("(no ErrorMessage)")
            ),
            Said::Fault(fault) => format!("a SOAP fault {}: {}", fault.code, fault.text),
            Said::Other(what) => what.clone(),
        }
    }
}

struct Check<'c> {
    item: &'c Item,
    step: &'c str,
    options: &'c Options,
}

impl Check<'_> {
    fn failure(&self, check: &str, expected: String, received: String, reply: Option<&Reply>) -> Failure {
        Failure {
            check: check.to_owned(),
            rule: RULE.to_owned(),
            file: Some(self.item.file.clone()),
            line: None,
            step: Some(self.step.to_owned()),
            expected,
            received,
            message: reply.map(|reply| String::from_utf8_lossy(&reply.body).into_owned()),
            seed: None,
            repeat_command: self.options.command.clone(),
        }
    }

    /// A text of then, with the tenants' names of now.
    fn of_now(&self, text: &str) -> String {
        with_names(text, &self.options.renamed)
    }

    fn compare(&self, status: u16, then: &Said, now: &Said, reply: &Reply) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut differs = |check: &str, expected: String, received: String| {
            failures.push(self.failure(check, expected, received, Some(reply)));
        };
        let words = || (self.of_now(&then.words()), now.words());
        match (then, now) {
            (Said::Response(a), Said::Response(b)) if a.successful != b.successful => {
                let (expected, received) = words();
                differs("replay-successful", expected, received);
            }
            (Said::Response(a), Said::Response(b)) => {
                let text = |response: &Response| response.error.clone().unwrap_or_default();
                if !a.successful && !self.options.ignored.error_text && self.of_now(&text(a)) != text(b) {
                    let (expected, received) = words();
                    differs("replay-error-text", expected, received);
                }
                if let (ResponseDetail::TableSchema(a), ResponseDetail::TableSchema(b)) =
                    (&a.detail, &b.detail)
                    && !self.options.ignored.lsn
                {
                    let lsns =
                        |list: &[mirrorlab_protocol::message::TableLsn]| -> BTreeMap<String, (String, i64)> {
                            list.iter()
                                .map(|l| (fold(&l.table), (l.table.clone(), l.lsn)))
                                .collect()
                        };
                    if let Some((expected, received)) = lsn_differences(&lsns(a), &lsns(b)) {
                        differs("replay-lsn", expected, received);
                    }
                }
                if status != reply.status {
                    differs(
                        "replay-status",
                        format!("HTTP {status}"),
                        format!("HTTP {}", reply.status),
                    );
                }
            }
            (Said::Fault(a), Said::Fault(b)) => {
                let same_text = self.options.ignored.error_text || self.of_now(&a.text) == b.text;
                if a.code != b.code || !same_text {
                    let (expected, received) = words();
                    differs("replay-fault", expected, received);
                } else if status != reply.status {
                    differs(
                        "replay-status",
                        format!("HTTP {status}"),
                        format!("HTTP {}", reply.status),
                    );
                }
            }
            // Neither is SOAP: nothing but the status can be compared.
            (Said::Other(_), Said::Other(_)) if status == reply.status => {}
            _ => {
                let (expected, received) = words();
                differs("replay-answer", expected, received);
            }
        }
        failures
    }
}

type Lsns = BTreeMap<String, (String, i64)>;

/// The tables whose LSNs differ: as they were, and as they are.
fn lsn_differences(then: &Lsns, now: &Lsns) -> Option<(String, String)> {
    let names: std::collections::BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let mut expected = Vec::new();
    let mut received = Vec::new();
    for name in names {
        let (a, b) = (then.get(name), now.get(name));
        if a.map(|l| l.1) == b.map(|l| l.1) {
            continue;
        }
        let shown = |lsn: Option<&(String, i64)>| match lsn {
            Some((table, lsn)) => format!("{table} {lsn}"),
            None => format!("no {name}"),
        };
        expected.push(shown(a));
        received.push(shown(b));
    }
    let words = |list: &[String]| {
        let more = list.len().saturating_sub(LSNS_SHOWN_MAX);
        let mut text = list[..list.len() - more].join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    (!expected.is_empty()).then(|| {
        (
            format!("LSNs {}", words(&expected)),
            format!("LSNs {}", words(&received)),
        )
    })
}

#[cfg(test)]
mod tests;

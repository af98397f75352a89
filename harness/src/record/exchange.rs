//! One request on its way to the upstream, its answer on its way back, and what is kept of both.

use std::io::Read as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use flate2::read::GzDecoder;
use futures_util::Stream;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_protocol::names::{CONTENT_TYPE, Operation};
use mirrorlab_protocol::soap::{self, FaultCode};
use mirrorlab_simulator::capture::form::{Call, Message, Outcome, tenant_of};
use mirrorlab_simulator::capture::redact::Redaction;
use mirrorlab_simulator::endpoint::TransportError;
use mirrorlab_simulator::endpoint::https::explain;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::files::Files;
use super::{BODY_BYTES_KEPT_MAX, BODY_IDLE_TIMEOUT, Proxy};

/// How many parts of a request may wait for the upstream.
const PARTS_WAITING_MAX: usize = 8;

/// Headers that belong to a connection and not to a message (RFC 9110). `Expect` was answered here: the body is on its way.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

type Failed = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, Failed>;

/// What is kept of a body that passes.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    total: u64,
    ended: bool,
    broke: Option<String>,
}

impl Kept {
    fn add(&mut self, part: &[u8]) {
        self.total += part.len() as u64;
        let room = BODY_BYTES_KEPT_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn message(&mut self, start_line: String, headers: &HeaderMap) -> Message {
        let bytes = std::mem::take(&mut self.bytes);
        let is_cut = self.total > bytes.len() as u64 || !self.ended;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let is_gzip = headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
        Message {
            start_line,
            headers: headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                .collect(),
            body: match is_gzip && !is_cut {
                true => unpacked(bytes),
                false => bytes,
            },
            cut: is_cut.then_some(self.total),
            origin: None,
        }
    }
}

/// A body as a person reads it. What cannot be unpacked, or would be too long, stays packed.
fn unpacked(bytes: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    let limit = BODY_BYTES_KEPT_MAX as u64 + 1;
    match GzDecoder::new(bytes.as_slice()).take(limit).read_to_end(&mut out) {
        Ok(length) if (length as u64) < limit => out,
        _ => bytes,
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call whose answer is not there yet.
struct Pending {
    files: Arc<Files>,
    number: u64,
    time: i64,
    began: Instant,
    start_line: String,
    headers: HeaderMap,
    request: Arc<Mutex<Kept>>,
}

impl Pending {
    /// Unpacking, masking and writing take their time, and this is called where a connection is driven: the runtime gives
    /// the thread's other connections to another one for so long.
    fn keep(self, outcome: impl FnOnce() -> Outcome) {
        let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
        match flavor {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| self.write(outcome())),
            _ => self.write(outcome()),
        }
    }

    fn write(self, outcome: Outcome) {
        let mut request = lock(&self.request);
        let message = request.message(self.start_line, &self.headers);
        drop(request);
        let operation = self
            .headers
            .get("soapaction")
            .and_then(|value| value.to_str().ok())
            .and_then(Operation::from_action);
        self.files.keep(Call {
            number: self.number,
            time: self.time,
            tenant: tenant_of(&message.body),
            operation,
            redacted: Redaction::default(),
            took_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            request: message,
            outcome,
        });
    }
}

impl Proxy {
    /// Passes a request on, and its answer back.
    pub(super) async fn exchange(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let kept = Arc::new(Mutex::new(Kept::default()));
        // What a person looks at in a browser is passed on, and is no call.
        let pending = (parts.method == Method::POST).then(|| Pending {
            files: Arc::clone(&self.files),
            number: self.files.next_number(),
            time: SystemClock.now(),
            began: Instant::now(),
            start_line: format!("{} {} {:?}", parts.method, parts.uri, parts.version),
            headers: parts.headers.clone(),
            request: Arc::clone(&kept),
        });
        let mut url = self.url.clone();
        if let Some(query) = parts.uri.query() {
            url.set_query(Some(query));
        }
        let mut passing = self
            .client
            .request(parts.method.clone(), url)
            .headers(self.headers_on(&parts.headers, peer));
        let mut pump = None;
        if parts.method == Method::POST {
            let (sender, receiver) = mpsc::channel(PARTS_WAITING_MAX);
            pump = Some(tokio::spawn(take_in(body, Arc::clone(&kept), sender)));
            let stream = stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|part| (part, receiver))
            });
            passing = passing.body(reqwest::Body::wrap_stream(stream));
        }
        match passing.send().await {
            Ok(answer) => self.answer(answer, pending),
            Err(error) => {
                if let Some(pump) = pump {
                    // A caller who still sends would not hear the answer; and the record wants all of the request.
                    let _ = pump.await;
                }
                let broke = lock(&kept).broke.clone();
                let why = match broke {
                    Some(why) => format!("the caller broke off: {why}"),
                    None => explain(&error, &self.url, &self.upstream).to_string(),
                };
                if let Some(pending) = pending {
                    pending.keep(|| Outcome::NoAnswer(why.clone()));
                }
                bad_gateway(&why)
            }
        }
    }

    /// The headers that go on to the upstream.
    fn headers_on(&self, headers: &HeaderMap, peer: SocketAddr) -> HeaderMap {
        let mut on = end_to_end(headers);
        let forwarded = match on.get("x-forwarded-for").and_then(|value| value.to_str().ok()) {
            Some(before) => format!("{before}, {}", peer.ip()),
            None => peer.ip().to_string(),
        };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let host = on.remove(header::HOST);
        let mut add = |name: &'static str, value: Option<HeaderValue>| {
            if let Some(value) = value {
                on.insert(HeaderName::from_static(name), value);
            }
        };
        add("x-forwarded-for", HeaderValue::try_from(forwarded).ok());
        add("x-forwarded-proto", Some(HeaderValue::from_static(scheme)));
        add("x-forwarded-host", host);
        on
    }

    fn answer(&self, answer: reqwest::Response, pending: Option<Pending>) -> Response<Body> {
        let status = answer.status();
        let headers = answer.headers().clone();
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        let passing = Passing {
            inner: Box::pin(answer.bytes_stream()),
            kept: Kept::default(),
            status,
            headers: headers.clone(),
            length,
            pending,
            explain: {
                let (url, upstream) = (self.url.clone(), self.upstream.clone());
                Box::new(move |error| match explain(error, &url, &upstream) {
                    TransportError::Connect { why, .. } | TransportError::Broken { why, .. } => why,
                    other @ TransportError::TimedOut { .. } => other.to_string(),
                })
            },
        };
        let mut response = Response::new(StreamBody::new(passing).boxed_unsync());
        *response.status_mut() = status;
        *response.headers_mut() = end_to_end(&headers);
        response
    }
}

/// The headers that belong to the message.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        if !HOP_BY_HOP.contains(&name.as_str()) && !named.iter().any(|n| n == name.as_str()) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// Takes a request's body in to its end, even where nobody upstream listens any more.
async fn take_in(
    mut body: Incoming,
    kept: Arc<Mutex<Kept>>,
    on: mpsc::Sender<Result<Bytes, std::io::Error>>,
) {
    let why = loop {
        match timeout(BODY_IDLE_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(part) = frame.into_data() {
                    lock(&kept).add(&part);
                    // Where the upstream has gone, the rest is taken in all the same.
                    let _ = on.send(Ok(part)).await;
                }
            }
            Ok(None) => {
                lock(&kept).ended = true;
                return;
            }
            Ok(Some(Err(error))) => break error.to_string(),
            Err(_) => {
                break format!("no part of its body came for {} s", BODY_IDLE_TIMEOUT.as_secs());
            }
        }
    };
    lock(&kept).broke = Some(why.clone());
    let _ = on.send(Err(std::io::Error::other(why))).await;
}

/// What a SOAP client is told where there is no answer to pass on.
fn bad_gateway(why: &str) -> Response<Body> {
    let text = format!("mirrorlab record: there is no answer to pass on: {why}");
    let body = soap::write_fault(FaultCode::Server, &text);
    let mut response = Response::new(
        Full::new(Bytes::from(body))
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

/// An answer's body on its way. However it ends, the call is written down.
struct Passing {
    inner: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    kept: Kept,
    status: StatusCode,
    headers: HeaderMap,
    length: Option<u64>,
    pending: Option<Pending>,
    explain: Box<dyn Fn(&reqwest::Error) -> String + Send>,
}

impl Passing {
    fn end(&mut self, broke: Option<String>) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        pending.keep(|| match broke {
            Some(why) => Outcome::NoAnswer(why),
            None => {
                self.kept.ended = true;
                Outcome::Answered {
                    status: self.status.as_u16(),
                    answer: self
                        .kept
                        .message(format!("HTTP/1.1 {}", self.status), &self.headers),
                }
            }
        });
    }
}

impl Stream for Passing {
    type Item = Result<Frame<Bytes>, Failed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.inner.as_mut().poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.end(None);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(part))) => {
                self.kept.add(&part);
                // Nobody asks for more where the length says that there is none; and whoever has the answer may look
                // for its file at once.
                if self.length == Some(self.kept.total) {
                    self.end(None);
                }
                Poll::Ready(Some(Ok(Frame::data(part))))
            }
            Poll::Ready(Some(Err(error))) => {
                let why = format!(
                    "the answer (HTTP {}) broke off after {} bytes: {}",
                    self.status.as_u16(),
                    self.kept.total,
                    (self.explain)(&error)
                );
                self.end(Some(why.clone()));
                Poll::Ready(Some(Err(why.into())))
            }
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let is_whole = self.length == Some(self.kept.total) || self.status == StatusCode::NO_CONTENT;
        let why = format!(
            "the caller went away after {} bytes of the answer (HTTP {})",
            self.kept.total,
            self.status.as_u16()
        );
        self.end((!is_whole).then_some(why));
    }
}

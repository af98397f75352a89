//! One HTTP request: its body is taken in step by step, the token checked as soon as the SOAP header is whole.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Extension, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use mirrorlab_protocol::names::{Operation, SERVICE_FILE};
use mirrorlab_protocol::soap::{HEAD_BYTES_MAX, Head};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant as Deadline, timeout, timeout_at};
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

use super::{Connection, HttpSettings};
use crate::service::{Answer, Begun, CallHead, Service, not_read};
use crate::trust::Tenant;

/// The first looks at a growing header come with each part of the body, the later ones after so many bytes: a caller who
/// sends byte by byte must not make the server read the same header thousands of times.
const LOOKS_EAGER_MAX: usize = 8;
const LOOK_STEP_BYTES: usize = 4096;
/// Room for calls' bytes is counted in so many: a semaphore counts to four billion.
const ROOM_UNIT_BYTES: usize = 1024;

/// What every call needs.
struct Shared {
    service: Arc<Service>,
    http: Arc<HttpSettings>,
    turns: Arc<Semaphore>,
    /// What is left of [`HttpSettings::bytes_in_flight_max`], in units of [`ROOM_UNIT_BYTES`].
    room: Arc<Semaphore>,
    local: SocketAddr,
}

/// A call's place among those that are worked on, and the room that its bytes take.
struct Turn {
    _place: OwnedSemaphorePermit,
    room: OwnedSemaphorePermit,
}

/// The service behind gzip in both directions.
pub(super) fn router(
    service: Arc<Service>,
    http: Arc<HttpSettings>,
    turns: Arc<Semaphore>,
    local: SocketAddr,
) -> Router {
    let room = units(http.bytes_in_flight_max.max(http.body_bytes_max));
    let shared = Arc::new(Shared {
        service,
        http,
        turns,
        room: Arc::new(Semaphore::new(room as usize)),
        local,
    });
    let calls = Router::new().fallback(answer).with_state(Arc::clone(&shared));
    let ways = Ways {
        shared,
        packed: calls.clone().layer(RequestDecompressionLayer::new()),
        plain: calls,
    };
    Router::new()
        .fallback(unpack)
        .with_state(ways)
        .layer(CompressionLayer::new())
}

/// Where requests go to, packed or not. What is not packed does not go through the unpacking layer, which hides where a
/// body ends until one has read beyond it.
#[derive(Clone)]
struct Ways {
    shared: Arc<Shared>,
    packed: Router,
    plain: Router,
}

/// Sends a request the right way, and refuses in words what cannot be unpacked.
async fn unpack(
    State(ways): State<Ways>,
    Extension(connection): Extension<Connection>,
    request: Request,
) -> Result<Response, Infallible> {
    let encoding = text(request.headers(), &header::CONTENT_ENCODING)
        .unwrap_or("identity")
        .trim();
    if encoding.eq_ignore_ascii_case("identity") {
        return ways.plain.oneshot(request).await;
    }
    if encoding.eq_ignore_ascii_case("gzip") {
        return ways.packed.oneshot(request).await;
    }
    let why = format!(
        "The Content-Encoding `{}` is not accepted; expected gzip, or none.\n",
        mirrorlab_protocol::excerpt(encoding)
    );
    let log = LogLine::begin(&request);
    let intake = Intake::new(request.into_body());
    Ok(ways
        .shared
        .reply(not_read(415, why, None), &connection, &intake, &log))
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    request: Request,
) -> Response {
    let log = LogLine::begin(&request);
    let (parts, body) = request.into_parts();
    let mut intake = Intake::new(body);
    let answer = match shared.call(&parts, &connection, &mut intake).await {
        Ok(answer) | Err(answer) => answer,
    };
    shared.reply(answer, &connection, &intake, &log)
}

/// What the log line needs from the request.
struct LogLine {
    method: String,
    started: Instant,
}

impl LogLine {
    fn begin(request: &Request) -> LogLine {
        LogLine {
            method: mirrorlab_protocol::excerpt(request.method().as_str()),
            started: Instant::now(),
        }
    }
}

/// A body on its way in.
struct Intake {
    body: Body,
    /// The bytes of the call, held here and nowhere else.
    bytes: Vec<u8>,
    /// How many there were in all, also when they have been worked on.
    count: usize,
    complete: bool,
}

impl Intake {
    fn new(body: Body) -> Intake {
        Intake {
            complete: body.is_end_stream(),
            body,
            bytes: Vec::new(),
            count: 0,
        }
    }
}

impl Shared {
    /// Takes a call in and does it. An answer that comes before the body's end is an `Err`, for the sake of `?`.
    async fn call(
        &self,
        parts: &Parts,
        connection: &Connection,
        intake: &mut Intake,
    ) -> Result<Answer, Answer> {
        let last = parts.uri.path().rsplit('/').next().unwrap_or_default();
        if !last.eq_ignore_ascii_case(SERVICE_FILE) {
            let text = format!("No service here; its path is …/{SERVICE_FILE}\n");
            return Err(not_read(404, text, None));
        }
        let address = self.address(parts, connection);
        let begun = self.service.begin(&CallHead {
            method: parts.method.as_str(),
            address: &address,
            query: parts.uri.query(),
            content_type: text(&parts.headers, &header::CONTENT_TYPE),
            soap_action: text(&parts.headers, &HeaderName::from_static("soapaction")),
        });
        let operation = match begun {
            Begun::Answered(answer) => return Err(answer),
            Begun::Post(operation) => operation,
        };
        let announced = text(&parts.headers, &header::CONTENT_LENGTH).and_then(|l| l.parse::<usize>().ok());
        if announced.is_some_and(|length| length > self.http.body_bytes_max) {
            return Err(self.too_large(operation, None));
        }
        let deadline = Deadline::now() + self.http.body_timeout;
        let head = match self.take_head(operation, intake, deadline).await {
            Ok(head) => head,
            Err(answer) => {
                self.record(intake, &answer).await;
                return Err(answer);
            }
        };
        let tenant = self.admit(operation, head, intake).await?;
        // Only now does a call get one of the places, and its body memory.
        let length = match announced {
            Some(length) if !intake.complete => length,
            _ => 0,
        };
        let mut turn = self
            .turn(operation, &tenant, length.max(intake.bytes.len()))
            .await?;
        intake
            .bytes
            .reserve_exact(length.saturating_sub(intake.bytes.len()));
        while self
            .take_part(operation, Some((&tenant, &mut turn)), intake, deadline)
            .await?
        {}
        self.work(operation, tenant, intake, turn).await
    }

    /// Takes in a body until its SOAP header is whole.
    async fn take_head(
        &self,
        operation: Operation,
        intake: &mut Intake,
        deadline: Deadline,
    ) -> Result<Head, Answer> {
        let mut looks = 0;
        let mut looked_at = 0;
        loop {
            let more = self.take_part(operation, None, intake, deadline).await?;
            let length = intake.bytes.len();
            let due = looks < LOOKS_EAGER_MAX
                || length >= looked_at + LOOK_STEP_BYTES
                || length >= HEAD_BYTES_MAX
                || !more;
            if !due {
                continue;
            }
            looks += 1;
            looked_at = length;
            match self.service.head(operation, &intake.bytes, !more)? {
                Some(head) => return Ok(head),
                None if more => {}
                // The service never asks for more of a complete call.
                None => return Ok(Head::default()),
            }
        }
    }

    /// Takes in the next part of a body, and says whether there may be more.
    async fn take_part(
        &self,
        operation: Operation,
        trusted: Option<(&Tenant, &mut Turn)>,
        intake: &mut Intake,
        deadline: Deadline,
    ) -> Result<bool, Answer> {
        if intake.complete {
            return Ok(false);
        }
        let (tenant, turn) = trusted.unzip();
        let refused = |status: u16, text: String| about(not_read(status, text, None), operation, tenant);
        let idle = timeout(self.http.body_idle_timeout, intake.body.frame());
        let Ok(Ok(frame)) = timeout_at(deadline, idle).await else {
            return Err(refused(408, "The request's body did not come in time.\n".into()));
        };
        let data: Option<Bytes> = match frame {
            None => {
                intake.complete = true;
                return Ok(false);
            }
            Some(Ok(frame)) => frame.into_data().ok(),
            Some(Err(error)) => {
                tracing::debug!(%error, "a body broke off");
                let text =
                    "The request's body cannot be read: it is cut short, or not the gzip it says it is.\n";
                return Err(refused(400, text.into()));
            }
        };
        if let Some(data) = data {
            if intake.bytes.len() + data.len() > self.http.body_bytes_max {
                return Err(self.too_large(operation, tenant));
            }
            if let (Some(tenant), Some(turn)) = (tenant, turn) {
                self.make_room(operation, tenant, turn, intake, data.len())
                    .await?;
            }
            intake.bytes.extend_from_slice(&data);
            intake.count = intake.bytes.len();
        }
        intake.complete = intake.body.is_end_stream();
        Ok(!intake.complete)
    }

    fn too_large(&self, operation: Operation, tenant: Option<&Tenant>) -> Answer {
        let text = format!(
            "The request is larger than the {} bytes that are accepted here.\n",
            self.http.body_bytes_max
        );
        about(not_read(413, text, None), operation, tenant)
    }

    async fn admit(&self, operation: Operation, head: Head, intake: &mut Intake) -> Result<Tenant, Answer> {
        let service = Arc::clone(&self.service);
        let result = blocking(move || service.admit(operation, &head)).await;
        let answer = match result {
            Some(Ok(tenant)) => return Ok(tenant),
            Some(Err(answer)) => answer,
            None => stopped(operation),
        };
        self.record(intake, &answer).await;
        Err(answer)
    }

    /// Waits for a place, and for room for `length` bytes.
    async fn turn(&self, operation: Operation, tenant: &Tenant, length: usize) -> Result<Turn, Answer> {
        let until = Deadline::now() + self.http.turn_timeout;
        let Ok(Ok(place)) = timeout_at(until, Arc::clone(&self.turns).acquire_owned()).await else {
            let text = "Too many calls at a time; try again in a minute.\n".to_owned();
            return Err(about(not_read(503, text, None), operation, Some(tenant)));
        };
        Ok(Turn {
            _place: place,
            room: self.room(operation, tenant, units(length), until).await?,
        })
    }

    async fn room(
        &self,
        operation: Operation,
        tenant: &Tenant,
        units: u32,
        until: Deadline,
    ) -> Result<OwnedSemaphorePermit, Answer> {
        match timeout_at(until, Arc::clone(&self.room).acquire_many_owned(units)).await {
            Ok(Ok(room)) => Ok(room),
            _ => {
                let text = format!(
                    "The calls under way fill the {} bytes that are held at a time; try again in a minute.\n",
                    self.http.bytes_in_flight_max
                );
                Err(about(not_read(503, text, None), operation, Some(tenant)))
            }
        }
    }

    /// Lets a body of unknown length grow by `more` bytes: its memory is doubled, where there is room for that.
    async fn make_room(
        &self,
        operation: Operation,
        tenant: &Tenant,
        turn: &mut Turn,
        intake: &mut Intake,
        more: usize,
    ) -> Result<(), Answer> {
        let length = intake.bytes.len();
        if length + more <= intake.bytes.capacity() {
            return Ok(());
        }
        let wanted = (length + more).max((2 * length).min(self.http.body_bytes_max));
        let held = u32::try_from(turn.room.num_permits()).unwrap_or(u32::MAX);
        let missing = units(wanted).saturating_sub(held);
        if missing > 0 {
            let until = Deadline::now() + self.http.turn_timeout;
            turn.room
                .merge(self.room(operation, tenant, missing, until).await?);
        }
        intake.bytes.reserve_exact(wanted - length);
        Ok(())
    }

    async fn work(
        &self,
        operation: Operation,
        tenant: Tenant,
        intake: &mut Intake,
        turn: Turn,
    ) -> Result<Answer, Answer> {
        let service = Arc::clone(&self.service);
        let bytes = std::mem::take(&mut intake.bytes);
        blocking(move || {
            let answer = service.work(operation, &tenant, &bytes);
            service.record(&bytes, true, &answer);
            // The place is held while the work goes on, also where the caller has gone.
            drop(turn);
            answer
        })
        .await
        .ok_or_else(|| stopped(operation))
    }

    /// Shows the sink a call that is answered early.
    async fn record(&self, intake: &mut Intake, answer: &Answer) {
        let (service, answer, complete) = (Arc::clone(&self.service), answer.clone(), intake.complete);
        let bytes = std::mem::take(&mut intake.bytes);
        let _ = blocking(move || service.record(&bytes, complete, &answer)).await;
    }

    /// The URL that the caller knows the service by: what a proxy in front says of itself comes first.
    fn address(&self, parts: &Parts, connection: &Connection) -> String {
        let first = |name| {
            text(&parts.headers, &HeaderName::from_static(name))
                .and_then(|value| value.split(',').next())
                .map(str::trim)
                .filter(|value| !value.is_empty())
        };
        let scheme = match first("x-forwarded-proto") {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => "http",
            _ if connection.secure => "https",
            _ => "http",
        };
        let host = first("x-forwarded-host")
            .or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
            .or_else(|| text(&parts.headers, &header::HOST))
            .map_or_else(|| self.local.to_string(), str::to_owned);
        format!("{scheme}://{host}{}", parts.uri.path())
    }

    /// Logs a call and makes its answer. Where a part of its body was not taken in, the connection ends with it.
    fn reply(&self, answer: Answer, connection: &Connection, intake: &Intake, log: &LogLine) -> Response {
        tracing::info!(
            peer = %connection.peer,
            method = log.method,
            tenant = answer.about.context,
            operation = answer.about.operation.map(Operation::name),
            status = answer.status,
            bytes = intake.count,
            ms = u64::try_from(log.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            result = answer.about.result,
            "call"
        );
        let mut response = Body::from(answer.body).into_response();
        // Statuses come from the service, and all of them are ones.
        *response.status_mut() = axum::http::StatusCode::from_u16(answer.status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(answer.content_type),
        );
        match answer.status {
            405 => drop(headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"))),
            503 => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"))),
            _ => {}
        }
        if !intake.complete {
            connection.unread.store(true, Ordering::Relaxed);
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Bytes in units of room, rounded up.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(ROOM_UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Runs what may block, on a thread where it may. `None` where the server's runtime is shut down.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

fn stopped(operation: Operation) -> Answer {
    let text = "The server is being stopped.\n".to_owned();
    about(not_read(503, text, None), operation, None)
}

fn about(mut answer: Answer, operation: Operation, tenant: Option<&Tenant>) -> Answer {
    answer.about.operation = Some(operation);
    answer.about.context = tenant.map(|tenant| tenant.context.clone());
    answer
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

//! HTTP by our own hands: every byte of a request is the check's choice, and what comes back is kept as it came.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use mirrorlab_protocol::names::{CONTENT_TYPE, Operation};
use mirrorlab_simulator::endpoint::https::{self, HttpsError, Trust};
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};
use reqwest::Url;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// The longest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest head of an answer that is taken, in bytes.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A connection with its handshake.
    pub connect: Duration,
    /// The whole of a call.
    pub call: Duration,
}

/// Why no HTTP answer came.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The host has no address, or none that is answered.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No TLS.
    #[error("{0}")]
    Tls(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The connection ended before the answer was whole.
    #[error("the connection was closed before the answer was whole")]
    Closed,
    /// What came is not HTTP.
    #[error("what came is not HTTP: {0}")]
    NotHttp(String),
    /// Something else.
    #[error("the connection broke: {0}")]
    Io(io::Error),
}

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// `Content-Length`.
    #[default]
    Length,
    /// `Transfer-Encoding: chunked`, chunks of so many bytes.
    Chunked(usize),
    /// HTTP/1.0 with `Content-Length`: the connection ends with the answer.
    Http10,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Ask {
    /// `POST`, `GET`.
    pub method: &'static str,
    /// Behind the URL: `?wsdl`.
    pub query: &'static str,
    /// Headers, `Host` and the framing's apart.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the body waits for `100 Continue`, as .NET clients do, a second at most.
    pub expects_continue: bool,
    /// The body goes in pieces of so many bytes, with a pause after each.
    pub pace: Option<(usize, Duration)>,
}

impl Ask {
    /// A call as the real client makes it.
    pub fn call(operation: Operation, body: Vec<u8>) -> Ask {
        let header = |name: &str, value: String| (name.to_owned(), value);
        Ask {
            method: "POST",
            query: "",
            headers: vec![
                header("Content-Type", CONTENT_TYPE.to_owned()),
                header("SOAPAction", format!("\"{}\"", operation.action())),
                header("Accept-Encoding", "gzip, deflate".to_owned()),
            ],
            body,
            framing: Framing::Length,
            expects_continue: false,
            pace: None,
        }
    }

    /// A GET.
    pub fn get(query: &'static str) -> Ask {
        Ask {
            method: "GET",
            query,
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length,
            expects_continue: false,
            pace: None,
        }
    }

    /// Sets a header, or takes it away.
    #[must_use]
    pub fn header(mut self, name: &str, value: Option<&str>) -> Ask {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        if let Some(value) = value {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct HttpAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers as they came.
    pub headers: Vec<(String, String)>,
    /// The body, unpacked.
    pub body: Vec<u8>,
    /// Whether the connection can be used again.
    pub kept_alive: bool,
}

impl HttpAnswer {
    /// A header's value, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An open connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    socket: TcpStream,
    /// What was read beyond the last answer.
    rest: Vec<u8>,
}

/// An endpoint, and how it is reached.
#[derive(Clone)]
pub struct Wire {
    url: Url,
    tls: Option<Arc<ClientConfig>>,
    limits: Limits,
}

impl Wire {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`HttpsError`] where the URL is none, or the authorities cannot be read.
    pub fn new(url: &str, trust: &Trust, limits: Limits) -> Result<Wire, HttpsError> {
        let wrong = |why: &str| HttpsError::Url {
            url: mirrorlab_protocol::excerpt(url),
            why: why.to_owned(),
        };
        let parsed = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(parsed.scheme(), "https" | "http") || parsed.host_str().is_none() {
            return Err(wrong("it is neither https nor http"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(HttpsError::Url {
                url: "…@…".into(),
                why: "it holds a user name or a password, which the real client never sends".into(),
            });
        }
        let tls = match parsed.scheme() {
            "https" => Some(Arc::new(https::client_config(trust)?)),
            _ => None,
        };
        Ok(Wire {
            url: parsed,
            tls,
            limits,
        })
    }

    /// The endpoint's URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How long things may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The same endpoint with other limits.
    #[must_use]
    pub fn within(&self, limits: Limits) -> Wire {
        Wire {
            limits,
            ..self.clone()
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn connect(&self) -> Result<Connection, WireError> {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(443);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = (bare, port)
            .to_socket_addrs()
            .map_err(|_| WireError::Connect(format!("the host name {host} is not known")))?;
        let mut last = WireError::Connect(format!("the host name {host} has no address"));
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.limits.connect) {
                Ok(socket) => return self.secure(socket, bare),
                Err(error) => {
                    last = WireError::Connect(match error.kind() {
                        ErrorKind::ConnectionRefused => {
                            format!("connection refused; nothing listens on {address}")
                        }
                        ErrorKind::TimedOut => {
                            format!(
                                "{address} did not answer within {} s",
                                self.limits.connect.as_secs()
                            )
                        }
                        _ => error.to_string(),
                    });
                }
            }
        }
        Err(last)
    }

    fn secure(&self, socket: TcpStream, host: &str) -> Result<Connection, WireError> {
        socket.set_nodelay(true).map_err(WireError::Io)?;
        socket
            .set_read_timeout(Some(self.limits.connect))
            .map_err(WireError::Io)?;
        socket
            .set_write_timeout(Some(self.limits.call))
            .map_err(WireError::Io)?;
        let own = socket.try_clone().map_err(WireError::Io)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| WireError::Tls(format!("`{host}` is no host name for TLS")))?;
                let mut client = ClientConnection::new(Arc::clone(config), name)
                    .map_err(|error| WireError::Tls(https::explain_tls(&error)))?;
                let mut socket = socket;
                while client.is_handshaking() {
                    client
                        .complete_io(&mut socket)
                        .map_err(|error| tls_error(&error, self.limits.connect))?;
                }
                Box::new(StreamOwned::new(client, socket))
            }
        };
        Ok(Connection {
            stream,
            socket: own,
            rest: Vec::new(),
        })
    }

    /// Sends a request over a connection of its own.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn ask(&self, ask: &Ask) -> Result<HttpAnswer, WireError> {
        self.ask_over(&mut self.connect()?, ask)
    }

    /// Sends a request over an open connection.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn ask_over(&self, connection: &mut Connection, ask: &Ask) -> Result<HttpAnswer, WireError> {
        let deadline = Instant::now() + self.limits.call;
        let mut head = String::new();
        let version = if ask.framing == Framing::Http10 {
            "1.0"
        } else {
            "1.1"
        };
        let host = match self.url.port() {
            Some(port) => format!("{}:{port}", self.url.host_str().unwrap_or_default()),
            None => self.url.host_str().unwrap_or_default().to_owned(),
        };
        let _ = write!(
            head,
            "{} {}{} HTTP/{version}\r\nHost: {host}\r\n",
            ask.method,
            self.url.path(),
            ask.query
        );
        for (name, value) in &ask.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if ask.method == "POST" {
            match ask.framing {
                Framing::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
                Framing::Length | Framing::Http10 => {
                    let _ = write!(head, "Content-Length: {}\r\n", ask.body.len());
                }
            }
        }
        if ask.expects_continue {
            head.push_str("Expect: 100-continue\r\n");
        }
        head.push_str("\r\n");
        let mut reader = Reading {
            connection,
            deadline,
            limit: self.limits.call,
        };
        reader.write(head.as_bytes())?;
        if ask.expects_continue {
            reader.await_continue();
        }
        let body = match ask.framing {
            Framing::Chunked(size) => chunked(&ask.body, size.max(1)),
            _ => ask.body.clone(),
        };
        // An endpoint may answer, and close, before it has read all: what it said counts.
        let sent = match ask.pace {
            None => reader.write(&body),
            Some((size, pause)) => body.chunks(size.max(1)).try_for_each(|piece| {
                let written = reader.write(piece);
                std::thread::sleep(pause);
                written
            }),
        };
        match (reader.answer(ask.method), sent) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }
}

impl Endpoint for Wire {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let endpoint = || https::shown(self.url.as_str()).to_owned();
        match self.ask(&Ask::call(call.operation, call.body.clone())) {
            Ok(answer) => Ok(Reply {
                status: answer.status,
                content_type: answer.header("content-type").unwrap_or_default().to_owned(),
                body: answer.body,
            }),
            Err(WireError::TimedOut(limit)) => Err(TransportError::TimedOut {
                endpoint: endpoint(),
                limit,
            }),
            Err(error @ (WireError::Connect(_) | WireError::Tls(_))) => Err(TransportError::Connect {
                endpoint: endpoint(),
                why: error.to_string(),
            }),
            Err(error) => Err(TransportError::Broken {
                endpoint: endpoint(),
                why: error.to_string(),
            }),
        }
    }
}

fn tls_error(error: &io::Error, limit: Duration) -> WireError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(tls) => WireError::Tls(https::explain_tls(tls)),
        None if is_timeout(error) => WireError::Tls(format!(
            "the TLS handshake was not answered within {} s",
            limit.as_secs()
        )),
        None if error.kind() == ErrorKind::UnexpectedEof => {
            WireError::Tls("the connection was closed before TLS was set up".into())
        }
        None => WireError::Io(io::Error::new(error.kind(), error.to_string())),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / size * 8 + 16);
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

struct Reading<'c> {
    connection: &'c mut Connection,
    deadline: Instant,
    limit: Duration,
}

impl Reading<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let stream = &mut self.connection.stream;
        stream
            .write_all(bytes)
            .and_then(|()| stream.flush())
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> WireError {
        match error.kind() {
            _ if is_timeout(&error) => WireError::TimedOut(self.limit),
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => WireError::Closed,
            _ => WireError::Io(error),
        }
    }

    /// More bytes; `false` at the end.
    fn more(&mut self) -> Result<bool, WireError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(WireError::TimedOut(self.limit));
        }
        let mut buffer = [0; 16 * 1024];
        let _ = self.connection.socket.set_read_timeout(Some(left));
        match self.connection.stream.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.connection.rest.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            // Many servers close TLS without saying so.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Waits for `100 Continue` a second; .NET sends the body then all the same.
    fn await_continue(&mut self) {
        let full = self.deadline;
        self.deadline = Instant::now() + Duration::from_secs(1);
        while !self.connection.rest.windows(4).any(|w| w == b"\r\n\r\n") {
            if !matches!(self.more(), Ok(true)) {
                break;
            }
        }
        self.deadline = full;
    }

    fn head(&mut self) -> Result<String, WireError> {
        loop {
            let rest = &self.connection.rest;
            if let Some(at) = rest.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&rest[..at]).into_owned();
                self.connection.rest.drain(..at + 4);
                return Ok(head);
            }
            let looks_wrong = rest.len() >= 5 && !rest.starts_with(b"HTTP/");
            if looks_wrong || rest.len() > HEAD_BYTES_MAX {
                let start: String = String::from_utf8_lossy(&rest[..rest.len().min(40)]).into_owned();
                return Err(WireError::NotHttp(mirrorlab_protocol::excerpt(&start)));
            }
            if !self.more()? {
                return Err(WireError::Closed);
            }
        }
    }

    fn answer(&mut self, method: &str) -> Result<HttpAnswer, WireError> {
        let (status, version, headers) = loop {
            let head = self.head()?;
            let mut lines = head.split("\r\n");
            let first = lines.next().unwrap_or_default();
            let mut words = first.split_whitespace();
            let version = words.next().unwrap_or_default().to_owned();
            let status = words.next().and_then(|s| s.parse::<u16>().ok());
            let Some(status) = status else {
                return Err(WireError::NotHttp(mirrorlab_protocol::excerpt(first)));
            };
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .collect();
            if !(100..200).contains(&status) {
                break (status, version, headers);
            }
        };
        let mut answer = HttpAnswer {
            status,
            headers,
            body: Vec::new(),
            kept_alive: version == "HTTP/1.1",
        };
        let is = |header: Option<&str>, what: &str| {
            header.is_some_and(|value| value.to_ascii_lowercase().contains(what))
        };
        let length = answer
            .header("content-length")
            .and_then(|v| v.parse::<usize>().ok());
        if is(answer.header("connection"), "close") {
            answer.kept_alive = false;
        }
        answer.body = if method == "HEAD" || matches!(status, 204 | 304) {
            Vec::new()
        } else if is(answer.header("transfer-encoding"), "chunked") {
            self.chunks()?
        } else if let Some(length) = length {
            self.exactly(length)?
        } else {
            answer.kept_alive = false;
            while self.more()? {
                self.check_size(self.connection.rest.len())?;
            }
            std::mem::take(&mut self.connection.rest)
        };
        if is(answer.header("content-encoding"), "gzip") {
            let mut unpacked = Vec::new();
            GzDecoder::new(answer.body.as_slice())
                .take(ANSWER_BYTES_MAX as u64)
                .read_to_end(&mut unpacked)
                .map_err(|error| WireError::NotHttp(format!("its gzip cannot be unpacked: {error}")))?;
            answer.body = unpacked;
        }
        Ok(answer)
    }

    fn check_size(&self, size: usize) -> Result<(), WireError> {
        match size > ANSWER_BYTES_MAX {
            true => Err(WireError::NotHttp(format!(
                "the answer is longer than {ANSWER_BYTES_MAX} bytes"
            ))),
            false => Ok(()),
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        self.check_size(length)?;
        while self.connection.rest.len() < length {
            if !self.more()? {
                return Err(WireError::Closed);
            }
        }
        Ok(self.connection.rest.drain(..length).collect())
    }

    fn line(&mut self) -> Result<String, WireError> {
        loop {
            if let Some(at) = self.connection.rest.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.connection.rest.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.more()? {
                return Err(WireError::Closed);
            }
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, WireError> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| {
                WireError::NotHttp(format!(
                    "`{}` is no chunk's size",
                    mirrorlab_protocol::excerpt(&line)
                ))
            })?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            self.check_size(body.len() + size)?;
            body.extend(self.exactly(size)?);
            self.line()?;
        }
    }
}

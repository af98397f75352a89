//! Servers to check: the built-in one as it is, and the same one broken on purpose.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use mirrorlab::keyset::{self, KeySet};
use mirrorlab::run::admin::RunAdmin;
use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::names::SERVICE_FILE;
use mirrorlab_server::http::{self, HttpSettings, tls};
use mirrorlab_server::operations::{Mirroring, Options};
use mirrorlab_server::service::{Call, CallHead, Service};
use mirrorlab_server::store::sqlite::{SqliteOptions, SqliteStore};
use mirrorlab_server::trust::Trust;
use mirrorlab_server::trust::directory::CertificateDirectory;

pub const APPLICATION: &str = "conformance-app";

/// Keys and mirrors of one server.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mirrors")).unwrap();
        let keys = KeySet::generate(SystemClock.now(), &[]).unwrap();
        keys.write(&dir.path().join("keys")).unwrap();
        Home { dir }
    }

    pub fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    pub fn mirrors(&self) -> PathBuf {
        self.dir.path().join("mirrors")
    }

    pub fn service(&self) -> Service {
        let clock = Arc::new(SystemClock);
        let directory = CertificateDirectory::open(&self.keys().join(keyset::TRUST_DIRECTORY)).unwrap();
        let key = std::fs::read_to_string(self.keys().join(keyset::APPLICATION_KEY_XML)).unwrap();
        let mirroring = Mirroring {
            store: Arc::new(SqliteStore::new(SqliteOptions {
                durability: Durability::Fast,
                ..SqliteOptions::default()
            })),
            admin: Arc::new(RunAdmin::new(self.mirrors())),
            options: Options::default(),
        };
        let trust = Trust::new(APPLICATION, clock.clone()).with_directory(directory);
        Service::new(trust, mirroring, PrivateKey::from_text(&key).unwrap(), clock)
    }

    /// The built-in server, with TLS, on a runtime of its own; its URL.
    pub fn serve(&self) -> String {
        let read = |name: &str| std::fs::read(self.keys().join(name)).unwrap();
        let tls = tls::server_config(&read(keyset::TLS_CERTIFICATE), &read(keyset::TLS_KEY)).unwrap();
        let service = Arc::new(self.service());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let address = SocketAddr::from(([127, 0, 0, 1], 0));
                let listener = tokio::net::TcpListener::bind(address).await.unwrap();
                sender.send(listener.local_addr().unwrap().port()).unwrap();
                let settings = HttpSettings {
                    tls: Some(tls),
                    ..HttpSettings::default()
                };
                http::serve(listener, service, settings, std::future::pending())
                    .await
                    .unwrap();
            });
        });
        let port = receiver.recv().unwrap();
        format!("https://localhost:{port}/{SERVICE_FILE}")
    }
}

/// A request, taken apart.
pub struct Request {
    pub method: String,
    pub target: String,
    pub head: String,
    pub body: Vec<u8>,
    pub is_http10: bool,
    pub is_chunked: bool,
    pub expects_continue: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn is(&self, operation: &str) -> bool {
        self.header("SOAPAction")
            .is_some_and(|a| a.trim_matches('"').ends_with(&format!("/{operation}")))
    }
}

/// An answer, before it is sent.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub kind: String,
    pub body: Vec<u8>,
    /// Bytes sent in place of an HTTP answer.
    pub raw: Option<Vec<u8>>,
    pub more_headers: String,
}

impl Reply {
    pub fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            kind: kind.to_owned(),
            body: body.into(),
            raw: None,
            more_headers: String::new(),
        }
    }
}

/// What the service itself answers.
pub fn honest(service: &Service, request: &Request) -> Reply {
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target.as_str(), None),
    };
    let answer = service.handle(&Call {
        head: CallHead {
            method: &request.method,
            address: path,
            query,
            content_type: request.header("Content-Type"),
            soap_action: request.header("SOAPAction"),
        },
        body: &request.body,
    });
    Reply::new(answer.status, answer.content_type, answer.body)
}

/// Speaks plain HTTP for ever, and answers each request as `answer` does; the port.
pub fn speak(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || while one(&stream, answer.as_ref()).is_some() {});
        }
    });
    port
}

/// One request and its answer; `None` where the connection is over.
fn one(stream: &TcpStream, answer: &dyn Fn(&Request) -> Reply) -> Option<()> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut writing = stream;
    let mut more = |bytes: &mut Vec<u8>| -> Option<()> {
        let mut reading = stream;
        let count = reading.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        Some(())
    };
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        more(&mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut rest = bytes.split_off(end + 4);
    let first: Vec<String> = head.lines().next()?.split(' ').map(str::to_owned).collect();
    let mut request = Request {
        method: first.first()?.clone(),
        target: first.get(1)?.clone(),
        is_http10: first.get(2).is_some_and(|v| v == "HTTP/1.0"),
        is_chunked: false,
        expects_continue: false,
        head,
        body: Vec::new(),
    };
    request.expects_continue = request.header("Expect").is_some();
    request.is_chunked = request.header("Transfer-Encoding").is_some();
    if request.expects_continue {
        writing.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    if request.is_chunked {
        loop {
            let line = loop {
                if let Some(at) = rest.windows(2).position(|w| w == b"\r\n") {
                    break at;
                }
                more(&mut rest)?;
            };
            let size = usize::from_str_radix(String::from_utf8_lossy(&rest[..line]).trim(), 16).ok()?;
            while rest.len() < line + 2 + size + 2 {
                more(&mut rest)?;
            }
            request.body.extend_from_slice(&rest[line + 2..line + 2 + size]);
            rest.drain(..line + 2 + size + 2);
            if size == 0 {
                break;
            }
        }
    } else {
        let length = request
            .header("Content-Length")
            .and_then(|l| l.parse().ok())
            .unwrap_or(0);
        while rest.len() < length {
            more(&mut rest)?;
        }
        request.body = rest.drain(..length).collect();
    }
    let reply = answer(&request);
    if let Some(raw) = reply.raw {
        writing.write_all(&raw).ok()?;
        return None;
    }
    let kind = match reply.kind.is_empty() {
        true => String::new(),
        false => format!("Content-Type: {}\r\n", reply.kind),
    };
    let ends = request.is_http10
        || request
            .header("Connection")
            .is_some_and(|c| c.eq_ignore_ascii_case("close"));
    let close = if ends { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {} OK\r\n{kind}{close}{}Content-Length: {}\r\n\r\n",
        reply.status,
        reply.more_headers,
        reply.body.len()
    );
    writing.write_all(head.as_bytes()).ok()?;
    writing.write_all(&reply.body).ok()?;
    (!ends).then_some(())
}

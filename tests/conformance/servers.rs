//! Servers to check: the built-in one as it is, and the same one broken on purpose.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use mirrorlab::defects::messages::BrokenEndpoint;
use mirrorlab::defects::{Defect, Layers};
use mirrorlab::keyset;
use mirrorlab::run::admin::RunAdmin;
use mirrorlab::run::host::ServerOptions;
use mirrorlab::run::keys::{APPLICATION_ID, RunKeys};
use mirrorlab::scenario::model::CertificateStrategy;
use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::clock::{Clock, SystemClock};
use mirrorlab_protocol::names::SERVICE_FILE;
use mirrorlab_server::admin::MirrorAdmin;
use mirrorlab_server::http::{self, HttpSettings, tls};
use mirrorlab_server::operations::{Mirroring, Options};
use mirrorlab_server::service::{Call, CallHead, Service};
use mirrorlab_server::store::MirrorStore;
use mirrorlab_server::store::sqlite::{SqliteOptions, SqliteStore};
use mirrorlab_server::trust::Trust;
use mirrorlab_server::trust::directory::CertificateDirectory;

pub const APPLICATION: &str = "conformance-app";
/// The application of a server with a defect: its layers know that of scenarios.
pub const DEFECTIVE_APPLICATION: &str = APPLICATION_ID;

/// All servers of a test program have the same keys: making them takes longer than most tests.
static KEYS: LazyLock<RunKeys> = LazyLock::new(|| RunKeys::generate(SystemClock.now()).unwrap());

/// Keys and mirrors of one server.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mirrors")).unwrap();
        let set = KEYS.set.as_ref().unwrap();
        set.write(&dir.path().join("keys")).unwrap();
        Home { dir }
    }

    pub fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    pub fn mirrors(&self) -> PathBuf {
        self.dir.path().join("mirrors")
    }

    /// The built-in server's service.
    pub fn service(&self) -> Service {
        self.layered(None)
    }

    /// The same with a defect, as one of `mirrorlab defects`; plain HTTP. The port.
    pub fn defective(&self, defect: &'static Defect) -> u16 {
        let layers = Layers::new(defect);
        let service = self.layered(Some(&layers));
        // What a defect's layers know together is of one call at a time.
        let broken = Mutex::new(layers.broken(service, KEYS.clone(), Arc::new(SystemClock)));
        speak(move |request| {
            let broken: &BrokenEndpoint = &broken.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = broken.handle(&call_head(request), &request.body);
            Reply::new(answer.status, answer.content_type, answer.body)
        })
    }

    fn layered(&self, layers: Option<&Layers>) -> Service {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let directory = CertificateDirectory::open(&self.keys().join(keyset::TRUST_DIRECTORY)).unwrap();
        let mut options = ServerOptions {
            drop_guard: false,
            refuse_replays: false,
            certificates: CertificateStrategy::Directory,
            clock_skew: 0,
        };
        let mut store: Arc<dyn MirrorStore> = Arc::new(SqliteStore::new(SqliteOptions {
            durability: Durability::Fast,
            ..SqliteOptions::default()
        }));
        let mut admin: Arc<dyn MirrorAdmin> = Arc::new(RunAdmin::new(self.mirrors()));
        if let Some(layers) = layers {
            options = layers.options(options);
            store = layers.store(store);
            admin = layers.admin(admin);
        }
        let mirroring = Mirroring {
            store,
            admin,
            options: Options {
                drop_guard: options.drop_guard,
            },
        };
        let application = match layers {
            Some(_) => DEFECTIVE_APPLICATION,
            None => APPLICATION,
        };
        let mut trust = Trust::new(application, Arc::clone(&clock)).with_directory(directory);
        if options.refuse_replays {
            trust = trust.refusing_replays();
        }
        Service::new(trust, mirroring, KEYS.signer.clone().unwrap(), clock)
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
    /// Bytes sent behind the answer.
    pub more: Vec<u8>,
    /// Whether the connection ends, though the answer does not say so.
    pub ends: bool,
}

impl Reply {
    pub fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            kind: kind.to_owned(),
            body: body.into(),
            raw: None,
            more_headers: String::new(),
            more: Vec::new(),
            ends: false,
        }
    }
}

fn call_head(request: &Request) -> CallHead<'_> {
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target.as_str(), None),
    };
    CallHead {
        method: &request.method,
        address: path,
        query,
        content_type: request.header("Content-Type"),
        soap_action: request.header("SOAPAction"),
    }
}

/// What the service itself answers.
pub fn honest(service: &Service, request: &Request) -> Reply {
    let answer = service.handle(&Call {
        head: call_head(request),
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
            let _ = stream.set_nodelay(true);
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
    // In one piece: two would wait for each other's acknowledgement.
    let whole = [head.as_bytes(), &reply.body, &reply.more].concat();
    writing.write_all(&whole).ok()?;
    (!ends && !reply.ends).then_some(())
}

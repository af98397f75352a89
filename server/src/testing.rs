//! What the tests of trust, service and HTTP share: SuperOffice's side in miniature.

use std::sync::{Arc, LazyLock, Mutex};

use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::clock::ManualClock;
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::message::{self, Request, Response, TableSchemaInfo};
use mirrorlab_protocol::names::{CONTENT_TYPE, Operation};
use mirrorlab_protocol::soap;
use mirrorlab_protocol::token::{self, Claims};
use serde_json::Value as Json;

use crate::hooks::{HookAdmin, Hooks, NameTemplate};
use crate::operations::{Mirroring, Options};
use crate::service::{Answer, Call, CallHead, MessageRecord, MessageSink, Service};
use crate::store::sqlite::SqliteStore;
use crate::trust::Trust;
use crate::trust::resolver::{CertificateResolver, KeyId, ResolveError, ResolverLimits};

/// The time of every test, and its application.
pub(crate) const NOW: i64 = 1_600_000_000;
pub(crate) const APPLICATION: &str = "0123abcd";
pub(crate) const NONCE: &str = "00112233445566778899AABBCCDDEEFF";
pub(crate) const ADDRESS: &str = "https://mirror.example/a/MirroringClientService.svc";

/// One who signs tokens: a key and its certificate.
pub(crate) struct Authority {
    pub key: PrivateKey,
    pub certificate: Certificate,
}

impl Authority {
    pub fn new() -> Authority {
        let key = PrivateKey::generate(2048).unwrap();
        let pair = rcgen::KeyPair::from_pem(&key.to_pem().unwrap()).unwrap();
        let certificate = rcgen::CertificateParams::new(vec![])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        Authority {
            key,
            certificate: Certificate::from_der(certificate.der().to_vec()).unwrap(),
        }
    }

    pub fn pem(&self) -> String {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(self.certificate.der());
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    }

    pub fn key_id(&self) -> KeyId {
        KeyId {
            kid: Some(self.certificate.thumbprint_hex()),
            x5t: Some(self.certificate.thumbprint_base64url()),
        }
    }

    pub fn header(&self) -> Json {
        token::header_json(
            &self.certificate.thumbprint_hex(),
            &self.certificate.thumbprint_base64url(),
        )
    }

    /// A token that is right.
    pub fn token(&self, context: &str) -> String {
        self.token_with(|_, claims| {
            claims["sub"] = context.into();
            claims[token::CONTEXT_CLAIM] = context.into();
        })
    }

    /// A token of `Cust1` in which `change` has made something wrong.
    pub fn token_with(&self, change: impl FnOnce(&mut Json, &mut Json)) -> String {
        let mut header = self.header();
        let mut claims = Claims::fresh("Cust1", APPLICATION, NONCE.to_owned(), NOW).to_json();
        change(&mut header, &mut claims);
        token::sign(&header, &claims, &self.key)
    }
}

/// SuperOffice.
pub(crate) static SUPEROFFICE: LazyLock<Authority> = LazyLock::new(Authority::new);
/// Somebody else.
pub(crate) static STRANGER: LazyLock<Authority> = LazyLock::new(Authority::new);
/// The application's key, as small as the one seen in the field.
pub(crate) static APPLICATION_KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(1024).unwrap());

/// Knows SuperOffice's certificate, without files.
struct KnowsSuperOffice;

impl CertificateResolver for KnowsSuperOffice {
    fn resolve(&self, key: &KeyId) -> Result<Option<Certificate>, ResolveError> {
        let known = &SUPEROFFICE.certificate;
        Ok(key.names(known).then(|| known.clone()))
    }
}

pub(crate) fn trust(clock: &Arc<ManualClock>) -> Trust {
    let clock = Arc::clone(clock);
    Trust::new(APPLICATION, clock).with_resolver(Box::new(KnowsSuperOffice), ResolverLimits::default())
}

/// A service with SQLite mirrors in a directory of its own.
pub(crate) struct Bench {
    pub service: Service,
    pub clock: Arc<ManualClock>,
    pub directory: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with_hooks(Hooks::default())
    }

    pub fn with_hooks(hooks: Hooks) -> Bench {
        let clock = Arc::new(ManualClock::new(NOW));
        let directory = tempfile::tempdir().unwrap();
        let mirroring = Mirroring {
            store: Arc::new(SqliteStore::default()),
            admin: Arc::new(HookAdmin::new(directory.path(), NameTemplate::default(), hooks)),
            options: Options::default(),
        };
        Bench {
            service: Service::new(trust(&clock), mirroring, APPLICATION_KEY.clone(), clock.clone()),
            clock,
            directory,
        }
    }

    /// A right call of Cust1.
    pub fn call(&self, request: &Request<'_>) -> Response {
        let operation = request.operation();
        let answer = self.post(operation, &envelope(request));
        let text = String::from_utf8(answer.body).unwrap();
        message::read_response(&text, operation).unwrap().unwrap()
    }

    /// A POST with the headers that it should have.
    pub fn post(&self, operation: Operation, body: &[u8]) -> Answer {
        self.service.handle(&Call {
            head: head(&operation.action()),
            body,
        })
    }
}

/// The head of a right call.
pub(crate) fn head(action: &str) -> CallHead<'_> {
    CallHead {
        method: "POST",
        address: ADDRESS,
        query: None,
        content_type: Some(CONTENT_TYPE),
        soap_action: Some(action),
    }
}

/// A whole call with a right token of Cust1.
pub(crate) fn envelope(request: &Request<'_>) -> Vec<u8> {
    soap::envelope(
        Some(&SUPEROFFICE.token("Cust1")),
        &message::write_request(request),
    )
}

pub(crate) fn authenticate() -> Request<'static> {
    Request::Authenticate { client_state: None }
}

pub(crate) fn table_schema(tables: &[&'static str]) -> Request<'static> {
    Request::TableSchema {
        client_state: Some("state".into()),
        tables: tables.iter().map(|name| table_info(name)).collect(),
    }
}

fn table_info(name: &'static str) -> TableSchemaInfo<'static> {
    let column = |name: &'static str, ty: &'static str, nullable| message::ColumnInfo {
        name: Some(name.into()),
        ty: Some(ty.into()),
        nullable: Some(nullable),
        default: Some("".into()),
    };
    TableSchemaInfo {
        name: Some(name.into()),
        columns: vec![column("id", "int", false), column("name", "nvarchar(max)", true)],
    }
}

/// A RowData call whose one row has a text of `length` characters.
pub(crate) fn row_data(length: usize) -> Request<'static> {
    let mut rows = message::Rows::default();
    rows.push(
        message::RowOperation::Insert,
        vec![Some("[I:1]".into()), Some("x".repeat(length).into())],
    );
    Request::RowData {
        client_state: None,
        batches: vec![message::RowDataBatch {
            rows,
            lsn: Some(7),
            table: Some(table_info("contact")),
        }],
    }
}

/// Keeps what it is shown.
#[derive(Default)]
pub(crate) struct Kept(pub Mutex<Vec<String>>);

impl MessageSink for Kept {
    fn message(&self, record: &MessageRecord<'_>) {
        let line = format!(
            "{:?} {:?} {} {} bytes{}, answer {} bytes",
            record.operation,
            record.context,
            record.status,
            record.request.len(),
            if record.complete { "" } else { " and more" },
            record.answer.len()
        );
        self.0.lock().unwrap().push(line);
    }
}

/// A web server of canned answers on loopback: for each path a status, more headers, a body. A path that is not listed gets
/// no answer at all while the server lives.
pub(crate) struct Canned {
    pub url: String,
    /// `GET /path`, and the body where there was one, in the order they came.
    pub asked: Arc<Mutex<Vec<String>>>,
}

/// Path, status, more header lines, body.
pub(crate) type Page = (&'static str, u16, &'static str, Vec<u8>);

impl Canned {
    pub fn new(pages: impl FnOnce(&str) -> Vec<Page>) -> Canned {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages = pages(&url);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (line, body) = read_request(&mut stream);
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                let method = line.split(' ').next().unwrap_or_default();
                log.lock()
                    .unwrap()
                    .push(format!("{method} {path} {body}").trim_end().to_owned());
                match pages.iter().find(|page| page.0 == path) {
                    None => unanswered.push(stream),
                    Some((_, status, headers, body)) => {
                        use std::io::Write as _;
                        let head = format!(
                            "HTTP/1.1 {status} x\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        let _ = stream.write_all(head.as_bytes());
                        let _ = stream.write_all(body);
                    }
                }
            }
        });
        Canned { url, asked }
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn read_request(stream: &mut std::net::TcpStream) -> (String, String) {
    use std::io::{BufRead as _, Read as _};
    let mut reader = std::io::BufReader::new(stream);
    let mut first = String::new();
    let _ = reader.read_line(&mut first);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    (first, String::from_utf8(body).unwrap())
}

/// What is logged while `work` runs on this thread: a line an event, with level and fields.
pub(crate) fn logged(work: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    tracing::subscriber::with_default(Lines(Arc::clone(&lines)), work);
    std::mem::take(&mut *lines.lock().unwrap())
}

struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("mirrorlab")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        use std::fmt::Write as _;
        let mut line = event.metadata().level().to_string();
        event.record(
            &mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                let _ = write!(line, " {field}={value:?}");
            },
        );
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use mirrorlab_protocol::clock::ManualClock;
use mirrorlab_protocol::message::{Request, write_request};
use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::soap;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;
use crate::admin::{AdminError, AuthenticateAnswer, MirrorAdmin};
use crate::events::Event;
use crate::operations::{Mirroring, Options};
use crate::store::MirrorPlace;
use crate::store::sqlite::SqliteStore;
use crate::testing::{
    APPLICATION_KEY, Bench, Kept, NOW, SUPEROFFICE, authenticate, envelope, row_data, table_schema, trust,
};

const PATH: &str = "/any/prefix/MirroringClientService.svc";

/// A server on loopback.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<io::Result<()>>,
}

impl Running {
    async fn start(service: Service, http: HttpSettings) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(serve(listener, Arc::new(service), http, async {
            let _ = stopped.await;
        }));
        Running {
            address,
            stop: Some(stop),
            done,
        }
    }

    async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    async fn stopped(mut self) {
        if self.stop.is_some() {
            self.stop();
        }
        self.done.await.unwrap().unwrap();
    }
}

/// A client that sends what it is told, byte for byte.
struct Client<S> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
    rest: Vec<u8>,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line.eq_ignore_ascii_case(header))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite> Client<S> {
    fn new(stream: S) -> Client<S> {
        let (read, write) = split(stream);
        Client {
            read,
            write,
            rest: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write.write_all(bytes.as_ref()).await.unwrap();
        self.write.flush().await.unwrap();
    }

    /// Reads one answer: its head, and the body that it announces, or all there is.
    async fn reply(&mut self) -> Reply {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            let read = self.read.read_buf(&mut self.rest).await.unwrap();
            assert_ne!(read, 0, "cut off after {:?}", String::from_utf8_lossy(&self.rest));
        };
        let head = String::from_utf8(self.rest[..end].to_vec()).unwrap();
        self.rest.drain(..end + 4);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .filter_map(|l| l.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.parse::<usize>().unwrap());
        let body = match length {
            _ if status == 100 => Vec::new(),
            Some(length) => {
                while self.rest.len() < length {
                    assert_ne!(self.read.read_buf(&mut self.rest).await.unwrap(), 0);
                }
                self.rest.drain(..length).collect()
            }
            None => {
                self.read.read_to_end(&mut self.rest).await.unwrap();
                std::mem::take(&mut self.rest)
            }
        };
        Reply { status, head, body }
    }

    /// Whether the server closes, once this side has nothing more to say.
    async fn closed(mut self) -> bool {
        let _ = self.write.shutdown().await;
        let mut rest = std::mem::take(&mut self.rest);
        self.read.read_to_end(&mut rest).await.is_ok() && rest.is_empty()
    }
}

fn post_head(operation: Operation, more: &str) -> String {
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: mirror.example\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: \"{}\"\r\n{more}\r\n",
        operation.action()
    )
}

fn post(operation: Operation, body: &[u8]) -> Vec<u8> {
    post_with(operation, "", body)
}

fn post_with(operation: Operation, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n{headers}", body.len());
    [post_head(operation, &length).as_bytes(), body].concat()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        write!(out, "{:x}\r\n", chunk.len()).unwrap();
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    decoder.write_all(bytes).unwrap();
    decoder.finish().unwrap()
}

fn successful(reply: &Reply) {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(
        reply.text().contains("<IsSuccessful>true</IsSuccessful>"),
        "{reply:?}"
    );
}

/// A token that nobody signed.
fn untrusted(request: &Request<'_>) -> Vec<u8> {
    soap::envelope(Some("nonsense"), &write_request(request))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_share_a_connection() {
    let bench = Bench::new();
    let server = Running::start(bench.service, HttpSettings::default()).await;
    let mut client = server.connect().await;
    client
        .send(post(Operation::Authenticate, &envelope(&authenticate())))
        .await;
    let reply = client.reply().await;
    successful(&reply);
    assert!(reply.has("content-type: text/xml; charset=utf-8"));
    client
        .send(post(
            Operation::TableSchema,
            &envelope(&table_schema(&["contact"])),
        ))
        .await;
    successful(&client.reply().await);
    // Refused, but taken in as a whole: the connection stays.
    client
        .send(post(Operation::Authenticate, &untrusted(&authenticate())))
        .await;
    let refused = client.reply().await;
    assert_eq!(refused.status, 200);
    assert!(refused.text().contains("<IsSuccessful>false</IsSuccessful>"));
    client
        .send(format!("GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    assert!(client.reply().await.has("content-type: text/html; charset=utf-8"));
    client
        .send(format!("HEAD {PATH}?wsdl HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        client.read.read_buf(&mut head).await.unwrap();
    }
    assert!(head.starts_with(b"HTTP/1.1 200"));
    client
        .send(format!("PUT {PATH} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    let reply = client.reply().await;
    assert!(reply.status == 405 && reply.has("allow: GET, HEAD, POST"));
    assert!(client.closed().await);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_service_files_path_is_served() {
    let server = Running::start(Bench::new().service, HttpSettings::default()).await;
    for (path, status) in [
        ("/MirroringClientService.svc", 200),
        ("/a/b/mirroringclientservice.SVC?wsdl", 200),
        ("/", 404),
        ("/xMirroringClientService.svc", 404),
        ("/MirroringClientService.svc/", 404),
        ("/MirroringClientService.svc/x", 404),
    ] {
        let mut client = server.connect().await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let reply = client.reply().await;
        assert_eq!(reply.status, status, "{path}");
        if status == 404 {
            assert_eq!(
                reply.text(),
                "No service here; its path is …/MirroringClientService.svc\n"
            );
        }
    }
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_names_the_address_that_was_asked() {
    let server = Running::start(Bench::new().service, HttpSettings::default()).await;
    for (headers, address) in [
        ("Host: a.example:8080\r\n", "http://a.example:8080"),
        (
            "Host: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: mirror.example, inner\r\n",
            "https://mirror.example",
        ),
        ("Host: a\r\nX-Forwarded-Proto: javascript\r\n", "http://a"),
    ] {
        let mut client = server.connect().await;
        client
            .send(format!("GET {PATH}?singleWsdl HTTP/1.1\r\n{headers}\r\n"))
            .await;
        let reply = client.reply().await;
        let location = format!("<soap:address location=\"{address}{PATH}\"/>");
        assert!(reply.text().contains(&location), "{}", reply.text());
    }
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_a_silent_caller_holds_nobody_up() {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let tls = tls::server_config(
        made.cert.pem().as_bytes(),
        made.signing_key.serialize_pem().as_bytes(),
    );
    let http = HttpSettings {
        tls: Some(tls.unwrap()),
        ..HttpSettings::default()
    };
    let server = Running::start(Bench::new().service, http).await;
    let _silent = server.connect().await;
    let mut garbage = server.connect().await;
    garbage.send("GET / HTTP/1.1\r\n\r\n").await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    let mut client = Client::new(stream);
    client
        .send(post(Operation::Authenticate, &envelope(&authenticate())))
        .await;
    successful(&client.reply().await);
    client
        .send(format!("GET {PATH}?wsdl HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .await;
    let reply = client.reply().await;
    assert!(reply.text().contains("location=\"https://localhost/any/prefix/"));
    // A proxy in front knows better, where what it says is a scheme.
    for (said, scheme) in [("http", "http"), ("HTTPS", "https"), ("javascript", "https")] {
        client
            .send(format!(
                "GET {PATH}?wsdl HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: {said}\r\n\r\n"
            ))
            .await;
        let location = format!("location=\"{scheme}://localhost/any/prefix/");
        assert!(client.reply().await.text().contains(&location), "{said}");
    }
    // Also with the silent one still there.
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_goes_both_ways() {
    let server = Running::start(Bench::new().service, HttpSettings::default()).await;
    let mut client = server.connect().await;
    let body = gzip(&envelope(&authenticate()));
    let headers = "Content-Encoding: gzip\r\nAccept-Encoding: gzip, deflate\r\nConnection: close\r\n";
    client
        .send(post_with(Operation::Authenticate, headers, &body))
        .await;
    let reply = client.reply().await;
    assert!(reply.has("content-encoding: gzip"), "{}", reply.head);
    // Of unknown length, so in chunks; the client asked for a close, and has it all.
    assert!(reply.has("transfer-encoding: chunked"));
    let body = unchunk(&reply.body);
    let text = String::from_utf8(gunzip(&body)).unwrap();
    assert!(text.contains("<IsSuccessful>true</IsSuccessful>"), "{text}");

    for (encoding, status) in [("identity", 200), ("br", 415), ("gzip, gzip", 415)] {
        let mut client = server.connect().await;
        let headers = format!("Content-Encoding: {encoding}\r\n");
        client
            .send(post_with(
                Operation::Authenticate,
                &headers,
                &envelope(&authenticate()),
            ))
            .await;
        let reply = client.reply().await;
        assert_eq!(reply.status, status, "{encoding}: {}", reply.text());
    }
    // What is no gzip.
    let mut client = server.connect().await;
    client
        .send(post_with(
            Operation::Authenticate,
            "Content-Encoding: gzip\r\n",
            b"no gzip at all",
        ))
        .await;
    assert_eq!(client.reply().await.status, 400);
    server.stopped().await;
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return out;
        }
        out.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_is_refused_in_words_however_it_comes() {
    let bench = Bench::new();
    bench.call(&table_schema(&["contact"]));
    let limit = 100_000;
    let http = HttpSettings {
        body_bytes_max: limit,
        ..HttpSettings::default()
    };
    let server = Running::start(bench.service, http).await;
    let large = envelope(&row_data(limit));
    let text = "The request is larger than the 100000 bytes that are accepted here.\n";
    // Said before any of it is sent.
    let mut client = server.connect().await;
    client
        .send(post_head(Operation::RowData, "Content-Length: 100001\r\n"))
        .await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.text()), (413, text));
    assert!(reply.has("connection: close") && client.closed().await);
    // In chunks.
    let mut client = server.connect().await;
    client
        .send(post_head(Operation::RowData, "Transfer-Encoding: chunked\r\n"))
        .await;
    client.send(chunked(&large, 1000)).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.text()), (413, text));
    // Small on the wire, large when unpacked.
    let packed = gzip(&large);
    assert!(packed.len() < limit / 10);
    let mut client = server.connect().await;
    client
        .send(post_with(
            Operation::RowData,
            "Content-Encoding: gzip\r\n",
            &packed,
        ))
        .await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.text()), (413, text));
    // Just small enough.
    let spare = limit + 1 - envelope(&row_data(1)).len();
    let mut client = server.connect().await;
    let full = envelope(&row_data(spare));
    assert_eq!(full.len(), limit);
    client.send(post(Operation::RowData, &full)).await;
    successful(&client.reply().await);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_come_in_small_pieces() {
    let bench = Bench::new();
    bench.call(&table_schema(&["contact"]));
    let server = Running::start(bench.service, HttpSettings::default()).await;
    for size in [1, 7, 1024] {
        let mut client = server.connect().await;
        client
            .send(post_head(Operation::RowData, "Transfer-Encoding: chunked\r\n"))
            .await;
        client.send(chunked(&envelope(&row_data(9000)), size)).await;
        successful(&client.reply().await);
    }
    // First no more than the header, and then more than that at once.
    let body = envelope(&row_data(9000));
    let header = body.windows(5).position(|part| part == b"Body>").unwrap() + 5;
    let mut client = server.connect().await;
    client
        .send(post_head(Operation::RowData, "Transfer-Encoding: chunked\r\n"))
        .await;
    client.send(format!("{header:x}\r\n")).await;
    client.send(&body[..header]).await;
    client.send("\r\n").await;
    client.send(chunked(&body[header..], body.len())).await;
    successful(&client.reply().await);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_answered_before_his_body_has_come() {
    let kept = Arc::new(Kept::default());
    let service = Bench::new().service.with_sink(kept.clone());
    let server = Running::start(service, HttpSettings::default()).await;
    let body = untrusted(&row_data(5_000));
    // Ten megabytes are announced, and five kilobytes sent: the answer is there, and then the end.
    let mut client = server.connect().await;
    client
        .send(post_head(Operation::RowData, "Content-Length: 10000000\r\n"))
        .await;
    client.send(&body[..5_000]).await;
    let reply = client.reply().await;
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("The call is refused"));
    assert!(reply.has("connection: close"));
    assert!(client.closed().await);
    assert_eq!(kept.0.lock().unwrap().len(), 1);
    let line = kept.0.lock().unwrap()[0].clone();
    assert!(
        line.starts_with("Some(RowData) None 200 ") && line.contains(" bytes and more,"),
        "{line}"
    );
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_sends_it_all_still_reads_the_answer() {
    let server = Running::start(Bench::new().service, HttpSettings::default()).await;
    let call = post(Operation::RowData, &untrusted(&row_data(2_000_000)));
    let mut client = server.connect().await;
    client.send(&call[..100_000]).await;
    let reply = client.reply().await;
    assert!(reply.text().contains("The call is refused"));
    // Simple clients look for no answer before they have sent everything: a connection reset now would hide it.
    for part in call[100_000..].chunks(50_000) {
        client.send(part).await;
    }
    assert!(client.closed().await);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_and_a_client_that_has_said_all() {
    let server = Running::start(Bench::new().service, HttpSettings::default()).await;
    let mut client = server.connect().await;
    let call = post_with(
        Operation::Authenticate,
        "Accept-Encoding: gzip\r\n",
        &envelope(&authenticate()),
    );
    let call = String::from_utf8(call)
        .unwrap()
        .replacen("HTTP/1.1", "HTTP/1.0", 1);
    client.send(call).await;
    // Closes its half, as simple clients do.
    client.write.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.0 200 OK\r\n"));
    let head = String::from_utf8_lossy(&answer);
    assert!(!head.contains("chunked"), "HTTP/1.0 knows no chunks");
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let text = String::from_utf8(gunzip(&answer[at..])).unwrap();
    assert!(text.contains("<IsSuccessful>true</IsSuccessful>"));
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_told_to_go_on_or_not() {
    let server = Running::start(Bench::new().service, HttpSettings::default()).await;
    let body = envelope(&authenticate());
    let headers = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len());
    let mut client = server.connect().await;
    client.send(post_head(Operation::Authenticate, &headers)).await;
    assert_eq!(client.reply().await.status, 100);
    client.send(&body).await;
    successful(&client.reply().await);
    let mut client = server.connect().await;
    let wrong = post_head(Operation::Authenticate, &headers).replace("text/xml", "text/html");
    client.send(wrong).await;
    assert_eq!(client.reply().await.status, 415);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_nothing_is_not_waited_for() {
    let http = HttpSettings {
        header_timeout: Duration::from_millis(50),
        body_idle_timeout: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    let server = Running::start(Bench::new().service, http).await;
    let mut client = server.connect().await;
    client.send("POST /x HTTP/1.1\r\nHost:").await;
    let mut rest = Vec::new();
    let _ = client.read.read_to_end(&mut rest).await;
    // In the header of a call,
    for body in [
        &untrusted(&authenticate())[..100],
        &envelope(&authenticate())[..1000],
    ] {
        let mut client = server.connect().await;
        client
            .send(post_head(Operation::Authenticate, "Content-Length: 10000\r\n"))
            .await;
        client.send(body).await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 408);
        assert_eq!(reply.text(), "The request's body did not come in time.\n");
    }
    server.stopped().await;
}

/// A partner whose Authenticate says that it has begun, and waits.
struct Slow {
    entered: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
}

impl MirrorAdmin for Slow {
    fn resolve_connection(&self, _: &str, _: Option<&str>) -> Result<MirrorPlace, AdminError> {
        Err(AdminError::new("not asked"))
    }

    fn on_authenticate(&self, _: &str, _: Option<&str>) -> Result<AuthenticateAnswer, AdminError> {
        self.entered.lock().unwrap().send(()).unwrap();
        let _ = self.release.lock().unwrap().recv();
        Ok(AuthenticateAnswer::default())
    }

    fn log_event(&self, _: &Event) {}
}

/// A service that is slow, what it tells when a call has begun, and what lets the call go on.
fn slow() -> (Service, Receiver<()>, Sender<()>) {
    let ((entered, begun), (go_on, release)) = (channel(), channel());
    let clock = Arc::new(ManualClock::new(NOW));
    let mirroring = Mirroring {
        store: Arc::new(SqliteStore::default()),
        admin: Arc::new(Slow {
            entered: Mutex::new(entered),
            release: Mutex::new(release),
        }),
        options: Options::default(),
    };
    let service = Service::new(trust(&clock), mirroring, APPLICATION_KEY.clone(), clock);
    (service, begun, go_on)
}

async fn begun(signal: Receiver<()>) -> Receiver<()> {
    tokio::task::spawn_blocking(move || {
        signal.recv().unwrap();
        signal
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_call_is_finished_before_the_server_stops() {
    let (service, entered, go_on) = slow();
    let mut server = Running::start(service, HttpSettings::default()).await;
    let mut client = server.connect().await;
    let mut idle = server.connect().await;
    idle.send(format!("GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    idle.reply().await;
    client
        .send(post(Operation::Authenticate, &envelope(&authenticate())))
        .await;
    begun(entered).await;
    server.stop();
    // An idle connection is closed: that is how this test knows that the signal has come through.
    let mut rest = Vec::new();
    idle.read.read_to_end(&mut rest).await.unwrap();
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nobody new is let in"
    );
    assert!(!server.done.is_finished());
    go_on.send(()).unwrap();
    successful(&client.reply().await);
    server.done.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_ends_does_not_hold_the_server_for_ever() {
    let (service, entered, go_on) = slow();
    let http = HttpSettings {
        shutdown_grace: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    let server = Running::start(service, http).await;
    let mut client = server.connect().await;
    client
        .send(post(Operation::Authenticate, &envelope(&authenticate())))
        .await;
    begun(entered).await;
    server.stopped().await;
    let mut rest = Vec::new();
    let _ = client.read.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "cut, not half answered");
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_calls_wait_for_a_place_and_strangers_need_none() {
    let (service, entered, go_on) = slow();
    let http = HttpSettings {
        calls_max: 1,
        turn_timeout: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    let server = Running::start(service, http).await;
    let call = post(Operation::Authenticate, &envelope(&authenticate()));
    let mut first = server.connect().await;
    first.send(&call).await;
    let entered = begun(entered).await;
    let mut second = server.connect().await;
    second.send(&call).await;
    let reply = second.reply().await;
    assert_eq!(reply.status, 503);
    assert!(reply.has("retry-after: 60"));
    let mut stranger = server.connect().await;
    stranger
        .send(post(Operation::Authenticate, &untrusted(&authenticate())))
        .await;
    assert_eq!(stranger.reply().await.status, 200);
    // A caller who has gone does not give his place away before the work is done.
    drop(first);
    second.send(&call).await;
    assert_eq!(second.reply().await.status, 503);
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    let mut third = server.connect().await;
    loop {
        third.send(&call).await;
        let reply = third.reply().await;
        if reply.status == 200 {
            break;
        }
        assert_eq!(reply.status, 503, "the place is given back in time");
    }
    drop(entered);
    server.stopped().await;
}

#[test]
fn a_certificate_says_until_when_it_is_valid() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["mirror.example".into()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem();
    assert_eq!(tls::valid_until(pem.as_bytes()), Some(1_609_459_200));
    assert_eq!(tls::valid_until(b"no certificate"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_all_calls_together_are_limited() {
    let (service, entered, go_on) = slow();
    let http = HttpSettings {
        body_bytes_max: 100_000,
        bytes_in_flight_max: 100_000,
        turn_timeout: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    let server = Running::start(service, http).await;
    let of_length = |length: usize| {
        let mut body = envelope(&authenticate());
        // White space behind the end counts as well.
        body.resize(length, b' ');
        body
    };
    let mut first = server.connect().await;
    first
        .send(post(Operation::Authenticate, &of_length(60_000)))
        .await;
    let entered = begun(entered).await;
    let full = "The calls under way fill the 100000 bytes that are held at a time; try again in a minute.\n";
    // Said before it is sent,
    let mut announced = server.connect().await;
    let large = of_length(60_000);
    announced
        .send(post_head(Operation::Authenticate, "Content-Length: 60000\r\n"))
        .await;
    announced.send(&large[..20_000]).await;
    let reply = announced.reply().await;
    assert_eq!((reply.status, reply.text()), (503, full));
    assert!(reply.has("retry-after: 60"));
    // and where nobody knows how much will come, while it grows.
    for headers in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n",
    ] {
        let mut growing = server.connect().await;
        let body = match headers.contains("gzip") {
            true => gzip(&large),
            false => large.clone(),
        };
        growing.send(post_head(Operation::Authenticate, headers)).await;
        growing.send(chunked(&body, 1000)).await;
        let reply = growing.reply().await;
        assert_eq!((reply.status, reply.text()), (503, full), "{headers}");
    }
    // A small one fits still.
    let mut small = server.connect().await;
    small
        .send(post(Operation::Authenticate, &of_length(20_000)))
        .await;
    let entered = begun(entered).await;
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    successful(&first.reply().await);
    successful(&small.reply().await);
    // Their room is given back.
    go_on.send(()).unwrap();
    let mut last = server.connect().await;
    last.send(post(Operation::Authenticate, &of_length(100_000)))
        .await;
    loop {
        let reply = last.reply().await;
        if reply.status == 200 {
            break;
        }
        assert_eq!(reply.status, 503, "the room is given back in time");
        last = server.connect().await;
        last.send(post(Operation::Authenticate, &of_length(100_000)))
            .await;
    }
    drop(entered);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_place_or_for_room_gets_it() {
    let body = {
        let mut body = envelope(&authenticate());
        body.resize(60_000, b' ');
        body
    };
    let announced = post(Operation::Authenticate, &body);
    let head = post_head(Operation::Authenticate, "Transfer-Encoding: chunked\r\n");
    let growing = [head.as_bytes(), &chunked(&body, 1000)].concat();
    // One place; many places, and room for one of the two, whose length is known or not.
    for (calls_max, second) in [(1, &announced), (64, &announced), (64, &growing)] {
        let (service, entered, go_on) = slow();
        let http = HttpSettings {
            calls_max,
            body_bytes_max: 100_000,
            bytes_in_flight_max: 100_000,
            ..HttpSettings::default()
        };
        let server = Running::start(service, http).await;
        let mut first = server.connect().await;
        first.send(&announced).await;
        let entered = begun(entered).await;
        let mut waiting = server.connect().await;
        waiting.send(second).await;
        // A stranger's call takes as long as theirs does until it waits.
        let mut stranger = server.connect().await;
        stranger
            .send(post(Operation::Authenticate, &untrusted(&authenticate())))
            .await;
        assert_eq!(stranger.reply().await.status, 200);
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        successful(&first.reply().await);
        successful(&waiting.reply().await);
        drop(entered);
        server.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_checked_once_so_that_replays_can_be_refused() {
    let clock = Arc::new(ManualClock::new(NOW));
    let directory = tempfile::tempdir().unwrap();
    let mirroring = Mirroring {
        store: Arc::new(SqliteStore::default()),
        admin: Arc::new(crate::hooks::HookAdmin::new(
            directory.path(),
            crate::hooks::NameTemplate::default(),
            crate::hooks::Hooks::default(),
        )),
        options: Options::default(),
    };
    let trust = trust(&clock).refusing_replays();
    let service = Service::new(trust, mirroring, APPLICATION_KEY.clone(), clock);
    let server = Running::start(service, HttpSettings::default()).await;
    let call = post(
        Operation::Authenticate,
        &soap::envelope(Some(&SUPEROFFICE.token("Cust1")), &write_request(&authenticate())),
    );
    let mut client = server.connect().await;
    client.send(&call).await;
    successful(&client.reply().await);
    client.send(&call).await;
    assert!(client.reply().await.text().contains("was used before"));
    server.stopped().await;
}

#[test]
fn a_connection_that_its_caller_gave_up_is_no_trouble_of_the_listener() {
    use io::ErrorKind;
    for kind in [
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
    ] {
        assert!(accept::is_callers(&io::Error::from(kind)), "{kind}");
    }
    // Too many open files, say: accepting has to wait.
    for kind in [ErrorKind::Other, ErrorKind::OutOfMemory, ErrorKind::WouldBlock] {
        assert!(!accept::is_callers(&io::Error::from(kind)), "{kind}");
    }
}

//! Against small servers on loopback, each for so many connections.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use mirrorlab_protocol::names::Operation;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use tokio::runtime::Runtime;

use super::*;

fn call() -> OutgoingCall {
    OutgoingCall {
        operation: Operation::Wipe,
        context: "Cust10001".into(),
        body: b"<the envelope/>".to_vec(),
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// Reads one request, its head and as many bytes as it announces.
fn read_request(stream: &mut impl Read) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            });
            if body.len() >= length.unwrap().parse().unwrap() {
                return text;
            }
        }
        let count = stream.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return text;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Serves one connection with `serve`; gives the port, and what `serve` gave.
fn once<T: Send + 'static>(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (
        port,
        std::thread::spawn(move || serve(listener.accept().unwrap().0)),
    )
}

fn answering(answer: Vec<u8>) -> impl FnOnce(TcpStream) -> String + Send + 'static {
    move |mut stream| {
        let request = read_request(&mut stream);
        stream.write_all(&answer).unwrap();
        request
    }
}

/// Answers whatever comes first, without waiting for its end.
fn blurting(answer: &'static [u8]) -> impl FnOnce(TcpStream) + Send + 'static {
    move |mut stream| {
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).unwrap() > 0);
        stream.write_all(answer).unwrap();
    }
}

fn options(url: &str) -> HttpsOptions {
    HttpsOptions {
        trust: Trust::Anyone,
        call_timeout: Duration::from_secs(20),
        ..HttpsOptions::new(url)
    }
}

fn send(options: HttpsOptions) -> Result<Reply, TransportError> {
    let runtime = runtime();
    HttpsEndpoint::new(options, runtime.handle().clone())
        .unwrap()
        .call(&call())
}

#[test]
fn a_call_looks_like_the_real_client_s() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: 4\r\n\r\n<a/>";
    let (port, server) = once(answering(answer.to_vec()));
    let reply = send(options(&format!(
        "http://127.0.0.1:{port}/x/MirroringClientService.svc"
    )))
    .unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"<a/>".as_slice()));
    assert_eq!(reply.content_type, "text/xml; charset=utf-8");
    let request = server.join().unwrap();
    insta::assert_snapshot!(request.replace(&port.to_string(), "<port>").replace('\r', ""), @r#"
POST /x/MirroringClientService.svc HTTP/1.1
content-type: text/xml; charset=utf-8
soapaction: "http://www.superoffice.com/online/mirroring/0.1/IMirroringClientService/Wipe"
request-id: |c11dac38ecced7c4b3f251897093057a.b11ecb1c.
traceparent: 00-c11dac38ecced7c4b3f251897093057a-b11ecb1ccb9ca0f2-00
accept: */*
accept-encoding: gzip
host: 127.0.0.1:<port>
content-length: 15

<the envelope/>
"#);
}

#[test]
fn gzip_is_taken_apart_and_a_redirect_is_not_followed() {
    let gzip = [
        31_u8, 139, 8, 0, 0, 0, 0, 0, 2, 3, 179, 73, 180, 75, 175, 202, 44, 176, 209, 79, 180, 3, 0, 42, 133,
        85, 225, 11, 0, 0, 0,
    ];
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        gzip.len()
    )
    .into_bytes();
    answer.extend_from_slice(&gzip);
    let (port, server) = once(answering(answer));
    let reply = send(options(&format!("http://127.0.0.1:{port}/"))).unwrap();
    assert_eq!(String::from_utf8(reply.body).unwrap(), "<a>gzip</a>");
    server.join().unwrap();

    let answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (port, server) = once(answering(answer.to_vec()));
    assert_eq!(
        send(options(&format!("http://127.0.0.1:{port}/")))
            .unwrap()
            .status,
        302
    );
    server.join().unwrap();
}

/// A TLS server with a self-signed certificate for `name`; gives its port and the certificate as PEM.
fn tls_server(name: &str) -> (u16, String, JoinHandle<()>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (port, server) = once(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        if !read_request(&mut stream).is_empty() {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            stream.write_all(answer).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
    });
    (port, made.cert.pem(), server)
}

#[test]
fn certificates_are_checked_against_the_file_unless_anyone_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let (port, pem, server) = tls_server("localhost");
    std::fs::write(&file, pem).unwrap();
    let url = |port| format!("https://localhost:{port}/");
    let trusting = |port| HttpsOptions {
        trust: Trust::File(file.clone()),
        ..options(&url(port))
    };
    assert_eq!(send(trusting(port)).unwrap().body, b"ok");
    server.join().unwrap();

    let mut texts = Vec::new();
    let mut failing = |what: &str, port: u16, options: HttpsOptions, server: JoinHandle<()>| {
        let text = send(options).unwrap_err().to_string();
        texts.push(format!("{what}: {}", text.replace(&port.to_string(), "<port>")));
        server.join().unwrap();
    };
    // Another certificate than the one in the file.
    let (port, _, server) = tls_server("localhost");
    failing("another", port, trusting(port), server);
    let (port, pem, server) = tls_server("partner.example");
    std::fs::write(&file, pem).unwrap();
    failing("another host", port, trusting(port), server);
    insta::assert_snapshot!(texts.join("\n"), @r#"
another: cannot connect to https://localhost:<port>/: its certificate is not trusted: the trusted authority of that name did not sign it
another host: cannot connect to https://localhost:<port>/: its certificate is for another host name: certificate not valid for name "localhost"; certificate is only valid for DnsName("partner.example")
"#);

    let (port, _, server) = tls_server("partner.example");
    assert_eq!(send(options(&url(port))).unwrap().body, b"ok");
    server.join().unwrap();
}

/// What the system trusts differs from one to the next; it is never a certificate that was just made.
#[test]
fn the_system_s_trust_is_no_trust_in_a_certificate_of_our_own() {
    let (port, _, server) = tls_server("localhost");
    let runtime = runtime();
    let options = HttpsOptions {
        trust: Trust::System,
        ..options(&format!("https://localhost:{port}/"))
    };
    match HttpsEndpoint::new(options, runtime.handle().clone()) {
        Ok(endpoint) => {
            let text = endpoint.call(&call()).unwrap_err().to_string();
            assert!(text.contains("its certificate is not trusted"), "{text}");
        }
        // A system without any authorities.
        Err(error) => {
            assert!(matches!(error, HttpsError::Setup(_)), "{error}");
            TcpStream::connect(("127.0.0.1", port)).unwrap();
        }
    }
    server.join().unwrap();
}

#[test]
fn what_breaks_is_told_plainly() {
    let mut texts = Vec::new();
    let mut tell = |what: &str, port: u16, result: Result<Reply, TransportError>| {
        let text = result.unwrap_err().to_string();
        texts.push(format!("{what}: {}", text.replace(&port.to_string(), "<port>")));
    };
    let url = |scheme: &str, port| format!("{scheme}://127.0.0.1:{port}/");

    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    tell("nobody there", closed, send(options(&url("https", closed))));
    // No name has a part of 64 letters, so that nobody has to be asked.
    let host = "h".repeat(64);
    let unknown = send(options(&format!("http://{host}/")));
    tell(
        "unknown host",
        1,
        unknown.map_err(|error| match error {
            TransportError::Connect { endpoint, why } => TransportError::Connect {
                endpoint: endpoint.replace(&host, "<host>"),
                why: why.replace(&host, "<host>"),
            },
            other => other,
        }),
    );

    let (port, server) = once(blurting(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    tell("no TLS there", port, send(options(&url("https", port))));
    server.join().unwrap();

    let (port, _, server) = tls_server("localhost");
    tell("TLS there", port, send(options(&url("http", port))));
    server.join().unwrap();

    let (port, server) = once(drop);
    tell("closed during TLS", port, send(options(&url("https", port))));
    server.join().unwrap();

    let (port, server) = once(answering(Vec::new()));
    tell("closed without answer", port, send(options(&url("http", port))));
    server.join().unwrap();

    let (port, server) = once(answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec(),
    ));
    tell("cut short", port, send(options(&url("http", port))));
    server.join().unwrap();

    let (port, server) = once(answering(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()));
    tell("no HTTP there", port, send(options(&url("http", port))));
    server.join().unwrap();

    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}",
        "x".repeat(5000)
    );
    let (port, server) = once(answering(long.into_bytes()));
    tell(
        "too long",
        port,
        send(HttpsOptions {
            reply_bytes_max: 1000,
            ..options(&url("http", port))
        }),
    );
    server.join().unwrap();

    // Accepted by the system, never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let soon = HttpsOptions {
        call_timeout: Duration::from_millis(50),
        ..options(&url("http", port))
    };
    tell("silent", port, send(soon));
    insta::assert_snapshot!(texts.join("\n"), @r#"
nobody there: cannot connect to https://127.0.0.1:<port>/: connection refused; nothing listens there
unknown host: cannot connect to http://<host>/: the host name <host> is not known
no TLS there: cannot connect to https://127.0.0.1:<port>/: what answers does not speak TLS; is it http:// there?
TLS there: the connection to http://127.0.0.1:<port>/ broke: what answers does not speak HTTP (invalid HTTP version parsed); is it https:// there?
closed during TLS: cannot connect to https://127.0.0.1:<port>/: the connection was closed before TLS was set up
closed without answer: the connection to http://127.0.0.1:<port>/ broke: it was closed before the answer was whole
cut short: the connection to http://127.0.0.1:<port>/ broke: it was closed before the answer was whole
no HTTP there: the connection to http://127.0.0.1:<port>/ broke: what answers does not speak HTTP (invalid HTTP version parsed); is it https:// there?
too long: the connection to http://127.0.0.1:<port>/ broke: the answer is longer than 1000 bytes
silent: http://127.0.0.1:<port>/ did not answer within 0.05 s
"#);
}

#[test]
fn what_is_no_endpoint_is_said_before_anything_is_called() {
    let runtime = runtime();
    let text = |options| {
        HttpsEndpoint::new(options, runtime.handle().clone())
            .err()
            .unwrap()
            .to_string()
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.pem");
    std::fs::write(&file, "hello").unwrap();
    let of_file = |file: &Path| HttpsOptions {
        trust: Trust::File(file.to_owned()),
        ..options("https://x/")
    };
    let texts = [
        text(options("partner.example/x")),
        text(options("ftp://partner.example/")),
        text(options("https://")),
        text(options("https://me:secret@partner.example/")),
        text(of_file(Path::new("/nowhere/ca.pem"))),
        text(of_file(&file)).replace(&file.display().to_string(), "<the file>"),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
`partner.example/x` is not an endpoint's URL: relative URL without a base; expected https://host/path/MirroringClientService.svc
`ftp://partner.example/` is not an endpoint's URL: it is neither https nor http; expected https://host/path/MirroringClientService.svc
`https://` is not an endpoint's URL: empty host; expected https://host/path/MirroringClientService.svc
`…@…` is not an endpoint's URL: it holds a user name or a password, which the real client never sends; expected https://host/path/MirroringClientService.svc
cannot take trusted authorities from /nowhere/ca.pem: No such file or directory (os error 2)
cannot take trusted authorities from <the file>: it has no certificate; expected PEM with -----BEGIN CERTIFICATE-----
"#);
    assert!(!texts.join(" ").contains("secret"));
}

#[test]
fn request_ids_are_drawn_from_the_seed() {
    let runtime = runtime();
    let ids = |seed| {
        let options = HttpsOptions {
            seed,
            ..options("https://x/")
        };
        let endpoint = HttpsEndpoint::new(options, runtime.handle().clone()).unwrap();
        [endpoint.request_ids(), endpoint.request_ids()]
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
    assert_ne!(ids(1)[0], ids(1)[1]);
}

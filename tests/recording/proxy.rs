//! The proxy itself: what passes, what is written down, and what becomes of a call that does not end.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::support::{Started, mirrorlab, run};
use super::trial::{Trial, listening};
use super::{end, record};

/// A recorder without TLS.
fn plain(trial: &Trial, upstream: &str, out: &str) -> (Started, String) {
    listening(Started::new(mirrorlab(
        trial.dir(),
        &[
            "record",
            "--listen",
            "127.0.0.1:0",
            "--plain-http",
            "--upstream",
            upstream,
            "--out",
            out,
        ],
    )))
}

/// An endpoint that writes down what it is sent, and answers one thing.
pub fn upstream(answer: Vec<u8>) -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!(
        "http://{}/far/MirroringClientService.svc",
        listener.local_addr().expect("it is bound")
    );
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let got = request(&mut BufReader::new(&stream));
            stream.write_all(&answer).expect("the proxy listens");
            if sender.send(got).is_err() {
                return;
            }
        }
    });
    (url, received)
}

/// A message's head, and its body by its length or its chunks.
fn request(reader: &mut impl std::io::BufRead) -> (String, Vec<u8>) {
    let (mut head, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        if line.trim_end().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        chunked |= lower.starts_with("transfer-encoding: chunked");
        head.push_str(&line);
    }
    let mut body = Vec::new();
    if !chunked {
        body.resize(length, 0);
        reader.read_exact(&mut body).expect("a body");
        return (head, body);
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a chunk's size");
        let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).expect("a chunk");
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return (head, body);
        }
    }
}

fn ask(url: &str, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let address = url.split('/').nth(2).expect("it is a URL");
    let mut stream = TcpStream::connect(address).expect("the proxy listens");
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body))
        .expect("the proxy listens");
    request(&mut BufReader::new(&stream))
}

#[test]
fn bytes_and_headers_pass_unchanged() {
    let trial = Trial::new();
    // What is packed stays packed on the wire, and is unpacked in the file.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(b"<answer/>").unwrap();
    let packed = packed.finish().unwrap();
    let mut answer = format!(
        "HTTP/1.1 207 Odd\r\nContent-Type: text/xml\r\nContent-Encoding: gzip\r\nX-Mine: 1\r\nX-Hop: 1\r\n\
         Connection: close, X-Hop\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    answer.extend_from_slice(&packed);
    let (url, received) = upstream(answer);
    let (recorder, through) = plain(&trial, &url, "a/b");
    let body = b"\xef\xbb\xbf<a>\r\n\0\xff</a>";
    for chunked in [false, true] {
        let framing = match chunked {
            false => format!("Content-Length: {}", body.len()),
            true => "Transfer-Encoding: chunked".to_owned(),
        };
        let head = format!(
            "POST /near/MirroringClientService.svc?x=1 HTTP/1.1\r\nHost: near.example\r\nSOAPAction: \"a\"\r\n\
             Content-Type: text/xml; charset=utf-8\r\nTraceparent: 00-1\r\nAccept-Encoding: gzip, deflate\r\n\
             X-Forwarded-For: 192.0.2.1\r\n{framing}\r\nConnection: keep-alive\r\n\r\n"
        );
        let sent = match chunked {
            false => body.to_vec(),
            true => [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat(),
        };
        let (answer_head, answer_body) = ask(&through, &head, &sent);
        let (got_head, got_body) = received.recv().unwrap();
        assert_eq!(got_body, body);
        let lines: Vec<String> = got_head.lines().map(str::to_ascii_lowercase).collect();
        for line in [
            "post /far/mirroringclientservice.svc?x=1 http/1.1",
            "soapaction: \"a\"",
            "content-type: text/xml; charset=utf-8",
            "traceparent: 00-1",
            "accept-encoding: gzip, deflate",
            "x-forwarded-for: 192.0.2.1, 127.0.0.1",
            "x-forwarded-host: near.example",
            "x-forwarded-proto: http",
        ] {
            assert!(lines.iter().any(|l| l == line), "{line}\n{got_head}");
        }
        assert!(
            !lines.iter().any(|l| l.starts_with("connection: keep-alive")),
            "{got_head}"
        );
        assert_eq!(
            chunked,
            !lines.iter().any(|l| l.starts_with("content-length: ")),
            "{got_head}"
        );
        let answer_head = answer_head.to_ascii_lowercase();
        assert!(answer_head.starts_with("http/1.1 207 "), "{answer_head}");
        assert!(
            answer_head.contains("x-mine: 1") && answer_head.contains("content-encoding: gzip"),
            "{answer_head}"
        );
        assert!(!answer_head.contains("x-hop"), "{answer_head}");
        assert_eq!(answer_body, packed);
    }
    end(recorder);
    assert_eq!(
        trial.listing("a/b"),
        ["00001-tenant-unknown.call", "00002-tenant-unknown.call"]
    );
    let file = fs::read(trial.path("a/b/00001-tenant-unknown.call")).unwrap();
    let holds = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    assert!(holds(body) && holds(b"\n\n<answer/>\n") && holds(b"\nstatus: 207\n"));
    // Numbers go on where they ended, and neither is one of the five operations.
    let replayed = run(
        trial.dir(),
        &[
            "replay",
            "a/b",
            "--endpoint",
            "http://127.0.0.1:1/",
            "--as-recorded",
        ],
    )
    .expect(4);
    assert!(
        replayed
            .out
            .contains("not sent: it is none of the five operations"),
        "{}",
        replayed.out
    );
    assert!(replayed.err.contains("nothing was compared"), "{}", replayed.err);
}

#[test]
fn an_upstream_that_is_away_is_a_502_and_recorded_as_such() {
    let trial = Trial::new();
    let (recorder, through) = record(&trial, "https://127.0.0.1:1/MirroringClientService.svc", &[]);
    let simulated = trial
        .simulate(&through, &["--cycles", "1", "--rows", "1"])
        .expect(4);
    assert!(
        simulated
            .err
            .contains("(HTTP 502): \"mirrorlab record: there is no answer to pass on: cannot connect"),
        "{}",
        simulated.err
    );
    let ended = end(recorder);
    assert!(
        ended
            .out
            .contains("00001 Cust10001 Authenticate no answer: cannot connect"),
        "{}",
        ended.out
    );
    let file = fs::read_to_string(trial.path("calls/00001-Cust10001-Authenticate.call")).unwrap();
    assert!(
        file.contains("\nno-answer: cannot connect to https://127.0.0.1:1/"),
        "{file}"
    );
    assert!(
        file.contains("AuthenticateRequest"),
        "the request is there: {file}"
    );
    // An answer that stops on the way.
    let (url, _received) =
        upstream(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 100\r\n\r\n<half".to_vec());
    let (recorder, through) = plain(&trial, &url, "calls");
    let address = through.split('/').nth(2).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n<a/>")
        .unwrap();
    let mut got = Vec::new();
    // However the connection ends, what came is not whole.
    let _ = stream.read_to_end(&mut got);
    assert!(!got.ends_with(b"</half>"));
    let ended = end(recorder);
    assert!(
        ended.out.contains(
            "00002 (no tenant) (unknown operation) no answer: the answer (HTTP 200) broke off after 5 bytes"
        ),
        "{}",
        ended.out
    );
}

#[test]
fn an_upstreams_query_is_in_no_message() {
    let trial = Trial::new();
    for more in [&[][..], &["--redact", "all"]] {
        let (recorder, through) = record(&trial, "https://127.0.0.1:1/x.svc?code=HUSH-HUSH", more);
        let simulated = trial
            .simulate(&through, &["--cycles", "1", "--rows", "1"])
            .expect(4);
        let ended = end(recorder);
        for text in [simulated.out, simulated.err, ended.out, ended.err] {
            assert!(!text.contains("HUSH"), "{text}");
        }
    }
    // Nor in what the files say of it; a caller's own query is a part of the call, and is masked where that is asked for.
    for name in trial.listing("calls") {
        let file = fs::read_to_string(trial.path(&format!("calls/{name}"))).unwrap();
        assert!(
            file.contains("\nno-answer: cannot connect to https://127.0.0.1:1/x.svc: "),
            "{file}"
        );
        assert!(!file.contains("HUSH"), "{file}");
    }
}

const POST: &str = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n";

/// An upstream whose connections a test answers by hand, each once its request's head has come.
fn by_hand() -> (String, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}/far.svc", listener.local_addr().expect("it is bound"));
    let (sender, taken) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            while std::io::BufRead::read_line(&mut reader, &mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    (url, taken)
}

fn caller(through: &str) -> TcpStream {
    TcpStream::connect(through.split('/').nth(2).expect("it is a URL")).expect("the proxy listens")
}

#[test]
fn what_is_no_call_passes_and_is_not_written_down() {
    let trial = Trial::new();
    let (url, received) = upstream(
        b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .to_vec(),
    );
    let (recorder, through) = plain(&trial, &url, "calls");
    let (head, _) = ask(&through, "GET /x?wsdl HTTP/1.1\r\nHost: x\r\n\r\n", b"");
    // No redirect is followed: the caller is told of it.
    assert!(head.starts_with("HTTP/1.1 302 "), "{head}");
    assert!(
        head.to_ascii_lowercase()
            .contains("location: https://login.example/"),
        "{head}"
    );
    let (got, _) = received.recv().unwrap();
    assert!(
        got.starts_with("GET /far/MirroringClientService.svc?wsdl HTTP/1.1"),
        "{got}"
    );
    assert!(end(recorder).out.ends_with("\n0 calls recorded in calls\n"));
    assert!(trial.listing("calls").is_empty());
}

#[test]
fn a_connection_has_several_calls_and_an_answer_needs_no_length() {
    let trial = Trial::new();
    let (url, _received) = upstream(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
          4\r\n<a/>\r\n0\r\n\r\n"
            .to_vec(),
    );
    let (recorder, through) = plain(&trial, &url, "calls");
    let mut stream = caller(&through);
    for _ in 0..2 {
        stream.write_all(format!("{POST}<b/>").as_bytes()).unwrap();
        let (head, body) = request(&mut BufReader::new(&stream));
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, b"<a/>");
    }
    drop(stream);
    end(recorder);
    let files = trial.listing("calls");
    assert_eq!(files, ["00001-tenant-unknown.call", "00002-tenant-unknown.call"]);
    let file = fs::read_to_string(trial.path("calls/00002-tenant-unknown.call")).unwrap();
    assert!(
        file.contains("\nstatus: 200\n") && file.contains("\n\n<a/>\n"),
        "{file}"
    );
}

#[test]
fn a_caller_who_breaks_off_is_recorded_as_such() {
    let trial = Trial::new();
    let (url, _taken) = by_hand();
    let (mut recorder, through) = plain(&trial, &url, "calls");
    // In the middle of the call.
    let mut stream = caller(&through);
    stream
        .write_all(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<a/>")
        .unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    let line = recorder.wait_for("00001 ");
    assert!(line.contains("no answer: the caller broke off: "), "{line}");
    let file = fs::read_to_string(trial.path("calls/00001-tenant-unknown.call")).unwrap();
    assert!(file.contains("\nrequest-cut: 4\n"), "{file}");

    end(recorder);

    // In the middle of the answer, which is longer than any buffer on the way.
    let (url, taken) = by_hand();
    let (mut recorder, through) = plain(&trial, &url, "calls");
    let mut stream = caller(&through);
    stream.write_all(format!("{POST}<a/>").as_bytes()).unwrap();
    let mut answering = taken.recv().unwrap();
    answering
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        .unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    drop(stream);
    let part = vec![b'x'; 64 * 1024];
    while answering.write_all(&part).is_ok() {}
    let line = recorder.wait_for("00002 ");
    assert!(
        line.contains("no answer: the caller went away after ")
            && line.contains(" bytes of the answer (HTTP 200)"),
        "{line}"
    );
    end(recorder);
}

#[test]
fn a_file_that_cannot_be_written_fails_no_call() {
    let trial = Trial::new();
    let (url, _received) =
        upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<a/>".to_vec());
    let (recorder, through) = plain(&trial, &url, "calls");
    fs::remove_dir(trial.path("calls")).unwrap();
    let (head, body) = ask(&through, POST, b"<b/>");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, b"<a/>");
    recorder.signal("TERM");
    let ended = recorder.end().expect(4);
    assert!(
        ended.out.ends_with("\n0 calls recorded in calls\n"),
        "{}",
        ended.out
    );
    assert!(
        ended
            .err
            .contains("error: cannot write calls/00001-tenant-unknown.call: No such file or directory"),
        "{}",
        ended.err
    );
}

#[test]
fn a_signal_lets_the_call_under_way_end() {
    let trial = Trial::new();
    let (url, taken) = by_hand();
    let (mut recorder, through) = plain(&trial, &url, "calls");
    let mut stream = caller(&through);
    stream.write_all(format!("{POST}<a/>").as_bytes()).unwrap();
    let mut answering = taken.recv().unwrap();
    recorder.signal("TERM");
    recorder.wait_for("SIGTERM: ending after the calls under way");
    answering
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>")
        .unwrap();
    let (head, body) = request(&mut BufReader::new(&stream));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, b"<a/>");
    assert!(
        recorder
            .end()
            .expect(0)
            .out
            .ends_with("\n1 call recorded in calls\n")
    );

    // A second one waits for nobody.
    let (mut recorder, through) = plain(&trial, &url, "calls");
    let mut stream = caller(&through);
    stream.write_all(format!("{POST}<a/>").as_bytes()).unwrap();
    let _held = taken.recv().unwrap();
    recorder.signal("TERM");
    recorder.wait_for("SIGTERM: ending");
    recorder.signal("TERM");
    let ended = recorder.end().expect(4);
    assert!(
        ended
            .err
            .contains("error: a second signal, SIGTERM: ended at once"),
        "{}",
        ended.err
    );
}

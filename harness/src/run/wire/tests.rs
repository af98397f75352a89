//! What both ends see of each fault, on plain sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream as Socket;

use super::*;

const CALL: usize = 2000;
const ANSWER: &[u8] = b"the answer";

/// How the server's side ended: how much of the call it read, and whether the connection was reset.
type Seen = (usize, bool);

/// A server of one call, which answers once it has all of it, and perhaps leaves the connection open.
fn server(answer: &'static [u8], stays: bool) -> (SocketAddr, std::thread::JoinHandle<Seen>) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut seen, mut piece) = (0, [0; 256]);
        while seen < CALL {
            match stream.read(&mut piece) {
                Ok(0) => return (seen, false),
                Ok(read) => seen += read,
                Err(error) => return (seen, error.kind() == ErrorKind::ConnectionReset),
            }
        }
        stream.write_all(answer).unwrap();
        if stays {
            // As one that ignores `Connection: close`: it goes when the other side has gone.
            let _ = stream.read(&mut piece);
        }
        (seen, false)
    });
    (address, serving)
}

/// Makes one call through a fault: what the server saw, and what the sender read, or how it failed.
fn call(fault: WireFault) -> (Option<Seen>, Result<Vec<u8>, ErrorKind>) {
    call_of(fault, ANSWER, false)
}

fn call_of(
    fault: WireFault,
    answer: &'static [u8],
    stays: bool,
) -> (Option<Seen>, Result<Vec<u8>, ErrorKind>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (target, serving) = server(answer, stays);
    let mut proxy = OneCall::new(
        runtime.handle(),
        &target.to_string(),
        fault,
        CALL - HEAD_BYTES_MIN,
        Death::none(),
    )
    .unwrap();
    let gives_up = matches!(fault, WireFault::Stalled | WireFault::AnswerLate);
    let mut exchange = || -> io::Result<Vec<u8>> {
        let mut stream = Socket::connect((Ipv4Addr::LOCALHOST, proxy.port))?;
        stream.write_all(&[b'x'; CALL])?;
        let mut answer = Vec::new();
        if gives_up {
            runtime.block_on(&mut proxy.patience).unwrap();
            return Err(ErrorKind::TimedOut.into());
        }
        // What came before a reset counts too, but none of these faults lets anything through before one.
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let read = exchange().map_err(|error| error.kind());
    proxy.finish(runtime.handle()).unwrap();
    // It waits for a call that never comes.
    let unseen = matches!(fault, WireFault::Refused | WireFault::ResetBefore);
    (
        if unseen {
            None
        } else {
            Some(serving.join().unwrap())
        },
        read,
    )
}

#[test]
fn nothing_of_the_call_arrives() {
    assert_eq!(
        call(WireFault::Refused),
        (None, Err(ErrorKind::ConnectionRefused))
    );
    let (_, read) = call(WireFault::ResetBefore);
    // The reset meets the sender while it writes, or when it reads.
    assert!(
        matches!(read, Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)),
        "{read:?}"
    );
}

#[test]
fn half_of_the_call_arrives() {
    // Half the body, and as much as every head has at least.
    let half = HEAD_BYTES_MIN + (CALL - HEAD_BYTES_MIN) / 2;
    assert_eq!(
        call(WireFault::ResetHalfway),
        (Some((half, true)), Err(ErrorKind::ConnectionReset))
    );
    assert_eq!(
        call(WireFault::Stalled),
        (Some((half, true)), Err(ErrorKind::TimedOut))
    );
}

#[test]
fn the_call_is_done_and_its_answer_does_not_arrive_whole() {
    let done = Some((CALL, false));
    assert_eq!(
        call(WireFault::AnswerLost),
        (done, Err(ErrorKind::ConnectionReset))
    );
    assert_eq!(call(WireFault::AnswerLate), (done, Err(ErrorKind::TimedOut)));
    assert_eq!(
        call(WireFault::AnswerTruncated),
        (done, Ok(ANSWER[..ANSWER.len() / 2].to_vec()))
    );
}

#[test]
fn a_server_that_leaves_the_connection_open_is_not_waited_for() {
    let done = Some((CALL, false));
    let answers: [&'static [u8]; 2] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ];
    for answer in answers {
        assert_eq!(
            call_of(WireFault::AnswerTruncated, answer, true),
            (done, Ok(answer[..answer.len() / 2].to_vec()))
        );
        assert!(is_whole(answer));
        for cut in 0..answer.len() {
            assert!(!is_whole(&answer[..cut]), "{cut} bytes are not the whole");
        }
    }
    // Its end is the connection's.
    assert!(!is_whole(b"HTTP/1.1 200 OK\r\n\r\nbody"));
}

/// A server that neither answers nor ends, and writes nothing: the sender's patience is all that is left.
#[test]
fn a_log_that_never_grows_is_not_watched_for_ever() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = TcpStream::connect(silent.local_addr().unwrap()).await.unwrap();
        watch(Path::new("no-such-log"), 1, &server, Duration::from_millis(5)).await;
    });
}

//! What both ends see of each fault, on plain sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream as Socket;

use super::*;

const CALL: usize = 2000;
const ANSWER: &[u8] = b"the answer";

/// How the server's side ended: how much of the call it read, and whether the connection was reset.
type Seen = (usize, bool);

/// A server of one call, which answers once it has all of it.
fn server() -> (SocketAddr, std::thread::JoinHandle<Seen>) {
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
        stream.write_all(ANSWER).unwrap();
        (seen, false)
    });
    (address, serving)
}

/// Makes one call through a fault: what the server saw, and what the sender read, or how it failed.
fn call(fault: WireFault) -> (Option<Seen>, Result<Vec<u8>, ErrorKind>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (target, serving) = server();
    let mut proxy = OneCall::new(
        runtime.handle(),
        &target.to_string(),
        fault,
        CALL - HEAD_BYTES_MIN,
        Box::new(|| {}),
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

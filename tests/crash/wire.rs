//! A proxy between the task and the server that kills the server at a point of a call.
//!
//! It knows where a request begins and ends, and so how many of its bytes have passed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::leftover::log_of;
use super::server::Server;

/// Where in a call the server dies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Point {
    /// So many thousandths of the request's bytes have passed.
    Request(u32),
    /// All but the last byte has passed.
    LastByteWithheld,
    /// The last byte has passed just now.
    LastByteSent,
    /// It works on the call: the database's own log (`-wal`) has come to so many bytes. Where the call is answered
    /// without that, it dies then.
    Log(u64),
    /// It works on the call: the log has come and gone, so all is committed. Or the call is answered.
    LogGone,
    /// The answer's first byte has come.
    FirstAnswerByte,
    /// The same, while a reader kept what was committed from going on from the log into the database's own file.
    InTheLogAlone,
}

impl Point {
    pub fn name(self) -> &'static str {
        match self {
            Point::Request(_) => "within a request",
            Point::LastByteWithheld => "last byte withheld",
            Point::LastByteSent => "last byte sent",
            Point::Log(_) => "log grown",
            Point::LogGone => "log gone",
            Point::FirstAnswerByte => "first answer byte",
            Point::InTheLogAlone => "committed in the log alone",
        }
    }
}

/// Which call, counted from 0, and where in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strike {
    pub call: u32,
    pub point: Point,
}

struct Shared {
    server: Server,
    strike: Strike,
    mirror: PathBuf,
    /// Its log.
    log: PathBuf,
    /// Who keeps the log from being emptied.
    reader: Mutex<Option<Connection>>,
    calls: Mutex<u32>,
    /// The answer to the call under way has begun.
    answering: AtomicBool,
    /// The server is to die at that answer's first byte.
    awaited: AtomicBool,
    /// The call that kills the server has begun.
    struck: AtomicBool,
}

/// The proxy. It ends with its connections, which end with the server.
pub struct Wire {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Wire {
    pub fn new(server: &Server, strike: Strike, mirror: PathBuf) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: server.clone(),
            strike,
            log: log_of(&mirror),
            mirror,
            reader: Mutex::new(None),
            calls: Mutex::new(0),
            answering: AtomicBool::new(false),
            awaited: AtomicBool::new(false),
            struck: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { break };
                // The wake-up of `drop`, or a caller who tries again after the kill.
                if accepting.struck.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(server) = TcpStream::connect(accepting.server.address) else {
                    break;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || answers(&shared, back.0, back.1));
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || requests(&shared, client, server));
            }
        });
        Wire { address, shared }
    }

    /// Whether the call came that kills the server. It dies soon, if it has not yet: the answer may have been faster.
    pub fn has_struck(&self) -> bool {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// How many calls began.
    pub fn calls(&self) -> u32 {
        *self.shared.calls.lock().unwrap()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.struck.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn kill(&self) {
        self.server.kill();
    }

    fn log_length(&self) -> Option<u64> {
        std::fs::metadata(&self.log).ok().map(|log| log.len())
    }

    /// Waits until the server's work has come as far as `reached` says, or the call is answered.
    fn watch(&self, mut reached: impl FnMut(Option<u64>) -> bool) {
        while !self.answering.load(Ordering::SeqCst) && !reached(self.log_length()) {
            std::thread::yield_now();
        }
    }
}

/// Client to server. Ends both connections when it ends.
fn requests(shared: &Shared, mut client: TcpStream, mut server: TcpStream) {
    while request(shared, &mut client, &mut server).is_some() {}
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// One request. `None` ends the connection.
fn request(shared: &Shared, client: &mut TcpStream, server: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let number = {
        let mut calls = shared.calls.lock().unwrap();
        *calls += 1;
        *calls - 1
    };
    let body = content_length(&head);
    let total = head.len() + body;
    shared.answering.store(false, Ordering::SeqCst);
    let point = (number == shared.strike.call).then_some(shared.strike.point);
    if point.is_some() {
        shared.struck.store(true, Ordering::SeqCst);
    }
    let passes = match point {
        Some(Point::Request(thousandths)) => total * thousandths as usize / 1000,
        Some(Point::LastByteWithheld) => total - 1,
        _ => total,
    };
    let awaited = matches!(point, Some(Point::FirstAnswerByte | Point::InTheLogAlone));
    shared.awaited.store(awaited, Ordering::SeqCst);
    if point == Some(Point::InTheLogAlone) {
        *shared.reader.lock().unwrap() = read_and_hold(&shared.mirror);
    }
    let mut left = passes;
    let now = head.len().min(left);
    server.write_all(&head[..now]).ok()?;
    left -= now;
    let mut piece = vec![0; 16 * 1024];
    while left > 0 {
        let room = left.min(piece.len());
        let read = client.read(&mut piece[..room]).ok().filter(|read| *read > 0)?;
        server.write_all(&piece[..read]).ok()?;
        left -= read;
    }
    match point {
        None | Some(Point::FirstAnswerByte | Point::InTheLogAlone) => return Some(()),
        Some(Point::Log(bytes)) => shared.watch(|log| log.is_some_and(|length| length >= bytes)),
        Some(Point::LogGone) => {
            let mut was_there = false;
            shared.watch(|log| {
                was_there |= log.is_some_and(|length| length > 0);
                was_there && log.is_none()
            });
        }
        Some(Point::Request(_) | Point::LastByteWithheld | Point::LastByteSent) => {}
    }
    shared.kill();
    None
}

/// Reads the mirror as it is, and goes on reading. What is not there yet is not read.
fn read_and_hold(mirror: &Path) -> Option<Connection> {
    if !mirror.exists() {
        return None;
    }
    let reader = Connection::open(mirror).unwrap();
    // It must not tidy up after the dead.
    reader
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM sqlite_master")
        .unwrap();
    Some(reader)
}

fn content_length(head: &[u8]) -> usize {
    let text = String::from_utf8_lossy(head);
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map(|(_, value)| value.trim().parse().expect("a length is a number"))
        .expect("the task says each request's length")
}

/// Server to client.
fn answers(shared: &Shared, mut server: TcpStream, mut client: TcpStream) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = server.read(&mut piece) {
        shared.answering.store(true, Ordering::SeqCst);
        if shared.awaited.load(Ordering::SeqCst) {
            shared.kill();
            let _ = client.write_all(&piece[..1]);
            break;
        }
        if client.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

//! A server that speaks just enough of SQL Server's protocol for a test to decide what it answers: logins, statements,
//! errors, silence, a connection that breaks.
//!
//! It looks into no statement and keeps no data. There is a public crate of this kind; it brings OpenSSL.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::mssql::tunnel::Wrapped;
use crate::mssql::{Address, Secret};

const HEADER_BYTES: usize = 8;
/// Kinds of packets.
const BATCH: u8 = 0x01;
const RPC: u8 = 0x03;
const ANSWER: u8 = 0x04;
const BULK: u8 = 0x07;
const LOGIN: u8 = 0x10;
const PRELOGIN: u8 = 0x12;
/// Small enough that answers come in several packets.
const PACKET_BYTES: usize = 512;
/// The user and password that the mock's own address has. It looks at neither.
pub const USER: &str = "mirrors";
/// See [`USER`].
pub const PASSWORD: &str = "hush-Hush-4711";

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// To be let in.
    Login {
        /// Its user.
        user: String,
        /// Its password, as it came.
        password: String,
        /// The database that it wants.
        database: String,
    },
    /// A batch, or the statement of a call with parameters.
    Sql {
        /// The database that the connection was opened on.
        database: String,
        /// The text.
        sql: String,
    },
    /// The rows of a bulk load.
    Bulk,
}

/// A value of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// NULL.
    Null,
    /// As `bigint`.
    Integer(i64),
    /// As `nvarchar(max)`.
    Text(String),
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// `int`
    Int,
    /// `bigint`
    BigInt,
    /// `nvarchar(max)`
    Text,
    /// `datetime2(7)`
    DateTime2,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is done; of a login: come in.
    Done,
    /// Results, each of rows.
    Results(Vec<Vec<Vec<Cell>>>),
    /// A result without rows, which says its columns alone.
    Columns(Vec<ColumnKind>),
    /// An error, with its number and text.
    Error(u32, String),
    /// Of a login: ask there.
    Route(String, u16),
    /// The connection is closed amid the answer.
    Cut,
    /// Nothing, for ever.
    Silence,
}

impl Reply {
    /// One result of one row.
    pub fn row(cells: Vec<Cell>) -> Reply {
        Reply::Results(vec![vec![cells]])
    }
}

/// Which encryption it offers.
#[derive(Debug, Clone)]
pub enum Encryption {
    /// None.
    None,
    /// TLS, with this configuration.
    Offered(Arc<ServerConfig>),
}

/// A mock server, until it is dropped.
pub struct Mock {
    port: u16,
    asked: Arc<Mutex<Vec<Question>>>,
    _runtime: Runtime,
}

type Answer = dyn Fn(&Question) -> Reply + Send + Sync;

impl Mock {
    /// Starts one that offers no encryption.
    pub fn start(answer: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Mock {
        Mock::start_with(Encryption::None, answer)
    }

    /// Starts one on a free port of this machine.
    pub fn start_with(
        encryption: Encryption,
        answer: impl Fn(&Question) -> Reply + Send + Sync + 'static,
    ) -> Mock {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a test's runtime can be made");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port can be listened on");
        let port = listener
            .local_addr()
            .expect("a socket that listens has an address")
            .port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let answer: Arc<Answer> = Arc::new(answer);
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (encryption, asked, answer) =
                    (encryption.clone(), Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let ask = |question: Question| {
                        let reply = answer(&question);
                        asked
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(question);
                        reply
                    };
                    // A client that goes away is no concern of a mock's.
                    let _ = converse(tcp, encryption, ask).await;
                });
            }
        });
        Mock {
            port,
            asked,
            _runtime: runtime,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, without encryption.
    pub fn address(&self) -> Address {
        let mut address = Address::read(&self.connection_string()).expect("this is a connection string");
        address.password = Secret::new(PASSWORD);
        address
    }

    /// The same as a connection string.
    pub fn connection_string(&self) -> String {
        format!("mssql://{USER}:{PASSWORD}@127.0.0.1:{}?encrypt=false", self.port)
    }

    /// Everything that was asked so far, in the order of the answers.
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many statements were asked for that hold `part`.
    pub fn count(&self, part: &str) -> usize {
        self.asked()
            .iter()
            .filter(|q| matches!(q, Question::Sql { sql, .. } if sql.contains(part)))
            .count()
    }
}

async fn converse(
    mut tcp: TcpStream,
    encryption: Encryption,
    ask: impl Fn(Question) -> Reply,
) -> io::Result<()> {
    let asked = read_message(&mut tcp).await?;
    if asked.kind != PRELOGIN {
        return Ok(());
    }
    let wanted = prelogin_encryption(&asked.payload);
    match encryption {
        Encryption::Offered(config) if wanted == 1 => {
            write_message(&mut tcp, &prelogin(1)).await?;
            let mut tls = TlsAcceptor::from(config).accept(Wrapped::new(tcp)).await?;
            tls.get_mut().0.go_plain();
            session(tls, ask).await
        }
        // It demands what the client does not want, and closes.
        Encryption::Offered(_) => write_message(&mut tcp, &prelogin(3)).await,
        Encryption::None => {
            write_message(&mut tcp, &prelogin(2)).await?;
            session(tcp, ask).await
        }
    }
}

async fn session(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    ask: impl Fn(Question) -> Reply,
) -> io::Result<()> {
    let mut database = String::new();
    loop {
        let message = read_message(&mut stream).await?;
        let is_login = message.kind == LOGIN;
        let question = match message.kind {
            LOGIN => {
                let login = login(&message.payload);
                if let Question::Login { database: wanted, .. } = &login {
                    database.clone_from(wanted);
                }
                login
            }
            BATCH => Question::Sql {
                database: database.clone(),
                sql: utf16(behind_headers(&message.payload)),
            },
            RPC => Question::Sql {
                database: database.clone(),
                sql: rpc_statement(behind_headers(&message.payload)),
            },
            BULK => Question::Bulk,
            _ => return Ok(()),
        };
        let mut answer = Vec::new();
        match ask(question) {
            Reply::Done if is_login => {
                login_ack(&mut answer);
                done(&mut answer, 0, 0);
            }
            Reply::Done => done(&mut answer, 0x10, 0),
            Reply::Results(results) => {
                let last = results.len().saturating_sub(1);
                for (n, rows) in results.iter().enumerate() {
                    result(&mut answer, rows);
                    done(
                        &mut answer,
                        if n == last { 0x10 } else { 0x11 },
                        rows.len() as u64,
                    );
                }
            }
            Reply::Columns(kinds) => {
                columns(&mut answer, &kinds);
                done(&mut answer, 0x10, 0);
            }
            Reply::Error(number, text) => {
                error(&mut answer, number, &text);
                done(&mut answer, 0x02, 0);
            }
            Reply::Route(host, port) => {
                login_ack(&mut answer);
                route(&mut answer, &host, port);
                done(&mut answer, 0, 0);
            }
            Reply::Cut => {
                stream.write_all(&[ANSWER, 1, 1]).await?;
                return stream.shutdown().await;
            }
            Reply::Silence => std::future::pending().await,
        }
        write_message(&mut stream, &answer).await?;
    }
}

struct Message {
    kind: u8,
    payload: Vec<u8>,
}

async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let mut payload = Vec::new();
    loop {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let at = payload.len();
        payload.resize(at + length.saturating_sub(HEADER_BYTES), 0);
        stream.read_exact(&mut payload[at..]).await?;
        if header[1] & 1 != 0 {
            return Ok(Message {
                kind: header[0],
                payload,
            });
        }
    }
}

async fn write_message(stream: &mut (impl AsyncWrite + Unpin), payload: &[u8]) -> io::Result<()> {
    let mut parts = payload.chunks(PACKET_BYTES - HEADER_BYTES).peekable();
    while let Some(part) = parts.next() {
        let length = (part.len() + HEADER_BYTES) as u16;
        let mut packet = vec![ANSWER, u8::from(parts.peek().is_none())];
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 1, 0]);
        packet.extend_from_slice(part);
        stream.write_all(&packet).await?;
    }
    stream.flush().await
}

/// Version 16, the encryption, no instance, no thread, no MARS.
fn prelogin(encryption: u8) -> Vec<u8> {
    let options: [(u8, &[u8]); 5] = [
        (0, &[16, 0, 0, 0, 0, 0]),
        (1, &[encryption]),
        (2, &[0]),
        (3, &[]),
        (4, &[0]),
    ];
    let mut at = options.len() * 5 + 1;
    let (mut head, mut data) = (Vec::new(), Vec::new());
    for (token, value) in options {
        head.push(token);
        head.extend_from_slice(&(at as u16).to_be_bytes());
        head.extend_from_slice(&(value.len() as u16).to_be_bytes());
        data.extend_from_slice(value);
        at += value.len();
    }
    head.push(0xff);
    head.extend_from_slice(&data);
    head
}

/// What a client wants by its PRELOGIN: 0 to 3; 2 where it says nothing.
fn prelogin_encryption(payload: &[u8]) -> u8 {
    payload
        .chunks(5)
        .take_while(|option| option[0] != 0xff)
        .find(|option| option[0] == 1 && option.len() == 5)
        .and_then(|option| payload.get(usize::from(u16::from_be_bytes([option[1], option[2]]))))
        .copied()
        .unwrap_or(2)
}

fn login(payload: &[u8]) -> Question {
    // Offset and length in characters, in pairs, from byte 36 on.
    let field = |at: usize| -> Vec<u8> {
        let number = |at: usize| {
            usize::from(u16::from_le_bytes([
                payload.get(at).copied().unwrap_or_default(),
                payload.get(at + 1).copied().unwrap_or_default(),
            ]))
        };
        let from = number(at);
        payload
            .get(from..from + number(at + 2) * 2)
            .unwrap_or_default()
            .to_vec()
    };
    let password: Vec<u8> = field(44)
        .iter()
        .map(|byte| (byte ^ 0xa5).rotate_right(4))
        .collect();
    Question::Login {
        user: utf16(&field(40)),
        password: utf16(&password),
        database: utf16(&field(68)),
    }
}

fn behind_headers(payload: &[u8]) -> &[u8] {
    let length = payload
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    payload.get(length..).unwrap_or_default()
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16_lossy(&units)
}

/// The first parameter of `sp_executesql`: a short `nvarchar`, or one in parts.
fn rpc_statement(payload: &[u8]) -> String {
    // Procedure and flags; the parameter's name and status.
    let Some((name, rest)) = payload.get(6..).and_then(<[u8]>::split_first) else {
        return String::new();
    };
    let rest = rest.get(usize::from(*name) * 2 + 1..).unwrap_or_default();
    // Type, size, collation.
    let Some((&[_, low, high, _, _, _, _, _], value)) = rest.split_first_chunk::<8>() else {
        return String::new();
    };
    if (low, high) != (0xff, 0xff) {
        let Some((length, value)) = value.split_first_chunk() else {
            return String::new();
        };
        let length = usize::from(u16::from_le_bytes(*length));
        return utf16(value.get(..length).unwrap_or_default());
    }
    let mut rest = value.get(8..).unwrap_or_default();
    let mut whole = Vec::new();
    while let Some((length, value)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(part) = value.get(..length).filter(|part| !part.is_empty()) else {
            break;
        };
        whole.extend_from_slice(part);
        rest = &value[length..];
    }
    utf16(&whole)
}

fn put_utf16(out: &mut Vec<u8>, text: &str) {
    out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
}

/// A text behind its length in characters, of one byte.
fn put_short(out: &mut Vec<u8>, text: &str) {
    out.push(text.encode_utf16().count() as u8);
    put_utf16(out, text);
}

/// A text behind its length in characters, of two bytes.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.encode_utf16().count() as u16).to_le_bytes());
    put_utf16(out, text);
}

fn token(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(body.len() as u16).to_le_bytes());
    out.extend_from_slice(body);
}

fn login_ack(out: &mut Vec<u8>) {
    // T-SQL, TDS 7.4.
    let mut body = vec![1, 0x74, 0, 0, 4];
    put_short(&mut body, "mock");
    body.extend_from_slice(&[16, 0, 0, 0]);
    token(out, 0xad, &body);
}

fn route(out: &mut Vec<u8>, host: &str, port: u16) {
    let mut data = vec![0];
    data.extend_from_slice(&port.to_le_bytes());
    put_text(&mut data, host);
    let mut body = vec![20];
    body.extend_from_slice(&(data.len() as u16).to_le_bytes());
    body.extend_from_slice(&data);
    body.extend_from_slice(&[0, 0]);
    token(out, 0xe3, &body);
}

fn error(out: &mut Vec<u8>, number: u32, text: &str) {
    let mut body = number.to_le_bytes().to_vec();
    // State and class.
    body.extend_from_slice(&[1, 16]);
    put_text(&mut body, text);
    put_short(&mut body, "mock");
    put_short(&mut body, "");
    body.extend_from_slice(&1u32.to_le_bytes());
    token(out, 0xaa, &body);
}

fn done(out: &mut Vec<u8>, status: u16, count: u64) {
    out.push(0xfd);
    out.extend_from_slice(&status.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&count.to_le_bytes());
}

/// Column names are of no use to anybody here.
fn columns(out: &mut Vec<u8>, kinds: &[ColumnKind]) {
    out.push(0x81);
    out.extend_from_slice(&(kinds.len() as u16).to_le_bytes());
    for kind in kinds {
        // User type, and the flags: NULL is taken, and the column can be written.
        out.extend_from_slice(&[0, 0, 0, 0, 9, 0]);
        match kind {
            ColumnKind::Int => out.extend_from_slice(&[0x26, 4]),
            ColumnKind::BigInt => out.extend_from_slice(&[0x26, 8]),
            ColumnKind::Text => out.extend_from_slice(&[0xe7, 0xff, 0xff, 9, 4, 0xd0, 0, 0x34]),
            ColumnKind::DateTime2 => out.extend_from_slice(&[0x2a, 7]),
        }
        put_short(out, "");
    }
}

/// A result: its columns' types are what its first row has.
fn result(out: &mut Vec<u8>, rows: &[Vec<Cell>]) {
    let Some(first) = rows.first() else { return };
    let kinds: Vec<ColumnKind> = first
        .iter()
        .map(|cell| match cell {
            Cell::Integer(_) => ColumnKind::BigInt,
            Cell::Text(_) | Cell::Null => ColumnKind::Text,
        })
        .collect();
    columns(out, &kinds);
    for row in rows {
        out.push(0xd1);
        for (cell, kind) in row.iter().zip(&kinds) {
            match (cell, kind) {
                (Cell::Integer(x), _) => {
                    out.push(8);
                    out.extend_from_slice(&x.to_le_bytes());
                }
                (Cell::Text(text), _) => {
                    let mut bytes = Vec::new();
                    put_utf16(&mut bytes, text);
                    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                    if !bytes.is_empty() {
                        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                        out.extend_from_slice(&bytes);
                    }
                    out.extend_from_slice(&[0; 4]);
                }
                (Cell::Null, ColumnKind::BigInt) => out.push(0),
                (Cell::Null, _) => out.extend_from_slice(&[0xff; 8]),
            }
        }
    }
}

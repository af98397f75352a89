//! What really happens to one call's connection: a proxy for that call alone, on a port of its own.
//!
//! It sees bytes, encrypted or not, and goes by their number and by the ends of the connections. It waits for nothing but
//! those, and for a database's log to grow, so no verdict hangs on how fast the machine is: where a sender gives up, it does
//! so because it is told to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mirrorlab_simulator::endpoint::https::CALL_TIMEOUT_DEFAULT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What a call meets on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFault {
    /// Nobody listens.
    Refused,
    /// Reset before a byte has arrived.
    ResetBefore,
    /// Reset when half of the call has arrived.
    ResetHalfway,
    /// Half of the call arrives, and the sender gives up.
    Stalled,
    /// The call is done; reset before a byte of its answer arrives.
    AnswerLost,
    /// The call is done; half of its answer arrives, and the connection is closed.
    AnswerTruncated,
    /// The call is done, and the sender gives up before the answer arrives.
    AnswerLate,
    /// The server's process is killed. Only where the wire carries plain HTTP, so that the point is exact.
    Killed(KillPoint),
}

/// When the server's process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillPoint {
    /// Half of the call has arrived.
    Halfway,
    /// All of it has: the server is somewhere in its work.
    Working,
    /// The first byte of the answer has come: the work is done.
    Answering,
    /// So many thousandths of the call have arrived.
    Part(u16),
    /// The database's own log has come to so many bytes; or the first byte of the answer has come.
    Log(u64),
}

/// Kills the server's process, and returns when it is gone.
pub type Kill = Box<dyn FnOnce() + Send>;

/// How a process dies.
pub struct Death {
    /// Kills it.
    pub kill: Kill,
    /// The log of the mirror that it works on, for [`KillPoint::Log`].
    pub log: PathBuf,
}

impl Death {
    /// Of a call under which nobody dies.
    pub fn none() -> Death {
        Death {
            kill: Box::new(|| {}),
            log: PathBuf::new(),
        }
    }
}

/// A handshake and the head of a request have more bytes than this, so that this and half the body is never the whole.
const HEAD_BYTES_MIN: usize = 400;

/// How often a database's log is looked at: a server that works needs the processor too.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A proxy for one call.
pub struct OneCall {
    /// Where the call goes, on loopback.
    pub port: u16,
    /// Ends when the sender is to give up. Where it is not to, it never ends.
    pub patience: oneshot::Receiver<()>,
    work: Work,
}

enum Work {
    /// Holds a port on which nobody listens.
    Closed(TcpSocket),
    Passing(JoinHandle<io::Result<()>>),
}

impl OneCall {
    /// `death` is for [`WireFault::Killed`]. Stands before `target`, a host with its port, for a call with a body of `body_bytes`.
    ///
    /// # Errors
    /// Where loopback has no port left.
    pub fn new(
        runtime: &Handle,
        target: &str,
        fault: WireFault,
        body_bytes: usize,
        death: Death,
    ) -> io::Result<OneCall> {
        let (give_up, patience) = oneshot::channel();
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(loopback)?;
            let port = socket.local_addr()?.port();
            let work = if fault == WireFault::Refused {
                Work::Closed(socket)
            } else {
                let passing = Passing {
                    target: target.to_owned(),
                    fault,
                    halfway: HEAD_BYTES_MIN + body_bytes / 2,
                    give_up: Some(give_up),
                };
                let listener = socket.listen(1)?;
                Work::Passing(match fault {
                    WireFault::Killed(point) => tokio::spawn(passing.killing(listener, point, death)),
                    _ => tokio::spawn(passing.run(listener)),
                })
            };
            Ok(OneCall { port, patience, work })
        })
    }

    /// Waits until both connections have ended: the server is done with the call, or will never be.
    ///
    /// # Errors
    /// What went wrong that should not have.
    pub fn finish(self, runtime: &Handle) -> io::Result<()> {
        match self.work {
            Work::Closed(socket) => {
                drop(socket);
                Ok(())
            }
            Work::Passing(task) => runtime
                .block_on(task)
                .unwrap_or_else(|error| Err(io::Error::other(error))),
        }
    }
}

struct Passing {
    /// Host and port.
    target: String,
    fault: WireFault,
    /// So many bytes of the sender's are somewhere in the middle of its call.
    halfway: usize,
    give_up: Option<oneshot::Sender<()>>,
}

impl Passing {
    async fn run(mut self, listener: TcpListener) -> io::Result<()> {
        let (mut client, _) = listener.accept().await?;
        if self.fault == WireFault::ResetBefore {
            return reset(client);
        }
        let mut server = TcpStream::connect(&self.target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        if !self.pass_half(&mut client, &mut server).await? {
            // The server would not hear the sender out.
            return Ok(());
        }
        match self.fault {
            WireFault::ResetHalfway => {
                reset(client)?;
                return reset(server);
            }
            WireFault::Stalled => {
                self.give_up();
                drain(&mut client).await;
                return reset(server);
            }
            _ => {}
        }
        let answer = pass_rest(&mut client, &mut server).await?;
        match self.fault {
            WireFault::AnswerTruncated => {
                client.write_all(&answer[..answer.len() / 2]).await?;
                client.shutdown().await?;
                drain(&mut client).await;
                Ok(())
            }
            WireFault::AnswerLate => {
                self.give_up();
                drain(&mut client).await;
                Ok(())
            }
            _ => reset(client),
        }
    }

    /// Takes the whole call, passes as much as is to arrive, and has the server killed.
    async fn killing(self, listener: TcpListener, point: KillPoint, death: Death) -> io::Result<()> {
        let (mut client, _) = listener.accept().await?;
        let mut server = TcpStream::connect(&self.target).await?;
        server.set_nodelay(true)?;
        let call = whole_call(&mut client).await?;
        let arrives = match point {
            KillPoint::Halfway => call.len() / 2,
            KillPoint::Part(part) => call.len() * usize::from(part) / 1000,
            KillPoint::Working | KillPoint::Answering | KillPoint::Log(_) => call.len(),
        };
        server.write_all(&call[..arrives]).await?;
        match point {
            KillPoint::Answering => {
                let mut first = [0];
                server.read_exact(&mut first).await?;
            }
            KillPoint::Log(bytes) => watch(&death.log, bytes, &server, CALL_TIMEOUT_DEFAULT).await,
            KillPoint::Halfway | KillPoint::Working | KillPoint::Part(_) => {}
        }
        // It waits for the process's end, and nothing else here has to go on meanwhile.
        (death.kill)();
        reset(client)
    }

    fn give_up(&mut self) {
        if let Some(give_up) = self.give_up.take() {
            // A sender who has gone already needs not be told.
            let _ = give_up.send(());
        }
    }

    /// Passes bytes both ways until half of the call has arrived. `false`: one side ended first.
    async fn pass_half(&self, client: &mut TcpStream, server: &mut TcpStream) -> io::Result<bool> {
        let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        let mut passed = 0;
        while passed < self.halfway {
            let room = up.len().min(self.halfway - passed);
            tokio::select! {
                read = client.read(&mut up[..room]) => match read? {
                    0 => return Ok(false),
                    read => {
                        server.write_all(&up[..read]).await?;
                        passed += read;
                    }
                },
                read = server.read(&mut down) => match read? {
                    0 => return Ok(false),
                    read => client.write_all(&down[..read]).await?,
                },
            }
        }
        Ok(true)
    }
}

/// Returns once a log has come to so many bytes, or the server answers or ends; or after `limit`, since a sender gives up
/// then whom a server neither answers nor leaves.
async fn watch(log: &Path, bytes: u64, server: &TcpStream, limit: Duration) {
    let until = tokio::time::Instant::now() + limit;
    let mut first = [0];
    let reached = || std::fs::metadata(log).is_ok_and(|log| log.len() >= bytes);
    while !reached() && tokio::time::Instant::now() < until {
        match server.try_read(&mut first) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(LOOK_EVERY).await,
            _ => break,
        }
    }
}

/// A plain request, with its head.
async fn whole_call(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut call, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    let mut whole = None;
    while whole.is_none_or(|length| call.len() < length) {
        match client.read(&mut piece).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => call.extend_from_slice(&piece[..read]),
        }
        if whole.is_none()
            && let Some(end) = call.windows(4).position(|window| window == b"\r\n\r\n")
        {
            whole = Some(end + 4 + content_length(&call[..end]));
        }
    }
    Ok(call)
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head);
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok())
        .unwrap_or(0)
}

/// Whether an answer has all that its head promises. One without a length ends with its connection.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    if text
        .lines()
        .any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"))
    {
        return has_last_chunk(body);
    }
    text.lines().any(|line| line.starts_with("content-length:")) && body.len() >= content_length(head)
}

fn has_last_chunk(mut body: &[u8]) -> bool {
    loop {
        let Some(end) = body.windows(2).position(|window| window == b"\r\n") else {
            return false;
        };
        let size = String::from_utf8_lossy(&body[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            return false;
        };
        let rest = &body[end + 2..];
        if size == 0 {
            // Trailers may follow.
            return rest.starts_with(b"\r\n") || rest.windows(4).any(|window| window == b"\r\n\r\n");
        }
        match size.checked_add(2).and_then(|next| rest.get(next..)) {
            Some(next) => body = next,
            None => return false,
        }
    }
}

/// Passes the rest of the call, and keeps the answer back until it is whole: a server may leave the connection open although
/// it was asked to close it.
async fn pass_rest(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut answer = Vec::new();
    let mut sending = true;
    loop {
        tokio::select! {
            read = client.read(&mut up), if sending => match read? {
                // The sender has gone; a server whose answer has no length closes the connection then.
                0 => {
                    sending = false;
                    server.shutdown().await?;
                }
                read => server.write_all(&up[..read]).await?,
            },
            read = server.read(&mut down) => match read? {
                0 => return Ok(answer),
                read => {
                    answer.extend_from_slice(&down[..read]);
                    if is_whole(&answer) {
                        return Ok(answer);
                    }
                }
            },
        }
    }
}

/// Reads what comes until the other side has ended, however it ends.
async fn drain(stream: &mut TcpStream) {
    let mut waste = vec![0; 16 * 1024];
    while let Ok(1..) = stream.read(&mut waste).await {}
}

/// Ends a connection as a dying machine does: TCP RST, not FIN.
fn reset(stream: TcpStream) -> io::Result<()> {
    stream.set_zero_linger()
}

#[cfg(test)]
mod tests;

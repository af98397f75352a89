//! Runs the built program: to its end, or beside the test, listened to line by line.
//!
//! Nothing here sleeps: a test waits for a line, or for the end. Only where neither comes within [`PATIENCE`] it fails,
//! with everything that was said.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long a line, an end or a call is waited for: much longer than any takes, on any machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The program, to be run in `dir`, cut off from the terminal and from settings of the person who tests.
pub fn mirrorlab(dir: &Path, args: &[&str]) -> Command {
    quiet(Command::new(env!("CARGO_BIN_EXE_mirrorlab")), dir, args)
}

/// The same behind a shell's script, which runs it as `"$@"`.
pub fn mirrorlab_behind(script: &str, dir: &Path, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_mirrorlab")]);
    quiet(shell, dir, args)
}

fn quiet(mut command: Command, dir: &Path, args: &[&str]) -> Command {
    command
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .env("COLUMNS", "100")
        .env_remove("MIRRORLAB_LOG")
        .env_remove("CLICOLOR_FORCE");
    command
}

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it said on stderr.
    pub err: String,
}

impl Ended {
    /// Fails unless the program ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ended {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}stderr:\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// Runs the program to its end.
pub fn run(dir: &Path, args: &[&str]) -> Ended {
    Started::new(mirrorlab(dir, args)).end()
}

enum Said {
    Out(String),
    Err(String),
}

/// A program that runs beside the test. Dropped, it is killed.
pub struct Started {
    child: Child,
    lines: Receiver<Said>,
    out: String,
    err: String,
}

impl Started {
    /// Starts it.
    pub fn new(mut command: Command) -> Started {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = channel();
        listen(
            child.stdout.take().expect("it is piped"),
            sender.clone(),
            Said::Out,
        );
        listen(child.stderr.take().expect("it is piped"), sender, Said::Err);
        Started {
            child,
            lines,
            out: String::new(),
            err: String::new(),
        }
    }

    /// Waits for a line of either output that holds `text`, and gives it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.next_line() {
                Some(line) if line.contains(text) => return line,
                Some(_) => {}
                None => panic!(
                    "it ended without a word of `{text}`; stdout:\n{}stderr:\n{}",
                    self.out, self.err
                ),
            }
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        while self.next_line().is_some() {}
        // Both outputs are closed: it ends now, if it has not yet.
        let status = self.child.wait().expect("it can be waited for");
        Ended {
            code: status.code(),
            out: std::mem::take(&mut self.out),
            err: std::mem::take(&mut self.err),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as nothing can be done against.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
    }

    /// Sends it a signal: `TERM`, `INT`.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("there is a program `kill`");
        assert!(sent.success());
    }

    #[track_caller]
    fn next_line(&mut self) -> Option<String> {
        let (line, all) = match self.lines.recv_timeout(PATIENCE) {
            Ok(Said::Out(line)) => (line, &mut self.out),
            Ok(Said::Err(line)) => (line, &mut self.err),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("nothing more is said; stdout:\n{}stderr:\n{}", self.out, self.err)
            }
        };
        all.push_str(&line);
        all.push('\n');
        Some(line)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stream: impl Read + Send + 'static, to: Sender<Said>, said: fn(String) -> Said) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let line = line.expect("the program writes UTF-8");
            if to.send(said(line)).is_err() {
                break;
            }
        }
    });
}

/// A webhook, which holds a call for as long as the test likes.
pub struct Hook {
    address: String,
    calls: Receiver<TcpStream>,
}

impl Hook {
    /// Listens on loopback.
    pub fn new() -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (sender, calls) = channel();
        std::thread::spawn(move || {
            for call in listener.incoming().map_while(Result::ok) {
                if sender.send(call).is_err() {
                    break;
                }
            }
        });
        Hook { address, calls }
    }

    /// Where it is called.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits for the next call, which is held until [`Held::answer`].
    #[track_caller]
    pub fn next(&self) -> Held {
        Held(self.calls.recv_timeout(PATIENCE).expect("the webhook is called"))
    }
}

/// A call that waits for its answer.
pub struct Held(TcpStream);

impl Held {
    /// Lets it go on.
    pub fn answer(mut self) {
        // The request's end: headers, then as many bytes as they say.
        let mut reader = BufReader::new(&self.0);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a request");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(bytes) = line.strip_prefix("content-length:") {
                length = bytes.trim().parse().expect("a number");
            }
            if line.is_empty() {
                break;
            }
        }
        std::io::copy(&mut reader.take(length), &mut std::io::sink()).expect("a body");
        self.0
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .expect("whoever asked listens");
    }
}

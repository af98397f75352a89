//! `mirrorlab serve` as a child process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use mirrorlab::keyset;

use super::template::APPLICATION;

/// A running server. It can be killed from any thread, once.
#[derive(Clone)]
pub struct Server {
    child: Arc<Mutex<Child>>,
    pub address: SocketAddr,
}

impl Server {
    /// Starts it on mirrors in `mirrors` and waits until it says that it takes calls.
    pub fn start(keys: &Path, mirrors: &Path) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mirrorlab"))
            .args(["serve", "--plain-http", "--listen", "127.0.0.1:0", "--log", "off"])
            .args(["--application-id", APPLICATION])
            .arg("--trust")
            .arg(keys.join(keyset::TRUST_DIRECTORY))
            .arg("--application-key")
            .arg(keys.join(keyset::APPLICATION_KEY_XML))
            .arg("--mirrors")
            .arg(mirrors)
            .env_remove("MIRRORLAB_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it says where it listens");
        let address = line
            .split("://")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("the server said `{}`", line.trim()));
        Server {
            child: Arc::new(Mutex::new(child)),
            address,
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        // It may be dead already; then there is nothing to kill.
        let _ = child.kill();
        child.wait().expect("a child can be waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if Arc::strong_count(&self.child) == 1 {
            self.kill();
        }
    }
}

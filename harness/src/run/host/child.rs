//! The built-in server as a process of its own: `mirrorlab serve`, which can really be killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use mirrorlab_engines::private;
use mirrorlab_protocol::names::SERVICE_FILE;

use super::builtin::trusted_dir;
use super::way::Way;
use super::{ChildServer, Host, HostError, Running, ServerOptions};

/// The file of its key, in the world's directory.
const APPLICATION_KEY: &str = "application-private-key.pem";

/// A running server. It is killed when it goes.
pub(super) struct ChildProcess(Child);

impl ChildProcess {
    /// SIGKILL, and waits until the process is gone.
    pub(super) fn kill(&mut self) {
        // It may be dead already; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Host {
    /// Starts it and waits until it says where it takes calls.
    pub(super) fn start_child(&self, child: &ChildServer, options: ServerOptions) -> Result<Way, HostError> {
        let failed = |error: &dyn std::fmt::Display| HostError(error.to_string());
        let dir = &self.settings.dir;
        self.write_key()?;
        let mut command = Command::new(&child.program);
        command
            .args(["serve", "--plain-http", "--listen", "127.0.0.1:0", "--log", "off"])
            .args(["--application-id", &self.settings.keys.application_id])
            .arg("--trust")
            .arg(trusted_dir(dir))
            .arg("--application-key")
            .arg(dir.join(APPLICATION_KEY))
            .args(self.settings.mirrors()?.serve_flags())
            .env_remove("MIRRORLAB_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        if options.drop_guard {
            command.arg("--drop-guard");
        }
        if options.refuse_replays {
            command.arg("--refuse-replayed-nonces");
        }
        let started = command.spawn();
        let started = started.map_err(|error| failed(&format!("{}: {error}", child.program.display())))?;
        let mut process = ChildProcess(started);
        let mut said = String::new();
        if let Some(stdout) = process.0.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut said)
                .map_err(|e| failed(&e))?;
        }
        let port = port_of(&said).ok_or_else(|| {
            failed(&format!(
                "`mirrorlab serve` said `{}` and no address",
                said.trim()
            ))
        })?;
        self.runs(Running::Child(process));
        let url = format!("http://127.0.0.1:{port}/{SERVICE_FILE}");
        Way::new(self.settings.options(&url), &child.runtime).map_err(|e| failed(&e))
    }

    fn write_key(&self) -> Result<(), HostError> {
        let settings = &self.settings;
        let set = settings.key_set()?;
        let key = set.application_key.to_pem();
        let key = key.map_err(|error| HostError(error.to_string()))?;
        let path = settings.dir.join(APPLICATION_KEY);
        private::write(&path, key.as_bytes())
            .map_err(|error| HostError(format!("{}: {error}", path.display())))
    }
}

/// `listening on http://127.0.0.1:40123/MirroringClientService.svc`
fn port_of(said: &str) -> Option<u16> {
    let address = said.split("://").nth(1)?.split('/').next()?;
    address.rsplit(':').next()?.parse().ok()
}

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
        self.write_key()?;
        let started = self.child_command(child, options)?.spawn();
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

    fn child_command(&self, child: &ChildServer, options: ServerOptions) -> Result<Command, HostError> {
        let dir = &self.settings.dir;
        let mirrors = self.settings.mirrors()?;
        let mut command = Command::new(&child.program);
        command
            .args(["serve", "--plain-http", "--listen", "127.0.0.1:0", "--log", "off"])
            .args(["--application-id", &self.settings.keys.application_id])
            .arg("--trust")
            .arg(trusted_dir(dir))
            .arg("--application-key")
            .arg(dir.join(APPLICATION_KEY))
            .args(mirrors.serve_flags())
            .envs(mirrors.serve_environment())
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
        Ok(command)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mirrorlab_engines::mssql::testing::mock::{Cell, Mock, PASSWORD, Question, Reply};
    use mirrorlab_protocol::clock::SystemClock;

    use super::*;
    use crate::run::admin::RunAdmin;
    use crate::run::host::{HostSettings, Transport};
    use crate::run::keys::RunKeys;
    use crate::run::mirror::MirrorKind as _;
    use crate::run::mirror::mssql::MssqlDatabases;
    use crate::run::mssql::Databases;
    use crate::scenario::model::CertificateStrategy;

    /// The arguments of a server whose mirrors are on a SQL Server that was given so, and what its environment gets.
    fn told(mock: &Mock, given: &str) -> (String, Vec<(String, String)>) {
        let databases = Databases::connect(mock.address(), given, false).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mirrors = MssqlDatabases::new(databases).open(dir.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let host = Host::new(HostSettings {
            keys: RunKeys::fixed().unwrap(),
            dir: dir.path().to_owned(),
            clock: Arc::new(SystemClock),
            admin: Arc::new(RunAdmin::at(Arc::clone(&mirrors))),
            mirrors: Some(mirrors),
            transport: Transport::InProcess,
        })
        .unwrap();
        let child = ChildServer {
            program: "mirrorlab".into(),
            runtime: runtime.handle().clone(),
        };
        let options = ServerOptions {
            drop_guard: true,
            refuse_replays: true,
            certificates: CertificateStrategy::Directory,
            clock_skew: 0,
        };
        let command = host.child_command(&child, options).unwrap();
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let args: Vec<String> = command.get_args().map(text).collect();
        let environment = command
            .get_envs()
            .filter_map(|(name, value)| Some((text(name), text(value?))))
            .collect();
        (args.join(" "), environment)
    }

    #[test]
    fn no_password_stands_on_its_command_line() {
        let mock = Mock::start(|question| match question {
            Question::Sql { .. } => Reply::row(vec![
                Cell::Text("16.0".into()),
                Cell::Text("Microsoft SQL Server 2022".into()),
                Cell::Integer(3),
            ]),
            _ => Reply::Done,
        });
        let literal = mock.connection_string();
        let (args, environment) = told(&mock, &literal);
        assert!(
            args.contains("--sql-server env:MIRRORLAB_RUN_CONNECTION"),
            "{args}"
        );
        assert!(!args.contains(PASSWORD), "{args}");
        assert_eq!(environment, [("MIRRORLAB_RUN_CONNECTION".to_owned(), literal)]);
        for given in ["env:SQL", "@secret/file"] {
            let (args, environment) = told(&mock, given);
            assert!(args.contains(&format!("--sql-server {given} ")), "{args}");
            assert_eq!(environment, []);
        }
    }
}

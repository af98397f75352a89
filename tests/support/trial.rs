//! A trial as the README has it: keys, a server, a simulator, both from the built program.

#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::support::{Ended, Started, mirrorlab, run};

/// A directory with `keys` in it, and what else a test makes.
pub struct Trial {
    dir: TempDir,
}

impl Trial {
    /// Makes the keys by `keys new`.
    pub fn new() -> Trial {
        let dir = tempfile::tempdir().expect("a temporary directory");
        run(dir.path(), &["keys", "new", "keys"]).expect(0);
        Trial { dir }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The flags of a server with these keys.
    pub fn serve_args<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--application-id",
            "my-app",
            "--application-key",
            "keys/application-private-key.xml",
            "--trust",
            "keys/trust",
            "--mirrors",
            "mirrors",
            "--tls-cert",
            "keys/tls-certificate.pem",
            "--tls-key",
            "keys/tls-private-key.pem",
        ];
        args.extend(more);
        args
    }

    /// Starts a server, and gives its URL too.
    pub fn serve(&self, more: &[&str]) -> (Started, String) {
        listening(Started::new(mirrorlab(self.dir(), &self.serve_args(more))))
    }

    /// The flags by which any command finds a trial's server and is known to it.
    pub fn endpoint_args(url: &str) -> [&str; 8] {
        [
            "--endpoint",
            url,
            "--keys",
            "keys",
            "--ca",
            "keys/tls-ca.pem",
            "--application-id",
            "my-app",
        ]
    }

    /// The flags of a simulator with these keys, and sources that are kept.
    pub fn simulate_args<'a>(&self, url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let sources = ["--data", "data", "--seed", "7"];
        [&["simulate"], &Trial::endpoint_args(url)[..], &sources, more].concat()
    }

    /// Runs a simulator to its end.
    pub fn simulate(&self, url: &str, more: &[&str]) -> Ended {
        run(self.dir(), &self.simulate_args(url, more))
    }

    /// Compares a tenant's source with its mirror.
    pub fn compare(&self, tenant: &str) -> Ended {
        let (source, mirror) = (format!("data/{tenant}.db"), format!("mirrors/Mirror_{tenant}.db"));
        run(self.dir(), &["compare", &source, &mirror])
    }

    /// The names in a directory of the trial, sorted.
    pub fn listing(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(name))
            .expect("a directory")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }
}

/// Waits until a server listens.
pub fn listening(mut server: Started) -> (Started, String) {
    let line = server.wait_for("listening on ");
    let url = line.trim_start_matches("listening on ").to_owned();
    assert!(url.ends_with("/MirroringClientService.svc"), "{url}");
    (server, url)
}

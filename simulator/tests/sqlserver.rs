//! Sources on a SQL Server: the bodies that every source must pass.
//!
//! `MIRRORLAB_TEST_MSSQL=mssql://user:password@host:port` names a server; with the feature `sqlserver` one is started in a
//! container. Where there is neither, every test is shown as ignored, with the reason.
#![allow(
    clippy::unwrap_used,
    reason = "a test with a main of its own, so clippy takes its helpers for a program's"
)]

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use mirrorlab_engines::mssql::testing::{NoServer, Scratch, TestServer};
use mirrorlab_simulator::source::Source;
use mirrorlab_simulator::source::mssql::{Means, MssqlSource};
use mirrorlab_simulator::source::testing::{BODIES, Bench};

fn main() {
    let arguments = Arguments::from_args();
    let found = match arguments.list {
        true => Err(NoServer::Ignored(
            "not looked for: the tests are only listed".into(),
        )),
        false => TestServer::find().map(Arc::new),
    };
    if let Err(NoServer::Ignored(reason)) = &found {
        eprintln!("the tests on SQL Server are ignored: {reason}");
    }
    let trials = BODIES
        .iter()
        .map(|(name, body)| match &found {
            Ok(server) => {
                let server = Arc::clone(server);
                Trial::test(*name, move || {
                    body(&Database(server.scratch()));
                    Ok(())
                })
            }
            Err(NoServer::Ignored(reason)) => Trial::test(*name, || Ok(()))
                .with_kind(reason)
                .with_ignored_flag(true),
            Err(NoServer::Broken(why)) => {
                let why = why.clone();
                Trial::test(*name, move || Err(why.into()))
            }
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Its container goes with it.
    drop(found);
    conclusion.exit();
}

/// A database that is made by the first source on it.
struct Database(Scratch);

impl Bench for Database {
    fn open(&self) -> Box<dyn Source> {
        Box::new(MssqlSource::open(&self.0.server, &self.0.name).unwrap())
    }

    fn foreign(&self, sql: &str) {
        self.0.server.open(&self.0.name).unwrap().batch(sql).unwrap();
    }

    fn has_retention(&self) -> bool {
        Means::of(&self.0.server.capabilities().unwrap()).retention()
    }
}

//! The store on a SQL Server: the bodies that every store must pass, and what only several connections can show.
//!
//! `MIRRORLAB_TEST_MSSQL=mssql://user:password@host:port` names a server; with the feature `sqlserver` one is started in a
//! container. Where there is neither, every test is shown as ignored, with the reason.

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use mirrorlab_engines::mssql::testing::{NoServer, Scratch, TestServer};
use mirrorlab_server::store::mssql::{MssqlOptions, MssqlStore};
use mirrorlab_server::store::testing::{BODIES, Bench};
use mirrorlab_server::store::{MirrorPlace, MirrorStore};

fn main() {
    let arguments = Arguments::from_args();
    let found = if arguments.list {
        Err(NoServer::Ignored(
            "not looked for: the tests are only listed".into(),
        ))
    } else {
        TestServer::find().map(Arc::new)
    };
    if let Err(NoServer::Ignored(reason)) = &found {
        eprintln!("the tests on SQL Server are ignored: {reason}");
    }
    let trials = tests()
        .into_iter()
        .map(|(name, test)| match &found {
            Ok(server) => {
                let server = Arc::clone(server);
                Trial::test(name, move || {
                    test(&server);
                    Ok(())
                })
            }
            Err(NoServer::Ignored(reason)) => Trial::test(name, || Ok(()))
                .with_kind(reason)
                .with_ignored_flag(true),
            Err(NoServer::Broken(why)) => {
                let why = why.clone();
                Trial::test(name, move || Err(why.into()))
            }
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Its container goes with it.
    drop(found);
    conclusion.exit();
}

type Test = Box<dyn Fn(&TestServer) + Send>;

fn tests() -> Vec<(String, Test)> {
    BODIES
        .iter()
        .map(|(name, body)| {
            let test: Test = Box::new(move |server| body(&Mirror::new(server)));
            ((*name).to_owned(), test)
        })
        .collect()
}

/// A store, and a database of its own.
struct Mirror {
    scratch: Scratch,
    store: MssqlStore,
}

impl Mirror {
    fn new(server: &TestServer) -> Mirror {
        Mirror {
            scratch: server.scratch(),
            store: MssqlStore::new(server.address().clone(), MssqlOptions::default()),
        }
    }
}

impl Bench for Mirror {
    fn store(&self) -> &dyn MirrorStore {
        &self.store
    }

    fn place(&self) -> MirrorPlace {
        MirrorPlace::SqlServerDatabase(self.scratch.name.clone())
    }

    fn query(&self, sql: &str) -> Vec<String> {
        // What the bodies write in SQLite's words.
        let sql = sql
            .replace(" || ", " + ")
            .replace("hex(c)", "CONVERT(nvarchar(max), c, 2)");
        let mut client = self.scratch.server.open(&self.scratch.name).unwrap();
        let rows = client.rows(&sql, &[]).unwrap();
        rows.iter()
            .map(|row| {
                let values: Vec<String> = (0..row.len())
                    .map(|at| match (row.integer(at), row.text(at)) {
                        (Some(x), _) => x.to_string(),
                        (None, Some(x)) => x.to_owned(),
                        (None, None) => "NULL".into(),
                    })
                    .collect();
                values.join("|")
            })
            .collect()
    }

    fn execute(&self, sql: &str) {
        let mut client = self.scratch.server.open(&self.scratch.name).unwrap();
        client.batch(sql).unwrap();
    }
}

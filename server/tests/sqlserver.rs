//! The store on a SQL Server: the bodies that every store must pass, and what only a server can show.
//!
//! `MIRRORLAB_TEST_MSSQL=mssql://user:password@host:port` names a server; with the feature `sqlserver` one is started in a
//! container. Where there is neither, every test is shown as ignored, with the reason.
#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    clippy::print_stdout,
    reason = "a test with a main of its own, so clippy takes its helpers for a program's"
)]

mod sqlserver_cases;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use mirrorlab_engines::mssql::testing::{NoServer, Scratch, TestServer};
use mirrorlab_engines::mssql::{Address, Connection};
use mirrorlab_server::store::mssql::{MssqlOptions, MssqlStore};
use mirrorlab_server::store::testing::{BODIES, Bench, CONTEXT};
use mirrorlab_server::store::{MirrorPlace, MirrorStore, MirrorTransaction, StoreError};

fn main() {
    if std::env::var_os(sqlserver_cases::CHILD).is_some() {
        return sqlserver_cases::child();
    }
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
    let bodies = BODIES.iter().map(|(name, body)| {
        let test: Test = Box::new(move |server| body(&Mirror::new(server)));
        ((*name).to_owned(), test)
    });
    let cases = sqlserver_cases::CASES.iter().map(|(name, case)| {
        let test: Test = Box::new(case);
        ((*name).to_owned(), test)
    });
    bodies.chain(cases).collect()
}

/// A store, and the name of a database of its own.
struct Mirror {
    // Goes first: while it is connected, the database cannot be dropped.
    store: MssqlStore,
    scratch: Scratch,
}

impl Mirror {
    fn new(server: &TestServer) -> Mirror {
        Mirror::at(server, server.address().clone(), MssqlOptions::default())
    }

    fn at(server: &TestServer, address: Address, options: MssqlOptions) -> Mirror {
        Mirror {
            scratch: server.scratch(),
            store: MssqlStore::new(address, options),
        }
    }

    fn begin(&self) -> Result<Box<dyn MirrorTransaction + '_>, StoreError> {
        self.store.begin(CONTEXT, &self.place())
    }

    /// A connection that the store knows nothing of.
    fn client(&self) -> Connection {
        self.scratch.server.open(&self.scratch.name).unwrap()
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
        let rows = self.client().rows(&sql.replace(" || ", " + "), &[]).unwrap();
        rows.iter()
            .map(|row| {
                let values: Vec<String> = (0..row.len())
                    .map(|at| match (row.integer(at), row.text(at), row.bytes(at)) {
                        (Some(x), ..) => x.to_string(),
                        (_, Some(x), _) => x.to_owned(),
                        (.., Some(x)) => format!("{x:?}"),
                        _ => "NULL".into(),
                    })
                    .collect();
                values.join("|")
            })
            .collect()
    }

    fn execute(&self, sql: &str) {
        self.client().batch(sql).unwrap();
    }
}

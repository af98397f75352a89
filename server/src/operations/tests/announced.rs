//! What a partner is told outside of a call's transaction.

use std::time::Duration;

use super::*;
use crate::admin::{Announced, Announcement};

/// A partner who is told of everything, and meanwhile writes to the mirror himself, waiting for nobody.
struct Told {
    path: PathBuf,
    told: Mutex<Vec<String>>,
    /// Run in the mirror while being told.
    sql: Mutex<&'static str>,
    refuses: Mutex<bool>,
}

impl MirrorAdmin for Told {
    fn resolve_connection(&self, _: &str, _: Option<&str>) -> Result<MirrorPlace, AdminError> {
        Ok(MirrorPlace::SqliteFile(self.path.clone()))
    }

    fn announces(&self, _: Announced) -> bool {
        true
    }

    fn announce(
        &self,
        context: &str,
        state: Option<&str>,
        announcements: &[Announcement<'_>],
    ) -> Result<(), AdminError> {
        assert_eq!((context, state), ("Cust1", Some("state")));
        let mirror = Connection::open(&self.path).unwrap();
        mirror.busy_timeout(Duration::ZERO).unwrap();
        let sql = *self.sql.lock().unwrap();
        mirror
            .execute_batch(&format!("BEGIN IMMEDIATE; {sql}; COMMIT"))
            .expect("the mirror is free");
        let mut told = self.told.lock().unwrap();
        for announcement in announcements {
            told.push(match announcement {
                Announcement::Table { table, change } => format!("{table} {change:?}"),
                Announcement::Wipe { table } => {
                    let rows: i64 = mirror
                        .query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0))
                        .unwrap();
                    format!("wipe {table}, {rows} rows")
                }
                Announcement::Completed { changed } => format!("completed {}", changed.len()),
            });
        }
        if *self.refuses.lock().unwrap() {
            return Err(AdminError::new("the partner's reason"));
        }
        Ok(())
    }

    fn log_event(&self, _: &Event) {}
}

struct Announcing {
    partner: Arc<Told>,
    mirroring: Mirroring,
    _folder: tempfile::TempDir,
}

impl Announcing {
    fn new() -> Announcing {
        let folder = tempfile::tempdir().unwrap();
        let partner = Arc::new(Told {
            path: folder.path().join("Mirror_Cust1.db"),
            told: Mutex::default(),
            sql: Mutex::new(""),
            refuses: Mutex::new(false),
        });
        Announcing {
            mirroring: Mirroring {
                store: Arc::new(SqliteStore::default()),
                admin: partner.clone(),
                options: Options::default(),
            },
            partner,
            _folder: folder,
        }
    }

    fn run(&self, request: &Request<'_>) -> Response {
        self.mirroring.run("Cust1", request)
    }

    #[track_caller]
    fn succeed(&self, request: &Request<'_>) -> Vec<String> {
        assert_eq!(self.run(request).error, None);
        std::mem::take(&mut *self.partner.told.lock().unwrap())
    }

    fn ask(&self, sql: &str) -> i64 {
        let mirror = Connection::open(&self.partner.path).unwrap();
        mirror.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn rows() -> Request<'static> {
    row_data(&[batch(
        contact(),
        7,
        batch_of(&[("I", &["[I:1]", "one"]), ("I", &["[I:2]", "two"])]),
    )])
}

#[test]
fn a_partner_is_told_while_the_mirror_is_free_and_as_it_was() {
    let world = Announcing::new();
    assert_eq!(
        world.succeed(&schema(&[contact(), person()])),
        ["contact Created", "person Created"]
    );
    assert_eq!(
        world.succeed(&schema(&[contact(), person()])),
        [""; 0],
        "nothing changes"
    );
    world.succeed(&rows());
    assert_eq!(world.succeed(&wipe("CONTACT")), ["wipe contact, 2 rows"]);
    assert_eq!(world.ask("SELECT COUNT(*) FROM contact"), 0);
    assert_eq!(world.succeed(&completed()), ["completed 1"]);
}

#[test]
fn a_refusal_when_told_leaves_everything_as_it_was() {
    let world = Announcing::new();
    world.succeed(&schema(&[contact()]));
    world.succeed(&rows());
    *world.partner.refuses.lock().unwrap() = true;
    let said: Vec<String> = [schema(&[person()]), wipe("contact"), completed()]
        .iter()
        .map(|request| world.run(request).error.unwrap())
        .collect();
    insta::assert_snapshot!(said.join("\n"), @"
    Cust1, TableSchema: OnBeforeReplicateTable failed: the partner's reason; nothing of this call is kept
    Cust1, Wipe: OnWipe failed: the partner's reason; nothing of this call is kept
    Cust1, ReplicationCompleted: OnReplicationCompleted failed: the partner's reason; nothing of this call is kept
    ");
    assert_eq!(world.ask("SELECT COUNT(*) FROM contact"), 2);
    assert_eq!(world.ask("SELECT LSN FROM Cust1_mirroring"), 7);
}

#[test]
fn a_mirror_that_changes_while_a_partner_is_told_is_left_alone() {
    let world = Announcing::new();
    world.succeed(&schema(&[contact()]));
    *world.partner.sql.lock().unwrap() = "DROP TABLE contact";
    let said = world.run(&schema(&[contact(), person()])).error.unwrap();
    assert_eq!(
        said,
        "Cust1, TableSchema: the mirror was changed while the partner was told of its new schema; the next cycle does \
         it; nothing of this call is kept"
    );
    *world.partner.sql.lock().unwrap() = "";
    world.partner.told.lock().unwrap().clear();
    assert_eq!(
        world.succeed(&schema(&[contact(), person()])),
        ["contact Created", "person Created"]
    );
}

//! A mirror's database: its name, and which calls of this process are on it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::NAME_LENGTH_MAX;

use crate::store::{MirrorPlace, StoreError};

/// SQL Server's own databases.
const SYSTEM: [&str; 4] = ["master", "model", "msdb", "tempdb"];

/// The database of a place, if its name can be one.
pub(super) fn database_of(place: &MirrorPlace) -> Result<&str, StoreError> {
    let name = match place {
        MirrorPlace::SqlServerDatabase(name) => name,
        MirrorPlace::SqliteFile(path) => {
            return Err(StoreError::Open {
                mirror: path.display().to_string(),
                why: "it is a SQLite file, and this server keeps its mirrors in SQL Server".into(),
            });
        }
    };
    let length = name.encode_utf16().count();
    let why = if !(1..=NAME_LENGTH_MAX).contains(&length) {
        format!("a database's name has 1 to {NAME_LENGTH_MAX} characters, and this one has {length}")
    } else if name.chars().any(char::is_control) {
        "a database's name has no control characters".into()
    } else if name.trim() != name {
        "a database's name has no blanks at its ends".into()
    } else if SYSTEM.contains(&fold(name).as_str()) {
        "that database is SQL Server's own".into()
    } else {
        return Ok(name);
    };
    Err(StoreError::Open {
        mirror: mirrorlab_protocol::excerpt(name),
        why,
    })
}

/// What calls of this process hold of mirrors. The application locks in the database would keep them apart as well, but
/// each would occupy a connection while it waits.
#[derive(Debug, Default)]
pub(super) struct Places {
    held: Mutex<HashMap<String, Holders>>,
    freed: Condvar,
}

/// Who holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holders {
    /// One call, to itself.
    One,
    /// This many calls, together.
    Together(usize),
}

/// What a call wants to hold, each with whether it wants it to itself.
pub(super) type Wanted = Vec<(String, bool)>;

fn are_free(held: &HashMap<String, Holders>, wanted: &Wanted) -> bool {
    wanted.iter().all(|(key, whole)| match held.get(key) {
        None => true,
        Some(Holders::Together(_)) => !whole,
        Some(Holders::One) => false,
    })
}

impl Places {
    /// Waits until all that is wanted can be had, and has it at once, so that no two calls wait for each other; `None` when
    /// that takes longer than `wait`.
    pub(super) fn hold(&self, wanted: Wanted, wait: Duration) -> Option<Held<'_>> {
        let (mut held, _) = self
            .freed
            .wait_timeout_while(self.lock(), wait, |held| !are_free(held, &wanted))
            .unwrap_or_else(PoisonError::into_inner);
        if !are_free(&held, &wanted) {
            return None;
        }
        for (key, whole) in &wanted {
            let now = match held.get(key) {
                _ if *whole => Holders::One,
                Some(Holders::Together(count)) => Holders::Together(count + 1),
                _ => Holders::Together(1),
            };
            held.insert(key.clone(), now);
        }
        Some(Held {
            places: self,
            what: wanted,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Holders>> {
        // A panic while it is held leaves nothing half done: nothing in there panics.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this call holds.
#[derive(Debug)]
pub(super) struct Held<'s> {
    places: &'s Places,
    what: Wanted,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        for (key, _) in &self.what {
            if let Entry::Occupied(mut holders) = held.entry(key.clone()) {
                match holders.get_mut() {
                    Holders::Together(count) if *count > 1 => *count -= 1,
                    _ => drop(holders.remove()),
                }
            }
        }
        drop(held);
        self.places.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_together_and_alone() {
        let places = Places::default();
        let hold = |wanted: &[(&str, bool)]| {
            let wanted = wanted.iter().map(|(key, whole)| ((*key).to_owned(), *whole));
            places.hold(wanted.collect(), Duration::ZERO)
        };
        let one = hold(&[("t", false), ("t/a", true)]).unwrap();
        let two = hold(&[("t", false), ("t/b", true)]).unwrap();
        assert!(hold(&[("t", false), ("t/a", true)]).is_none());
        assert!(hold(&[("t", true)]).is_none());
        drop(one);
        assert!(hold(&[("t", true)]).is_none(), "one is left");
        drop(hold(&[("t", false), ("t/a", true)]).unwrap());
        drop(two);
        let all = hold(&[("t", true)]).unwrap();
        assert!(hold(&[("t", false)]).is_none());
        drop(all);
        assert!(places.lock().is_empty(), "nothing is left behind");
    }

    #[test]
    fn names_that_can_be_a_database() {
        let told = |name: &str| match database_of(&MirrorPlace::SqlServerDatabase(name.to_owned())) {
            Ok(name) => format!("ok {}", name.len()),
            Err(error) => error.to_string(),
        };
        assert_eq!(told("Mirror_Cust1"), "ok 12");
        assert_eq!(told(&"x".repeat(128)), "ok 128");
        assert!(
            told(&"x".repeat(129))
                .ends_with("a database's name has 1 to 128 characters, and this one has 129")
        );
        assert!(told("").ends_with("has 1 to 128 characters, and this one has 0"));
        assert_eq!(
            told("Tempdb"),
            "the mirror Tempdb cannot be opened: that database is SQL Server's own"
        );
        assert!(told("a\nb").contains("no control characters"));
        assert!(told(" a").contains("no blanks"));
        assert!(database_of(&MirrorPlace::SqliteFile("x.db".into())).is_err());
    }
}

//! A mirror's database: its name, and which calls of this process are on it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
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
///
/// Nobody passes one who waits for the same: a call that wants the tenant to itself has its turn, however many others share
/// it one after another.
#[derive(Debug, Default)]
pub(super) struct Places {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<String, Holders>,
    /// By the order in which they came.
    waiting: BTreeMap<u64, Wanted>,
    came: u64,
}

/// Who holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holders {
    /// One call, to itself.
    One,
    /// This many calls, together.
    Together(usize),
}

/// What a call wants to hold, each with whether it wants it to itself, in the keys' order.
pub(super) type Wanted = Vec<(String, bool)>;

/// Whether two calls cannot have what they want at the same time.
fn clash(one: &Wanted, another: &Wanted) -> bool {
    one.iter().any(|(key, whole)| {
        let both = another.binary_search_by(|(other, _)| other.cmp(key));
        both.is_ok_and(|at| *whole || another[at].1)
    })
}

impl State {
    /// Whether the call that came as this one can have all that it wants, without passing another.
    fn is_its_turn(&self, came: u64, wanted: &Wanted) -> bool {
        let is_free = wanted.iter().all(|(key, whole)| match self.held.get(key) {
            None => true,
            Some(Holders::Together(_)) => !whole,
            Some(Holders::One) => false,
        });
        is_free
            && !self
                .waiting
                .range(..came)
                .any(|(_, earlier)| clash(earlier, wanted))
    }
}

impl Places {
    /// Waits until all that is wanted can be had, and has it at once, so that no two calls wait for each other; `None` when
    /// that takes longer than `wait`.
    pub(super) fn hold(&self, mut wanted: Wanted, wait: Duration) -> Option<Held<'_>> {
        wanted.sort_unstable();
        let mut state = self.lock();
        state.came += 1;
        let came = state.came;
        if !state.is_its_turn(came, &wanted) {
            state.waiting.insert(came, wanted.clone());
            (state, _) = self
                .freed
                .wait_timeout_while(state, wait, |state| !state.is_its_turn(came, &wanted))
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting.remove(&came);
            if !state.is_its_turn(came, &wanted) {
                drop(state);
                // Those behind it may have waited for it alone.
                self.freed.notify_all();
                return None;
            }
        }
        for (key, whole) in &wanted {
            let now = match state.held.get(key) {
                _ if *whole => Holders::One,
                Some(Holders::Together(count)) => Holders::Together(count + 1),
                _ => Holders::Together(1),
            };
            state.held.insert(key.clone(), now);
        }
        Some(Held {
            places: self,
            what: wanted,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it is held leaves nothing half done: nothing in there panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut state = self.places.lock();
        for (key, _) in &self.what {
            if let Entry::Occupied(mut holders) = state.held.entry(key.clone()) {
                match holders.get_mut() {
                    Holders::Together(count) if *count > 1 => *count -= 1,
                    _ => drop(holders.remove()),
                }
            }
        }
        drop(state);
        self.places.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

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
        assert!(places.lock().held.is_empty(), "nothing is left behind");
        assert!(places.lock().waiting.is_empty(), "nobody waits");
    }

    #[test]
    fn nobody_passes_one_who_waits_for_the_same() {
        let places = Places::default();
        let wanted = |wanted: &[(&str, bool)]| -> Wanted {
            let wanted = wanted.iter().map(|(key, whole)| ((*key).to_owned(), *whole));
            wanted.collect()
        };
        let now = |what: &[(&str, bool)]| places.hold(wanted(what), Duration::ZERO);
        // Nobody's wait ends but by its turn.
        let long = Duration::from_secs(600);
        let waiting = |count: usize| {
            while places.lock().waiting.len() != count {
                thread::yield_now();
            }
        };
        let shared = now(&[("t", false), ("t/a", true)]).unwrap();
        thread::scope(|scope| {
            let alone = scope.spawn(|| places.hold(wanted(&[("t", true)]), long).map(drop));
            waiting(1);
            // It could have what it wants, but for the one who waits.
            assert!(now(&[("t", false), ("t/b", true)]).is_none());
            drop(now(&[("u", false), ("u/a", true)]).unwrap());
            let behind = scope.spawn(|| {
                let held = places.hold(wanted(&[("t", false), ("t/b", true)]), long);
                held.map(drop)
            });
            waiting(2);
            drop(shared);
            assert!(alone.join().unwrap().is_some());
            assert!(behind.join().unwrap().is_some());
        });
        assert!(places.lock().held.is_empty() && places.lock().waiting.is_empty());
    }

    #[test]
    fn one_who_gives_up_lets_those_behind_it_go_on() {
        let places = Places::default();
        let wanted = |whole: bool| vec![("t".to_owned(), whole)];
        let _shared = places.hold(wanted(false), Duration::ZERO).unwrap();
        thread::scope(|scope| {
            // As if one waited, in front of the next.
            places.lock().waiting.insert(0, wanted(true));
            let behind = scope.spawn(|| {
                let held = places.hold(wanted(false), Duration::from_secs(60));
                held.map(drop)
            });
            while places.lock().waiting.len() != 2 {
                thread::yield_now();
            }
            places.lock().waiting.remove(&0);
            // Another one comes and goes without having had its turn.
            assert!(places.hold(wanted(true), Duration::ZERO).is_none());
            assert!(behind.join().unwrap().is_some());
        });
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

//! A mirror's database: its name, and one call of this process at a time on it.

use std::collections::HashSet;
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

/// The mirrors that calls of this process hold. The application lock in the database would keep them apart as well, but
/// each would occupy a connection while it waits.
#[derive(Debug, Default)]
pub(super) struct Places {
    held: Mutex<HashSet<String>>,
    freed: Condvar,
}

impl Places {
    /// Waits until no other call holds `key`; `None` when that takes longer than `wait`.
    pub(super) fn hold(&self, key: &str, wait: Duration) -> Option<Held<'_>> {
        let (mut held, _) = self
            .freed
            .wait_timeout_while(self.lock(), wait, |held| held.contains(key))
            .unwrap_or_else(PoisonError::into_inner);
        held.insert(key.to_owned()).then(|| Held {
            places: self,
            key: key.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        // A set of names is whole whenever a panic leaves it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mirror that this call holds.
#[derive(Debug)]
pub(super) struct Held<'s> {
    places: &'s Places,
    key: String,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.places.lock().remove(&self.key);
        self.places.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

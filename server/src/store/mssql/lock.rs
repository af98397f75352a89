//! Who may work on a mirror at the same time, in this process and in every other.
//!
//! Application locks of SQL Server, in the mirror's database, which the call's transaction owns: they end with it, whatever
//! becomes of the process. A call that writes rows shares the tenant's lock and has its tables' locks to itself, taken in
//! one order by everybody, so that calls on other tables go on beside it. Whatever else a call does, to the schema or to all
//! tables, has the tenant's lock to itself.

use std::collections::BTreeSet;

use mirrorlab_engines::mssql::ddl::text_literal;
use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::NAME_LENGTH_MAX;

use crate::store::Scope;

/// So much of a lock's name SQL Server looks at.
const LOCK_NAME_MAX: usize = 255;
/// A call on more tables than this has the tenant to itself. A whole source has fewer; what a call may name has no end.
const TABLES_MAX: usize = 500;
/// What sp_getapplock answers where the lock was not free in time.
pub(super) const TIMEOUT: i64 = -1;
/// What sp_getapplock answers for the one that is to give way.
pub(super) const DEADLOCK: i64 = -3;

/// The locks that a call has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locks {
    /// The tenant's. No context has a blank: in one database no table's lock is a tenant's.
    tenant: String,
    /// Whether the call has the tenant to itself.
    whole: bool,
    /// Folded names, in the order in which they are taken.
    tables: BTreeSet<String>,
}

impl Locks {
    /// Those of a call. SQL Server keeps databases apart by itself, but not every engine that speaks its language does: so a
    /// name says the database too.
    pub(super) fn new(database: &str, context: &str, scope: Scope<'_>) -> Locks {
        let mut locked = BTreeSet::new();
        let mut whole = scope == Scope::Tenant;
        if let Scope::Tables(tables) = scope {
            for table in tables.iter().filter(|table| may_be_a_table(table)) {
                locked.insert(fold(table));
                if locked.len() > TABLES_MAX {
                    locked.clear();
                    whole = true;
                    break;
                }
            }
        }
        Locks {
            tenant: format!("mirrorlab {} {}", fold(database), fold(context)),
            whole,
            tables: locked,
        }
    }

    /// The tenant's lock, and the mode that the call has it in.
    pub(super) fn tenant(&self) -> (&str, &'static str) {
        (&self.tenant, if self.whole { "Exclusive" } else { "Shared" })
    }

    /// A table's. One that is too long is cut: it keeps more apart than it need, and never less.
    fn table(&self, folded: &str) -> String {
        cut(format!("{} {folded}", self.tenant))
    }

    /// Every lock with whether the call has it to itself.
    pub(super) fn all(&self) -> Vec<(String, bool)> {
        let tables = self.tables.iter().map(|table| (self.table(table), true));
        [(self.tenant.clone(), self.whole)]
            .into_iter()
            .chain(tables)
            .collect()
    }

    /// Statements that take them all, one after another, within `wait_ms` together; `@got` is below 0 where one was not to
    /// be had.
    pub(super) fn take(&self, wait_ms: u128) -> String {
        let mut sql = "DECLARE @got int; ".to_owned();
        let all = self.all();
        if all.len() > 1 {
            sql.push_str("DECLARE @begun datetime, @left int; SET @begun = GETDATE(); ");
        }
        for (n, (lock, whole)) in all.iter().enumerate() {
            if n == 0 {
                sql.push_str(&take(lock, *whole, &wait_ms.to_string()));
                continue;
            }
            // Below 0 would be for ever.
            sql.push_str(&format!(
                "SET @left = {wait_ms} - DATEDIFF(millisecond, @begun, GETDATE()); IF @left < 0 SET @left = 0; \
                 IF @got >= 0 {}",
                take(lock, *whole, "@left")
            ));
        }
        sql
    }

    /// The statement that takes what a call on `table` lacks, and it counts as taken; `None` where nothing is lacking.
    pub(super) fn take_table(&mut self, table: &str, wait_ms: u128) -> Option<String> {
        let folded = fold(table);
        if self.whole || self.tables.contains(&folded) {
            return None;
        }
        let sql = take(&self.table(&folded), true, &wait_ms.to_string());
        self.tables.insert(folded);
        Some(format!("DECLARE @got int; {sql}SELECT @got"))
    }

    /// The same for a call on the whole tenant.
    pub(super) fn take_tenant(&mut self, wait_ms: u128) -> Option<String> {
        if self.whole {
            return None;
        }
        self.whole = true;
        let sql = take(&self.tenant, true, &wait_ms.to_string());
        Some(format!("DECLARE @got int; {sql}SELECT @got"))
    }
}

/// Whether a mirror can have a table of that name. Names come from the wire, of any length and with anything in them; what
/// is none here is refused later, and were it the same as a table's after all, its lock would be taken then.
fn may_be_a_table(name: &str) -> bool {
    name.encode_utf16().nth(NAME_LENGTH_MAX).is_none() && !name.contains('\0')
}

/// The beginning of a lock's name, as far as the engine looks.
fn cut(mut name: String) -> String {
    let mut length = 0;
    let end = name.char_indices().find_map(|(at, c)| {
        length += c.len_utf16();
        (length > LOCK_NAME_MAX).then_some(at)
    });
    if let Some(end) = end {
        name.truncate(end);
    }
    name
}

fn take(lock: &str, whole: bool, wait_ms: &str) -> String {
    let mode = if whole { "Exclusive" } else { "Shared" };
    format!(
        "EXEC @got = sp_getapplock @Resource = {}, @LockMode = '{mode}', @LockOwner = 'Transaction', \
         @LockTimeout = {wait_ms}; ",
        text_literal(lock)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_share_the_tenant_and_take_their_tables_in_one_order() {
        let names = |scope: Scope<'_>| -> Vec<String> {
            let mark = |whole: bool| if whole { "x" } else { "s" };
            let all = Locks::new("Mirror", "Cust1", scope).all();
            all.iter()
                .map(|(lock, whole)| format!("{lock}:{}", mark(*whole)))
                .collect()
        };
        assert_eq!(names(Scope::Tenant), ["mirrorlab mirror cust1:x"]);
        assert_eq!(
            names(Scope::Tables(&["Person", "contact", "PERSON"])),
            [
                "mirrorlab mirror cust1:s",
                "mirrorlab mirror cust1 contact:x",
                "mirrorlab mirror cust1 person:x"
            ]
        );
    }

    #[test]
    fn a_name_is_as_long_as_the_engine_looks() {
        let longest = |database: usize| {
            let table = "æ".repeat(128);
            let locks = Locks::new(&"d".repeat(database), &"c".repeat(64), Scope::Tables(&[&table]));
            let all = locks.all();
            (all[0].0.len(), all[1].0.chars().count())
        };
        assert_eq!(longest(10), (85, 214));
        assert_eq!(longest(128), (203, 255));
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(cut("a".repeat(255)), "a".repeat(255));
        assert_eq!(cut("a".repeat(256)), "a".repeat(255));
        // Each is two units: the last one would be half in.
        assert_eq!(cut("\u{1F600}".repeat(200)), "\u{1F600}".repeat(127));
        assert_eq!(cut(format!("a{}", "\u{1F600}".repeat(200))).chars().count(), 128);
        // Counting it anew for every character that goes would take hours.
        assert_eq!(cut("æ".repeat(1_000_000)), "æ".repeat(255));
    }

    #[test]
    fn what_can_be_no_table_has_no_lock() {
        let tables = |names: &[&str]| Locks::new("Mirror", "Cust1", Scope::Tables(names)).tables;
        let (longest, long, huge) = ("x".repeat(128), "x".repeat(129), "æ".repeat(1_000_000));
        let (half, whole) = ("\u{1F600}".repeat(64), "\u{1F600}".repeat(65));
        assert_eq!(
            tables(&[&huge, &longest, &long, "a\0", "\0", &half, &whole, "contact"]),
            BTreeSet::from(["contact".to_owned(), longest.clone(), half.clone()])
        );
        let mut locks = Locks::new("Mirror", "Cust1", Scope::Tables(&[&huge]));
        assert_eq!(locks.all(), [("mirrorlab mirror cust1".to_owned(), false)]);
        // Letters that fold to a longer name than they are: the lock is there, be it taken late.
        let short = "İ".repeat(100);
        assert!(locks.take_table(&short, 5).is_some());
        assert_eq!(locks.take_table(&fold(&short), 5), None);
    }

    #[test]
    fn very_many_tables_are_the_whole_tenant() {
        let names: Vec<String> = (0..=TABLES_MAX).map(|n| format!("t{n}")).collect();
        let locks = |count: usize| {
            // Twice each: a name that comes again is no other table.
            let named: Vec<&str> = names[..count]
                .iter()
                .chain(&names[..count])
                .map(String::as_str)
                .collect();
            Locks::new("Mirror", "Cust1", Scope::Tables(&named)).all()
        };
        let most = locks(TABLES_MAX);
        assert_eq!((most.len(), most[0].1), (1 + TABLES_MAX, false));
        assert_eq!(
            locks(TABLES_MAX + 1),
            [("mirrorlab mirror cust1".to_owned(), true)]
        );
    }

    #[test]
    fn what_is_lacking_is_taken_once() {
        let mut locks = Locks::new("Mirror", "Cust1", Scope::Tables(&["contact"]));
        assert_eq!(locks.take_table("Contact", 5), None);
        let sql = locks.take_table("person", 5).unwrap();
        assert!(
            sql.contains("N'mirrorlab mirror cust1 person', @LockMode = 'Exclusive'"),
            "{sql}"
        );
        assert_eq!(locks.take_table("person", 5), None);
        assert_eq!(locks.tenant().1, "Shared");
        let sql = locks.take_tenant(5).unwrap();
        assert!(
            sql.contains("N'mirrorlab mirror cust1', @LockMode = 'Exclusive'"),
            "{sql}"
        );
        assert_eq!(locks.tenant().1, "Exclusive");
        assert_eq!(locks.take_tenant(5), None);
        assert_eq!(locks.take_table("category", 5), None);
    }
}

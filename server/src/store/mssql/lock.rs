//! Who may work on a mirror at the same time, in this process and in every other.
//!
//! Application locks of SQL Server, in the mirror's database, which the call's transaction owns: they end with it, whatever
//! becomes of the process. A call that writes rows shares the tenant's lock and has its tables' locks to itself, taken in
//! one order by everybody, so that calls on other tables go on beside it. Whatever else a call does, to the schema or to all
//! tables, has the tenant's lock to itself.

use std::collections::BTreeSet;

use mirrorlab_engines::mssql::ddl::text_literal;
use mirrorlab_protocol::names::fold;

use crate::store::Scope;

/// So much of a lock's name SQL Server looks at.
const NAME_LENGTH_MAX: usize = 255;
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
        let (whole, tables) = match scope {
            Scope::Tenant => (true, BTreeSet::new()),
            Scope::Tables(tables) => (false, tables.iter().map(|table| fold(table)).collect()),
        };
        Locks {
            tenant: format!("mirrorlab {} {}", fold(database), fold(context)),
            whole,
            tables,
        }
    }

    /// The tenant's lock, and the mode that the call has it in.
    pub(super) fn tenant(&self) -> (&str, &'static str) {
        (&self.tenant, if self.whole { "Exclusive" } else { "Shared" })
    }

    /// A table's. One that is too long is cut: it keeps more apart than it need, and never less.
    fn table(&self, folded: &str) -> String {
        let mut name = format!("{} {folded}", self.tenant);
        while name.encode_utf16().count() > NAME_LENGTH_MAX {
            name.pop();
        }
        name
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

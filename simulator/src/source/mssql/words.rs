//! What scenarios say in words that T-SQL has no statement for: a table or a column that is renamed. SQLite, PostgreSQL and
//! MySQL have `ALTER TABLE … RENAME`; SQL Server has a procedure of its own.

use std::borrow::Cow;

use mirrorlab_engines::mssql::ddl::text_literal;
use mirrorlab_engines::mssql::quote;

/// A script in T-SQL, and what it renames.
pub(super) struct Said<'s> {
    pub sql: Cow<'s, str>,
    pub renames: Vec<Rename>,
}

/// `ALTER TABLE table RENAME TO new`, or with `column`, `ALTER TABLE table RENAME COLUMN column TO new`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rename {
    pub table: String,
    pub column: Option<String>,
    pub new: String,
}

/// Says a script's renames in T-SQL. Whatever else is in it stays as it is.
pub(super) fn in_t_sql(sql: &str) -> Said<'_> {
    let pieces = statements(sql);
    let renames: Vec<Option<Rename>> = pieces.iter().map(|piece| rename(piece)).collect();
    if renames.iter().all(Option::is_none) {
        return Said {
            sql: Cow::Borrowed(sql),
            renames: Vec::new(),
        };
    }
    let said: Vec<String> = pieces
        .iter()
        .zip(&renames)
        .map(|(piece, rename)| match rename {
            Some(rename) => format!(" {}", rename.in_t_sql()),
            None => (*piece).to_owned(),
        })
        .collect();
    Said {
        sql: Cow::Owned(said.join(";")),
        renames: renames.into_iter().flatten().collect(),
    }
}

impl Rename {
    fn in_t_sql(&self) -> String {
        let table = quote(&self.table);
        let (what, kind) = match &self.column {
            None => (table, "OBJECT"),
            Some(column) => (format!("{table}.{}", quote(column)), "COLUMN"),
        };
        format!(
            "EXEC sp_rename {}, {}, N'{kind}'",
            text_literal(&what),
            text_literal(&self.new)
        )
    }
}

/// What stands between semicolons that are in no quotes and no comment.
fn statements(sql: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(sign) = sql[at..].chars().next() {
        let rest = &sql[at + sign.len_utf8()..];
        let passed = |end: Option<usize>, width: usize| end.map_or(rest.len(), |end| end + width);
        at += sign.len_utf8();
        match sign {
            // A doubled one closes and opens again.
            '\'' | '"' | '`' => at += passed(rest.find(sign), 1),
            '[' => at += passed(rest.find(']'), 1),
            '-' if rest.starts_with('-') => at += passed(rest.find('\n'), 1),
            '/' if rest.starts_with('*') => at += passed(rest.find("*/"), 2),
            ';' => {
                pieces.push(&sql[from..at - 1]);
                from = at;
            }
            _ => {}
        }
    }
    pieces.push(&sql[from..]);
    pieces
}

/// The rename that a statement is, if it is one and nothing else.
fn rename(statement: &str) -> Option<Rename> {
    let mut rest = statement;
    word(&mut rest, "alter")?;
    word(&mut rest, "table")?;
    let table = name(&mut rest)?;
    word(&mut rest, "rename")?;
    let column = match word(&mut rest, "to") {
        Some(()) => None,
        None => {
            // The word may be left out.
            let _ = word(&mut rest, "column");
            let column = name(&mut rest)?;
            word(&mut rest, "to")?;
            Some(column)
        }
    };
    let new = name(&mut rest)?;
    rest.trim().is_empty().then_some(Rename { table, column, new })
}

/// Takes a word off, if it comes next.
fn word(rest: &mut &str, wanted: &str) -> Option<()> {
    let text = rest.trim_start();
    let (head, tail) = text.split_at_checked(wanted.len())?;
    let ends = !tail.starts_with(is_of_a_name);
    (head.eq_ignore_ascii_case(wanted) && ends).then(|| *rest = tail)
}

/// Takes a name off, quoted or not.
fn name(rest: &mut &str) -> Option<String> {
    let text = rest.trim_start();
    let close = match text.chars().next()? {
        '[' => ']',
        quote @ ('"' | '`') => quote,
        _ => {
            let end = text.find(|c| !is_of_a_name(c)).unwrap_or(text.len());
            let (name, tail) = text.split_at(end);
            *rest = tail;
            return (!name.is_empty()).then(|| name.to_owned());
        }
    };
    let mut name = String::new();
    let mut inside = text[1..].chars();
    while let Some(sign) = inside.next() {
        if sign == close {
            match inside.as_str().strip_prefix(close) {
                // Doubled.
                Some(after) => inside = after.chars(),
                None => {
                    *rest = inside.as_str();
                    return Some(name);
                }
            }
        }
        name.push(sign);
    }
    None
}

fn is_of_a_name(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '$' | '#' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_are_said_in_t_sql() {
        for (sql, said) in [
            (
                "alter table y_a rename to y_b;\nALTER TABLE [y_b] RENAME TO \"Y_A\" ;",
                " EXEC sp_rename N'[y_a]', N'y_b', N'OBJECT'; EXEC sp_rename N'[y_b]', N'Y_A', N'OBJECT';",
            ),
            (
                "update t set x = 'a;b' where y = '';alter table `a]``'b` rename column x to X",
                "update t set x = 'a;b' where y = ''; EXEC sp_rename N'[a]]`''b].[x]', N'X', N'COLUMN'",
            ),
            (
                "alter table t rename x to y",
                " EXEC sp_rename N'[t].[x]', N'y', N'COLUMN'",
            ),
        ] {
            assert_eq!(in_t_sql(sql).sql, said);
        }
        let renames = in_t_sql("alter table a rename to b; alter table b rename c to d").renames;
        let rename = |table: &str, column: Option<&str>, new: &str| Rename {
            table: table.into(),
            column: column.map(str::to_owned),
            new: new.into(),
        };
        assert_eq!(renames, [rename("a", None, "b"), rename("b", Some("c"), "d")]);
    }

    #[test]
    fn whatever_else_it_is_stays() {
        for sql in [
            "",
            "update t set x = 'alter table a rename to b'",
            "-- alter table a rename to b; alter table a\n rename to b",
            "/* alter table a rename to b; */ select 1",
            "alter table a renamed to b",
            "alter table a rename to b c",
            "alter table [a rename to b",
            "select [a;alter table a rename to b] from t",
            "altertable a rename to b",
        ] {
            let said = in_t_sql(sql);
            assert!(matches!(said.sql, Cow::Borrowed(same) if same == sql), "{sql}");
            assert!(said.renames.is_empty());
        }
    }
}

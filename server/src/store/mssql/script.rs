//! Partners' own statements, inside the call's transaction.

use mirrorlab_engines::mssql::ddl::text_literal;
use mirrorlab_engines::mssql::{Connection, MssqlError};

pub(super) const DOING: &str = "run the partner's statements";

pub(super) enum ScriptError {
    Engine(MssqlError),
    /// It ended the transaction, or opened one, or left the database.
    NotForScripts,
}

/// Runs a script, in the pieces that lines of `GO` part it into.
///
/// It runs one level deeper than the call's transaction: a COMMIT in it then commits nothing, a ROLLBACK undoes the whole
/// call, and either is seen afterwards by the count of open transactions and by who owns the call's lock.
pub(super) fn run(
    connection: &mut Connection,
    database: &str,
    (lock, mode): (&str, &str),
    script: &str,
) -> Result<(), ScriptError> {
    connection
        .batch("BEGIN TRANSACTION")
        .map_err(ScriptError::Engine)?;
    for piece in pieces(script) {
        connection.batch(&piece).map_err(ScriptError::Engine)?;
        let state = format!(
            "SELECT CASE WHEN @@TRANCOUNT = 2 AND DB_NAME() = {} \
             AND APPLOCK_MODE('public', {}, 'Transaction') = '{mode}' THEN 1 ELSE 0 END",
            text_literal(database),
            text_literal(lock)
        );
        let state = connection.row(&state, &[]).map_err(ScriptError::Engine)?;
        if state.and_then(|row| row.integer(0)) != Some(1) {
            return Err(ScriptError::NotForScripts);
        }
    }
    connection
        .batch("COMMIT TRANSACTION")
        .map_err(ScriptError::Engine)
}

/// What stands between lines that are `GO` alone, as SQL Server's own tools part a script. Empty pieces are left out.
fn pieces(script: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in script.lines() {
        if line
            .trim()
            .trim_end_matches(';')
            .trim_end()
            .eq_ignore_ascii_case("go")
        {
            pieces.push(String::new());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push_str(line);
            piece.push('\n');
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_go_part_a_script() {
        assert_eq!(
            pieces("CREATE VIEW v AS\r\nSELECT 1\r\n  go \r\n\r\nGO\r\nSELECT 'GO'\nSELECT 2 -- go"),
            ["CREATE VIEW v AS\nSELECT 1\n", "SELECT 'GO'\nSELECT 2 -- go\n"]
        );
        assert_eq!(pieces(" \n"), [""; 0]);
    }
}

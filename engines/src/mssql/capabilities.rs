//! What an engine can do, found out by asking it.
//!
//! SQL Server can do all of this. Other engines that speak T-SQL over TDS lack some: what needs it takes another way there,
//! or is skipped with the missing capability as its reason.

use super::connection::Connection;
use super::error::MssqlError;

/// What the engine behind a connection can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// `SERVERPROPERTY('ProductVersion')`: `16.0.1000.6`.
    pub version: String,
    /// The engine's name, the first line of `@@VERSION`.
    pub engine: String,
    /// Whether it is SQL Server itself, or Azure SQL.
    pub sql_server: bool,
    /// Whether it is Azure SQL Database, which has no BACKUP and no USE.
    pub azure: bool,
    /// `ALTER DATABASE … SET CHANGE_TRACKING` and `CHANGETABLE`.
    pub change_tracking: bool,
    /// `BACKUP DATABASE` and `RESTORE DATABASE`.
    pub backup: bool,
    /// `ALTER COLUMN … NULL` and `NOT NULL`.
    pub alter_nullability: bool,
    /// Constraints that are found under the name they were given, and can be dropped by it.
    pub named_constraints: bool,
    /// Seven digits of a second.
    pub ticks: bool,
    /// U+0000 in texts.
    pub nul: bool,
    /// Bulk loads.
    pub bulk: bool,
}

impl Capabilities {
    /// Asks the engine. Nothing is left behind.
    ///
    /// # Errors
    /// [`MssqlError`] where it cannot even be asked.
    pub fn find(connection: &mut Connection) -> Result<Capabilities, MssqlError> {
        let row = connection.row(
            "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), CAST(@@VERSION AS nvarchar(max)), \
             CAST(SERVERPROPERTY('EngineEdition') AS int)",
            &[],
        )?;
        let text = |at: usize| {
            let row = row.as_ref()?;
            row.text(at)
                .map(|t| t.lines().next().unwrap_or_default().trim().to_owned())
        };
        let engine = text(1).unwrap_or_default();
        let sql_server = engine.starts_with("Microsoft ");
        // 5: Azure SQL Database, 6 and 11: Synapse, 8: Managed Instance, whose backups go to URLs only.
        let edition = row.as_ref().and_then(|r| r.integer(2)).unwrap_or_default();
        Ok(Capabilities {
            version: text(0).unwrap_or_default(),
            sql_server,
            azure: sql_server && edition == 5,
            change_tracking: sql_server,
            backup: sql_server && !matches!(edition, 5 | 6 | 8 | 11),
            alter_nullability: sql_server,
            named_constraints: sql_server,
            ticks: sql_server || keeps_ticks(connection),
            nul: sql_server || keeps_nul(connection),
            bulk: sql_server || bulk_works(connection)?,
            engine,
        })
    }
}

/// Has a time with seven digits compared with itself without the last.
fn keeps_ticks(connection: &mut Connection) -> bool {
    let differ = connection.row(
        "SELECT CASE WHEN CAST(N'00:00:00.0000001' AS time(7)) = CAST(N'00:00:00' AS time(7)) THEN 0 ELSE 1 END",
        &[],
    );
    differ.is_ok_and(|row| row.and_then(|row| row.integer(0)) == Some(1))
}

/// Sends a text with U+0000 and has it measured.
fn keeps_nul(connection: &mut Connection) -> bool {
    let measured = connection.row("SELECT LEN(@P1)", &[super::value::Param::text("a\0b")]);
    measured.is_ok_and(|row| row.and_then(|row| row.integer(0)) == Some(3))
}

/// Loads two rows into a temporary table and looks at them. On an engine that is not SQL Server the connection may be of no
/// further use after it.
fn bulk_works(connection: &mut Connection) -> Result<bool, MssqlError> {
    use super::value::Param;
    connection.batch("CREATE TABLE #mirrorlab_probe (a int NULL, b nvarchar(20) NULL)")?;
    let rows = [(1, "é"), (2, "")];
    let mut rows = rows
        .iter()
        .map(|(a, b)| vec![Param(tiberius::ColumnData::I32(Some(*a))), Param::text(*b)]);
    let loaded = connection.bulk("#mirrorlab_probe", &["[a]", "[b]"], &mut rows);
    if let Err(error) = loaded {
        tracing::info!(%error, "this engine takes no bulk loads; rows go in statements");
        return Ok(false);
    }
    let sum = connection.row(
        "SELECT SUM(a), COUNT(b) FROM #mirrorlab_probe WHERE b IN (N'é', N''); DROP TABLE #mirrorlab_probe",
        &[],
    )?;
    Ok(sum.is_some_and(|row| row.integer(0) == Some(3) && row.integer(1) == Some(2)))
}

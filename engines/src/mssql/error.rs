//! What can go wrong with a SQL Server, told apart by what to do about it.

use std::io;

use super::address::Address;
use super::tunnel::TunnelError;

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing answers at host and port, or what answers is no SQL Server.
    Unreachable,
    /// No encrypted connection could be agreed on.
    Tls,
    /// User or password is wrong, or the login may not log in.
    Login,
    /// The database is not there, or the login may not enter it.
    NoDatabase,
    /// The login may not do this.
    NoPermission,
    /// The database's disk, log or size limit is full.
    Full,
    /// Chosen as a deadlock's victim: its transaction is rolled back, another try may go through.
    Deadlock,
    /// Another session holds a lock for longer than was waited.
    LockTimeout,
    /// Over by itself soon: the server is moved, throttled, out of memory for the moment (Azure SQL's list, doc).
    Transient,
    /// The answer took longer than the time limit.
    Timeout,
    /// The connection broke.
    Lost,
    /// A key that is there already.
    Duplicate,
    /// Something of that name is there already.
    Exists,
    /// The engine speaks T-SQL but does not know this part of it.
    Unsupported,
    /// Anything else that the server says no to.
    Refused,
}

impl Kind {
    /// Whether the same work, begun anew, may well go through.
    pub fn may_pass(self) -> bool {
        matches!(self, Kind::Deadlock | Kind::Transient | Kind::Lost)
    }
}

/// An error of a SQL Server. Displayed, it is for people: it names server and database, and never the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{server}, database {database}: {}", self.why())]
pub struct MssqlError {
    /// What kind of trouble.
    pub kind: Kind,
    /// `host:port`.
    pub server: String,
    /// The database in question.
    pub database: String,
    /// The server's error number, where the server spoke.
    pub number: Option<u32>,
    /// The server's or the driver's own words.
    pub message: String,
}

impl MssqlError {
    pub(super) fn new(address: &Address, kind: Kind, number: Option<u32>, message: &str) -> MssqlError {
        MssqlError {
            kind,
            server: address.server(),
            database: address.database.clone(),
            number,
            message: address.password.redact(message),
        }
    }

    pub(super) fn from_driver(address: &Address, error: &tiberius::error::Error) -> MssqlError {
        use tiberius::error::Error as E;
        match error {
            E::Server(token) => {
                let kind = kind_of(token.code(), token.message());
                MssqlError::new(address, kind, Some(token.code()), token.message())
            }
            E::Io { kind, message } => {
                let kind = match kind {
                    io::ErrorKind::TimedOut => Kind::Timeout,
                    _ => Kind::Lost,
                };
                MssqlError::new(address, kind, None, message)
            }
            E::Tls(message) => MssqlError::new(address, Kind::Tls, None, message),
            other => MssqlError::new(address, Kind::Refused, None, &other.to_string()),
        }
    }

    pub(super) fn from_tunnel(address: &Address, error: &TunnelError) -> MssqlError {
        let kind = match error {
            TunnelError::Io(_) | TunnelError::NotTds => Kind::Unreachable,
            TunnelError::NotOffered | TunnelError::Certificate(_) | TunnelError::Tls(_) => Kind::Tls,
        };
        MssqlError::new(address, kind, None, &error.to_string())
    }

    /// What is wrong, without server and database.
    pub fn why(&self) -> String {
        let words = match self.number {
            Some(number) => format!("{} (error {number})", self.message.trim_end_matches('.')),
            None => self.message.clone(),
        };
        let meaning = match self.kind {
            Kind::Unreachable => "the server cannot be reached",
            Kind::Tls => "no encrypted connection",
            Kind::Login => "the login was refused; check user and password",
            Kind::NoDatabase => "there is no such database for this login",
            Kind::NoPermission => "the login has no right to do that",
            Kind::Full => "the database, its log or its disk is full",
            Kind::Deadlock => "it lost a deadlock against another session",
            Kind::LockTimeout => "another session holds it locked",
            Kind::Transient => "the server cannot do it for the moment",
            Kind::Timeout => "no answer within the time limit",
            Kind::Lost => "the connection broke",
            Kind::Unsupported => "this engine does not know that part of T-SQL",
            Kind::Duplicate | Kind::Exists | Kind::Refused => return words,
        };
        format!("{meaning}: {words}")
    }
}

/// The error's kind by its number; where engines that speak T-SQL have numbers of their own, by its words.
pub(super) fn kind_of(number: u32, message: &str) -> Kind {
    match number {
        1205 => Kind::Deadlock,
        1222 => Kind::LockTimeout,
        18_452 | 18_456 | 18_458 | 18_459 | 18_461 | 18_470 | 18_486..=18_488 => Kind::Login,
        911 | 916 | 4060 | 4064 => Kind::NoDatabase,
        229 | 230 | 262 | 297 | 300 | 1088 | 5011 | 15_247 | 21_089 => Kind::NoPermission,
        // 40544: the size limit of an Azure SQL database; 1827: that of an Express edition.
        1101 | 1105 | 1827 | 3257 | 5149 | 9002 | 40_544 => Kind::Full,
        2601 | 2627 => Kind::Duplicate,
        1801 | 2714 => Kind::Exists,
        // Azure SQL's transient errors (doc), and what a busy SQL Server says: out of locks (1204), of memory (701), a
        // snapshot conflict (3960), a database that is still starting (922, 926 recovering).
        64
        | 233
        | 615
        | 701
        | 921
        | 922
        | 1204
        | 3960
        | 4221
        | 8645
        | 8651
        | 10_053
        | 10_054
        | 10_060
        | 10_928
        | 10_929
        | 11_001
        | 40_143
        | 40_166
        | 40_197
        | 40_501
        | 40_540
        | 40_613
        | 40_642..=40_648
        | 41_301
        | 41_302
        | 41_305
        | 41_325
        | 41_839
        | 42_108
        | 42_109
        | 49_918..=49_920 => Kind::Transient,
        // Babelfish's number for all that it does not know.
        33_557_097 => by_words(message),
        // SQL Server's numbers say it all; its words are in the server's language.
        _ => Kind::Refused,
    }
}

fn by_words(message: &str) -> Kind {
    let has = |part: &str| message.contains(part);
    // The first and the third: its catalogue, while another session changes it.
    if has("tuple concurrently")
        || has("being accessed by other users")
        || has("could not open relation with OID")
    {
        Kind::Transient
    } else if has("Cannot open database") {
        Kind::NoDatabase
    } else if has("permission denied") {
        Kind::NoPermission
    } else if has("No space left on device") || has("disk full") {
        Kind::Full
    } else if has("not currently supported") || has("not supported in Babelfish") {
        Kind::Unsupported
    } else {
        Kind::Refused
    }
}

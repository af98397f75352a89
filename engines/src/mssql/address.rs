//! Connection strings: `mssql://user:password@host:port/database?encrypt=true`.
//!
//! A string may be given as such, as `env:NAME` (what the environment variable holds) or as `@file` (what the file holds),
//! so that no password has to stand in a settings file or in a shell's history.

use std::fmt;
use std::time::Duration;

use super::secret::Secret;

/// SQL Server's own port.
pub const DEFAULT_PORT: u16 = 1433;
const SCHEME: &str = "mssql://";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The database of a login that names none.
const DATABASE: &str = "master";
/// .NET's name of this program in `sys.dm_exec_sessions`.
const APPLICATION: &str = "mirrorlab";

/// Where a SQL Server is, and who logs in. Shown, it has everything but the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// The database to log in to where none is named; `master` unless told otherwise.
    pub database: String,
    /// The login.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Whether the connection is encrypted: yes, unless told otherwise. Without it the login's password is readable on
    /// the network too.
    pub encrypt: bool,
    /// Whether any certificate of the server will do: no, unless told otherwise.
    pub trust_server_certificate: bool,
    /// How long connecting may take, login included.
    pub connect_timeout: Duration,
    /// What the server's lists of sessions show.
    pub application: String,
}

/// Why a connection string was refused. The text never repeats the string: a password may be in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}; expected {SCHEME}user:password@host:port/database")]
pub struct AddressError {
    /// `the connection string`, `the environment variable NAME`, `the file x`.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

impl Address {
    /// Reads a connection string, or `env:NAME`, or `@file`.
    ///
    /// # Errors
    /// [`AddressError`], without any part of the string that could be a secret.
    pub fn read(text: &str) -> Result<Address, AddressError> {
        Address::read_with(text, |name| std::env::var(name).ok())
    }

    /// [`Address::read`] with another environment.
    ///
    /// # Errors
    /// As [`Address::read`].
    pub fn read_with(
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Address, AddressError> {
        if let Some(name) = text.strip_prefix("env:") {
            let place = format!("the environment variable {}", mirrorlab_protocol::excerpt(name));
            return match environment(name) {
                Some(value) => parse(value.trim(), &place),
                None => Err(AddressError {
                    place,
                    why: "it is not set".into(),
                }),
            };
        }
        if let Some(path) = text.strip_prefix('@') {
            let place = format!("the file {path}");
            return match std::fs::read_to_string(path) {
                Ok(value) => parse(value.trim(), &place),
                Err(e) => Err(AddressError {
                    place,
                    why: format!("it cannot be read ({e})"),
                }),
            };
        }
        parse(text, "the connection string")
    }

    /// Whether `text` is a connection string for this engine, in any of its three forms. `env:` and `@` may stand for other
    /// things elsewhere: there the scheme decides.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME) || text.starts_with("env:") || text.starts_with('@')
    }

    /// `host:port`, for messages.
    pub fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the string named a database: `master` is none that holds anything.
    pub fn names_database(&self) -> bool {
        !self.database.eq_ignore_ascii_case(DATABASE)
    }

    /// The same server and login, another database.
    pub fn with_database(&self, database: &str) -> Address {
        Address {
            database: database.to_owned(),
            ..self.clone()
        }
    }
}

/// `mssql://user@host:port/database`: without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}@{}/{}", self.user, self.server(), self.database)
    }
}

fn parse(text: &str, place: &str) -> Result<Address, AddressError> {
    let wrong = |why: &str| AddressError {
        place: place.to_owned(),
        why: why.to_owned(),
    };
    let rest = text
        .strip_prefix(SCHEME)
        .ok_or_else(|| wrong("it does not begin with mssql://"))?;
    // A password may hold anything, unescaped too, but for what ends it: so the last `@` counts.
    let (login, rest) = rest.rsplit_once('@').ok_or_else(|| wrong("it has no user"))?;
    let (user, password) = login.split_once(':').ok_or_else(|| wrong("it has no password"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host_and_port(authority).ok_or_else(|| wrong("its host or port is not one"))?;
    let decoded = |text: &str, what: &str| {
        percent_decoded(text)
            .ok_or_else(|| wrong(&format!("its {what} has a % that is no escape; write % as %25")))
    };
    let user = decoded(user, "user")?;
    if user.is_empty() {
        return Err(wrong("it has no user"));
    }
    let mut address = Address {
        host,
        port,
        database: match decoded(database, "database")? {
            none if none.is_empty() => DATABASE.into(),
            name => name,
        },
        user,
        password: Secret::new(decoded(password, "password")?),
        encrypt: true,
        trust_server_certificate: false,
        connect_timeout: CONNECT_TIMEOUT,
        application: APPLICATION.into(),
    };
    for option in query.split('&').filter(|o| !o.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let flag = || match value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            _ => Err(wrong(&format!("its option {name} is neither true nor false"))),
        };
        match name.to_ascii_lowercase().as_str() {
            "encrypt" => address.encrypt = flag()?,
            "trust-server-certificate" | "trustservercertificate" => {
                address.trust_server_certificate = flag()?;
            }
            "connect-timeout" => {
                address.connect_timeout = value
                    .parse()
                    .ok()
                    .filter(|s| (1..=600).contains(s))
                    .map(Duration::from_secs)
                    .ok_or_else(|| {
                        wrong("its option connect-timeout is not a number of seconds from 1 to 600")
                    })?;
            }
            // The name alone: what stands behind it could be a part of a password that was not escaped.
            other => {
                return Err(wrong(&format!(
                    "it has an option `{}` that is not known; there are encrypt, trust-server-certificate and \
                     connect-timeout",
                    mirrorlab_protocol::excerpt(other)
                )));
            }
        }
    }
    Ok(address)
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':').or(after.is_empty().then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" => DEFAULT_PORT,
        digits => digits.parse().ok().filter(|p| *p > 0)?,
    };
    let plain =
        !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\');
    plain.then(|| (host.to_owned(), port))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Address, AddressError> {
        Address::read_with(text, |name| {
            (name == "MIRRORS").then(|| "mssql://sa:p%40ss@db.example/Mirror?encrypt=true\n".to_owned())
        })
    }

    #[test]
    fn parts_are_read() {
        let full = read(
            "mssql://mirror:Mirror!lab1@127.0.0.1:14330/Cust1?encrypt=false&trust-server-certificate=TRUE",
        )
        .unwrap();
        assert_eq!(
            (full.server().as_str(), full.database.as_str(), full.user.as_str()),
            ("127.0.0.1:14330", "Cust1", "mirror")
        );
        assert_eq!(full.password.expose(), "Mirror!lab1");
        assert!(!full.encrypt && full.trust_server_certificate);
        let least = read("mssql://sa:x@db").unwrap();
        assert_eq!(
            (least.server().as_str(), least.database.as_str()),
            ("db:1433", "master")
        );
        assert!(
            least.encrypt && !least.trust_server_certificate,
            "safe unless told otherwise"
        );
        assert_eq!(
            read("mssql://sa:a@b:c/d?e@db").unwrap().password.expose(),
            "a@b:c/d?e"
        );
        assert_eq!(
            read("mssql://sa:%25%C3%A9@[::1]:5/x").unwrap().password.expose(),
            "%é"
        );
        assert_eq!(read("mssql://sa:x@[::1]:5/x").unwrap().server(), "[::1]:5");
        assert_eq!(read("env:MIRRORS").unwrap().password.expose(), "p@ss");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connection");
        std::fs::write(&path, "mssql://sa:fromfile@db/M\n").unwrap();
        assert_eq!(
            read(&format!("@{}", path.display())).unwrap().password.expose(),
            "fromfile"
        );
    }

    #[test]
    fn mistakes_are_told_without_the_password() {
        let told: Vec<String> = [
            "Server=db;Password=hush-hush",
            "mssql://hush-hush",
            "mssql://sa@db",
            "mssql://:hush-hush@db",
            "mssql://sa:hush-hush@",
            "mssql://sa:hush-hush@db:0/x",
            "mssql://sa:hush-hush@db:99999/x",
            "mssql://sa:hush-hush@db\\SQLEXPRESS/x",
            "mssql://sa:hush%hush@db/x",
            "mssql://sa:hush-hush@db/x?encrypt=maybe",
            "mssql://sa:hush-hush@db/x?encypt=true",
            "mssql://sa:hush-hush@db/x?connect-timeout=0",
            "env:NOWHERE",
            "@/nowhere/at/all",
        ]
        .iter()
        .map(|text| read(text).unwrap_err().to_string())
        .collect();
        let told = told.join("\n");
        assert!(!told.contains("hush"), "{told}");
        insta::assert_snapshot!(told, @"
        the connection string: it does not begin with mssql://; expected mssql://user:password@host:port/database
        the connection string: it has no user; expected mssql://user:password@host:port/database
        the connection string: it has no password; expected mssql://user:password@host:port/database
        the connection string: it has no user; expected mssql://user:password@host:port/database
        the connection string: its host or port is not one; expected mssql://user:password@host:port/database
        the connection string: its host or port is not one; expected mssql://user:password@host:port/database
        the connection string: its host or port is not one; expected mssql://user:password@host:port/database
        the connection string: its host or port is not one; expected mssql://user:password@host:port/database
        the connection string: its password has a % that is no escape; write % as %25; expected mssql://user:password@host:port/database
        the connection string: its option encrypt is neither true nor false; expected mssql://user:password@host:port/database
        the connection string: it has an option `encypt` that is not known; there are encrypt, trust-server-certificate and connect-timeout; expected mssql://user:password@host:port/database
        the connection string: its option connect-timeout is not a number of seconds from 1 to 600; expected mssql://user:password@host:port/database
        the environment variable NOWHERE: it is not set; expected mssql://user:password@host:port/database
        the file /nowhere/at/all: it cannot be read (No such file or directory (os error 2)); expected mssql://user:password@host:port/database
        ");
    }

    #[test]
    fn the_password_is_nowhere_shown() {
        let address = read("mssql://sa:hush-hush@db/x").unwrap();
        for shown in [
            format!("{address}"),
            format!("{address:?}"),
            format!("{address:#?}"),
            format!("{:?} {}", address.password, address.password),
        ] {
            assert!(!shown.contains("hush"), "{shown}");
        }
        assert_eq!(address.to_string(), "mssql://sa@db:1433/x");
        assert_eq!(
            address.password.redact("login sa/hush-hush failed"),
            "login sa/*** failed"
        );
    }
}

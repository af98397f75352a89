//! One connection: statements, parameters, rows, bulk loads, all blocking.
//!
//! The driver is asynchronous; callers are not. Each call here blocks its thread on a runtime that all connections of the
//! process share. So no call may come from inside an asynchronous task: hand the work to a thread that may block.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::TryStreamExt;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use tiberius::{AuthMethod, Client, ColumnData, Config, EncryptionLevel, Query, QueryStream, TokenRow};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::address::Address;
use super::error::{Kind, MssqlError};
use super::tunnel::Tunnel;
use super::value::{self, Param, ReadError};

type Driver = Client<Compat<Tunnel>>;

/// How often a server may send a login on to another address (Azure SQL does, once).
const ROUTES_MAX: usize = 3;
/// How many rows a stream takes from the driver at a time.
const ROWS_AT_ONCE: usize = 256;
/// TDS packet size to ask for: fewer, larger packets for bulk loads. SQL Server takes 512 to 32767; encrypted, 16 KB.
const PACKET_BYTES: u32 = 16_000;

/// The runtime that all connections share: one thread that watches sockets and timers.
fn runtime() -> std::io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("mssql")
        .enable_all()
        .build()?;
    // Of two threads that came here at once, one's runtime goes unused.
    let mut made = Some(made);
    let runtime = RUNTIME.get_or_init(|| made.take().expect("get_or_init calls this once at most"));
    if let Some(unused) = made {
        unused.shutdown_background();
    }
    Ok(runtime)
}

/// A connection to one database.
pub struct Connection {
    driver: Driver,
    address: Address,
    /// How long one statement, or the next rows of one, may take.
    time_limit: Duration,
    /// Something went wrong that the driver does not recover from: no further use.
    broken: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Connection {
    /// Connects and logs in. `time_limit` holds for each statement later; connecting has the address's own.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn open(address: &Address, time_limit: Duration) -> Result<Connection, MssqlError> {
        let unreachable = |message: &str| MssqlError::new(address, Kind::Unreachable, None, message);
        let runtime = runtime().map_err(|e| unreachable(&e.to_string()))?;
        let connecting = async {
            tokio::time::timeout(address.connect_timeout, connect(address))
                .await
                .unwrap_or_else(|_| {
                    let seconds = address.connect_timeout.as_secs();
                    Err(unreachable(&format!("no answer within {seconds} s")))
                })
        };
        let driver = unheard(|| runtime.block_on(connecting))?;
        Ok(Connection {
            driver,
            address: address.clone(),
            time_limit,
            broken: false,
        })
    }

    /// The address, with the database it was opened on.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether an error left it of no further use.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Says that it must not be used again: a script has left settings behind.
    pub fn break_off(&mut self) {
        self.broken = true;
    }

    /// How long each statement may take from now on.
    pub fn set_time_limit(&mut self, time_limit: Duration) {
        self.time_limit = time_limit;
    }

    /// Runs statements as one batch, without parameters and without looking at rows. Temporary tables made here stay until
    /// they are dropped, or the connection is.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn batch(&mut self, sql: &str) -> Result<(), MssqlError> {
        self.results(sql, &[]).map(drop)
    }

    /// Runs statements, and gives the rows of each that has any. With parameters (`@P1`, `@P2` …, at most 2100) they run
    /// as one prepared statement, and temporary tables made there are gone when it ends.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn results(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Vec<Row>>, MssqlError> {
        let driver = &mut self.driver;
        let work = async move {
            let stream = begin(driver, sql, params).await?;
            let results = stream.into_results().await?;
            Ok(results
                .into_iter()
                .map(|rows| rows.into_iter().map(Row).collect())
                .collect())
        };
        let done = wait(&self.address, self.time_limit, work);
        self.seen(done)
    }

    /// The rows of the first statement that has any.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn rows(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, MssqlError> {
        Ok(self.results(sql, params)?.into_iter().next().unwrap_or_default())
    }

    /// The first row of the first statement that has any.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn row(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Option<Row>, MssqlError> {
        Ok(self.rows(sql, params)?.into_iter().next())
    }

    /// Runs one statement with parameters; how many rows it touched.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, MssqlError> {
        let driver = &mut self.driver;
        let work = async move {
            let mut query = Query::new(sql);
            for param in params {
                query.bind(param.0.clone());
            }
            Ok(query.execute(driver).await?.total())
        };
        let done = wait(&self.address, self.time_limit, work);
        self.seen(done)
    }

    /// Runs one query and gives its rows one by one, as they are asked for: for results of any size. The connection is
    /// busy until the stream is dropped; what was not read by then is read and thrown away with the next statement.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn stream(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowStream<'_>, MssqlError> {
        let Connection {
            driver,
            address,
            time_limit,
            broken,
        } = self;
        let started = wait(address, *time_limit, begin(driver, sql, params));
        *broken |= started.as_ref().is_err_and(breaks);
        Ok(RowStream {
            stream: started?,
            address,
            time_limit: *time_limit,
            broken,
            ready: VecDeque::new(),
            ended: false,
        })
    }

    /// Loads rows into `table` (quoted as SQL has it) by the protocol's bulk load; how many. `columns` are quoted too, and
    /// each row has a value for each, in this order, of the type that the table's column has. After an error the
    /// connection is broken, and only a rollback of the transaction is sure to take back what came before it.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn bulk<'v>(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: &mut dyn Iterator<Item = Vec<Param<'v>>>,
    ) -> Result<u64, MssqlError> {
        let driver = &mut self.driver;
        let work = async move {
            let mut request = driver.bulk_insert_columns(table, columns).await?;
            for row in rows {
                let mut token = TokenRow::new();
                for param in row {
                    token.push(param.0);
                }
                request.send(token).await?;
            }
            Ok(request.finalize().await?.total())
        };
        let done = wait(&self.address, self.time_limit, work);
        self.broken |= done.is_err();
        done
    }

    fn seen<T>(&mut self, done: Result<T, MssqlError>) -> Result<T, MssqlError> {
        self.broken |= done.as_ref().is_err_and(breaks);
        done
    }
}

/// Whether an error is of the connection, rather than of the statement.
fn breaks(error: &MssqlError) -> bool {
    // What did not come from the server came from the driver, which then may be amid an answer.
    error.number.is_none() || matches!(error.kind, Kind::Lost | Kind::Timeout)
}

async fn begin<'c>(
    driver: &'c mut Driver,
    sql: &str,
    params: &[Param<'_>],
) -> Result<QueryStream<'c>, tiberius::error::Error> {
    if params.is_empty() {
        return driver.simple_query(sql.to_owned()).await;
    }
    let mut query = Query::new(sql.to_owned());
    for param in params {
        query.bind(param.owned().0);
    }
    query.query(driver).await
}

/// Keeps the driver's own events out of the log: it repeats whatever servers say, and warns of missing encryption where
/// the tunnel has it.
fn unheard<T>(work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), work)
}

/// Blocks this thread until the work is done or its time is up.
fn wait<T>(
    address: &Address,
    limit: Duration,
    work: impl Future<Output = Result<T, tiberius::error::Error>>,
) -> Result<T, MssqlError> {
    let runtime = runtime().map_err(|e| MssqlError::new(address, Kind::Unreachable, None, &e.to_string()))?;
    match unheard(|| runtime.block_on(async { tokio::time::timeout(limit, work).await })) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(MssqlError::from_driver(address, &error)),
        Err(_) => {
            let message = format!("{} s were not enough", limit.as_secs());
            Err(MssqlError::new(address, Kind::Timeout, None, &message))
        }
    }
}

async fn connect(address: &Address) -> Result<Driver, MssqlError> {
    let mut to = (address.host.clone(), address.port);
    for _ in 0..ROUTES_MAX {
        let unreachable = |e: std::io::Error| {
            MssqlError::new(
                address,
                Kind::Unreachable,
                None,
                &format!("{}:{}: {e}", to.0, to.1),
            )
        };
        let tcp = TcpStream::connect((to.0.as_str(), to.1))
            .await
            .map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let tunnel = match address.encrypt {
            true => Tunnel::encrypted(tcp, &to.0, address.trust_server_certificate)
                .await
                .map_err(|e| MssqlError::from_tunnel(address, &e))?,
            false => Tunnel::Plain(tcp),
        };
        match Client::connect(config(address, &to), tunnel.compat_write()).await {
            Ok(driver) => return Ok(driver),
            Err(tiberius::error::Error::Routing { host, port }) => to = (host, port),
            Err(error) => {
                let mut error = MssqlError::from_driver(address, &error);
                if error.kind == Kind::Lost {
                    error.kind = Kind::Unreachable;
                    error.message = format!(
                        "it closed the connection at the login ({}){}",
                        error.message,
                        if address.encrypt {
                            ""
                        } else {
                            "; it may demand encryption, and encrypt=false gives none"
                        }
                    );
                }
                return Err(error);
            }
        }
    }
    let message = format!("it sent the login on more than {ROUTES_MAX} times");
    Err(MssqlError::new(address, Kind::Unreachable, None, &message))
}

/// What the driver is told.
fn config(address: &Address, to: &(String, u16)) -> Config {
    let mut config = Config::new();
    config.host(&to.0);
    config.port(to.1);
    config.database(&address.database);
    config.application_name(&address.application);
    config.authentication(AuthMethod::sql_server(&address.user, address.password.expose()));
    // The tunnel has seen to it.
    config.encryption(EncryptionLevel::NotSupported);
    // The limits are ours: of connecting, and of each statement. The driver's own would come before them.
    config.handshake_timeout(None);
    config.command_timeout(None);
    config.packet_size(PACKET_BYTES);
    // A lone surrogate, which SQL Server keeps and no text elsewhere can hold, must not cost the connection.
    config.lossy_utf16_decoding(true);
    config
}

/// One row of a result.
#[derive(Debug)]
pub struct Row(tiberius::Row);

impl Row {
    /// How many values it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// The value at `at`, counted from 0, of a column of type `ty` that was selected by [`value::select`].
    ///
    /// # Errors
    /// [`ReadError`] where it is no such value.
    pub fn value(&self, at: usize, ty: ColumnType) -> Result<Value<'_>, ReadError> {
        match self.cell(at) {
            Some(cell) => value::read(cell, ty),
            None => Err(ReadError {
                ty,
                found: "nothing: the row is shorter".into(),
            }),
        }
    }

    /// An integer of any width or a bit; `None` for NULL and for anything else.
    pub fn integer(&self, at: usize) -> Option<i64> {
        match self.cell(at)? {
            ColumnData::Bit(x) => x.map(i64::from),
            ColumnData::U8(x) => x.map(i64::from),
            ColumnData::I16(x) => x.map(i64::from),
            ColumnData::I32(x) => x.map(i64::from),
            ColumnData::I64(x) => *x,
            _ => None,
        }
    }

    /// A text; `None` for NULL and for anything else.
    pub fn text(&self, at: usize) -> Option<&str> {
        match self.cell(at)? {
            ColumnData::String(x) => x.as_deref(),
            _ => None,
        }
    }

    /// Bytes; `None` for NULL and for anything else.
    pub fn bytes(&self, at: usize) -> Option<&[u8]> {
        match self.cell(at)? {
            ColumnData::Binary(x) => x.as_deref(),
            _ => None,
        }
    }

    /// A value as text, for people: numbers as they are written, dates as ISO has them, bytes as upper hex; `None` for
    /// NULL.
    pub fn shown(&self, at: usize) -> Option<String> {
        match self.cell(at)? {
            ColumnData::Bit(x) => x.map(|x| i32::from(x).to_string()),
            ColumnData::U8(x) => x.map(|x| x.to_string()),
            ColumnData::I16(x) => x.map(|x| x.to_string()),
            ColumnData::I32(x) => x.map(|x| x.to_string()),
            ColumnData::I64(x) => x.map(|x| x.to_string()),
            ColumnData::F32(x) => x.map(|x| x.to_string()),
            ColumnData::F64(x) => x.map(|x| x.to_string()),
            ColumnData::Numeric(x) => x.map(|x| x.to_string()),
            ColumnData::String(x) => x.as_deref().map(str::to_owned),
            ColumnData::Binary(x) => x
                .as_deref()
                .map(|x| x.iter().map(|b| format!("{b:02X}")).collect()),
            ColumnData::Guid(x) => x.map(|x| x.to_string()),
            _ => {
                let types = [
                    ColumnType::DateTime2(7),
                    ColumnType::DateTimeOffset(7),
                    ColumnType::Date,
                    ColumnType::Time(7),
                ];
                let value = types.iter().find_map(|ty| self.value(at, *ty).ok())?;
                (!value.is_null()).then(|| value.to_string())
            }
        }
    }

    fn cell(&self, at: usize) -> Option<&ColumnData<'static>> {
        self.0.get_column_data(at).ok()
    }
}

/// Rows on their way.
pub struct RowStream<'c> {
    stream: QueryStream<'c>,
    address: &'c Address,
    time_limit: Duration,
    broken: &'c mut bool,
    ready: VecDeque<Row>,
    ended: bool,
}

impl RowStream<'_> {
    /// The next row; `None` behind the last.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn next_row(&mut self) -> Result<Option<Row>, MssqlError> {
        if self.ready.is_empty() && !self.ended {
            let (stream, ready, ended) = (&mut self.stream, &mut self.ready, &mut self.ended);
            let work = async move {
                while ready.len() < ROWS_AT_ONCE {
                    match stream.try_next().await? {
                        Some(item) => ready.extend(item.into_row().map(Row)),
                        None => {
                            *ended = true;
                            break;
                        }
                    }
                }
                Ok(())
            };
            let done = wait(self.address, self.time_limit, work);
            *self.broken |= done.as_ref().is_err_and(breaks);
            self.ended |= done.is_err();
            done?;
        }
        Ok(self.ready.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_own_limits_do_not_come_before_ours() {
        let address = Address::read("mssql://u:p@127.0.0.1").unwrap();
        let config = config(&address, &("127.0.0.1".into(), 1433));
        assert_eq!(config.get_command_timeout(), None);
        assert_eq!(config.get_handshake_timeout(), None);
    }
}

//! What a check works with: tenants of its own, tokens right and wrong, the endpoint, and the mirror where one is given.

use std::path::PathBuf;
use std::sync::Arc;

use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::keys::PublicKey;
use mirrorlab_protocol::message::{self, AuthenticateDetail, Response, ResponseDetail, TableLsn};
use mirrorlab_protocol::names::{Operation, same_name};
use mirrorlab_protocol::xml;
use mirrorlab_simulator::authority::{Authority, Minted, Tokens};

use super::check::{Done, Finding, Stop};
use super::say::{self, Batch, TableSpec};
use super::wire::{Ask, Connection, HttpAnswer, Wire};
use crate::run::mirror::Mirrors;

/// The most characters of a message that a report keeps.
const MESSAGE_CHARS_MAX: usize = 20_000;
/// How many tenants a check may have.
pub const TENANTS_MAX: usize = 10;

/// What all checks of a run share.
pub struct Shared {
    /// The endpoint.
    pub wire: Wire,
    /// SuperOffice.
    pub authority: Arc<Authority>,
    /// The application's id.
    pub application_id: String,
    /// The application's public key.
    pub application_key: PublicKey,
    /// Where mirrors are, if they can be looked at.
    pub mirror: Option<Arc<dyn Mirrors>>,
    /// Whether texts in them may hold U+0000.
    pub mirror_takes_nul: bool,
    /// Tells this run's tenants from those of other runs, 0 to 999,999.
    pub tag: u32,
    /// Everything is drawn from it.
    pub seed: u64,
    /// Dates tokens.
    pub clock: Arc<dyn Clock>,
    /// For sources.
    pub dir: PathBuf,
}

impl Shared {
    /// The name of a check's tenant: `Cust` and digits, as SuperOffice's are.
    pub fn context(&self, check: usize, tenant: usize) -> String {
        format!("Cust{:06}{:03}{tenant}", self.tag, check)
    }

    /// Tokens of a tenant.
    pub fn tokens(&self, context: &str) -> Tokens {
        Tokens::new(
            Arc::clone(&self.authority),
            &self.application_id,
            context,
            self.seed ^ u64::from(self.tag),
        )
    }
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// `IsSuccessful` true.
    Yes(Response),
    /// `IsSuccessful` false, with HTTP 200.
    No(String),
    /// A SOAP fault.
    Fault {
        /// HTTP status.
        status: u16,
        /// Its code, without prefix.
        code: String,
        /// Its text.
        text: String,
    },
    /// Anything else.
    Other {
        /// HTTP status.
        status: u16,
        /// What it is.
        what: String,
    },
}

impl Said {
    /// In a few words.
    pub fn brief(&self) -> String {
        match self {
            Said::Yes(_) => "it was accepted (IsSuccessful true)".into(),
            Said::No(text) => format!("it was refused: {}", mirrorlab_protocol::excerpt(text)),
            Said::Fault { status, code, text } => format!(
                "HTTP {status} with the SOAP fault {code}: {}",
                mirrorlab_protocol::excerpt(text)
            ),
            Said::Other { status, what } => format!("HTTP {status}: {what}"),
        }
    }

    /// Whether the endpoint said yes.
    pub fn is_yes(&self) -> bool {
        matches!(self, Said::Yes(_))
    }
}

/// Reads an answer.
pub fn read_answer(operation: Operation, answer: &HttpAnswer) -> Said {
    let other = |what: String| Said::Other {
        status: answer.status,
        what,
    };
    let text = match xml::decode(&answer.body) {
        Ok(text) => text,
        Err(error) => return other(error.to_string().replace("the request is", "the answer is")),
    };
    match message::read_response(&text, operation) {
        Err(error) => {
            let kind = answer.header("content-type").unwrap_or("no Content-Type");
            other(format!("no answer to {operation} ({kind}): {error}"))
        }
        Ok(Err(fault)) => Said::Fault {
            status: answer.status,
            code: fault.code,
            text: fault.text,
        },
        Ok(Ok(_)) if answer.status != 200 => other("a response message, which comes with HTTP 200".into()),
        Ok(Ok(response)) if response.successful => Said::Yes(response),
        Ok(Ok(response)) => Said::No(response.error.unwrap_or_default()),
    }
}

/// One check's bench.
pub struct Bench<'s> {
    shared: &'s Shared,
    number: usize,
    tenants: Vec<(String, Tokens)>,
    now: usize,
    connection: Option<Connection>,
    combination: Option<String>,
    last: Option<(String, String)>,
}

impl<'s> Bench<'s> {
    /// A bench for check number `number`, counted in the whole catalogue, so that it has the same tenants whatever else is run.
    pub fn new(shared: &'s Shared, number: usize) -> Bench<'s> {
        let mut bench = Bench {
            shared,
            number,
            tenants: Vec::new(),
            now: 0,
            connection: None,
            combination: None,
            last: None,
        };
        bench.be(0);
        bench
    }

    /// What all checks share.
    pub fn shared(&self) -> &'s Shared {
        self.shared
    }

    /// The tenant that speaks now.
    pub fn context(&self) -> &str {
        &self.tenants[self.now].0
    }

    /// Another tenant speaks from now on; 0 is the first.
    pub fn be(&mut self, tenant: usize) {
        for at in self.tenants.len()..=tenant.min(TENANTS_MAX - 1) {
            let context = self.shared.context(self.number, at);
            let tokens = self.shared.tokens(&context);
            self.tenants.push((context, tokens));
        }
        self.now = tenant.min(TENANTS_MAX - 1);
    }

    /// The speaking tenant's tokens.
    pub fn tokens(&mut self) -> &mut Tokens {
        &mut self.tenants[self.now].1
    }

    /// Now, on the wire's clock.
    pub fn clock(&self) -> i64 {
        self.shared.clock.now()
    }

    /// A fresh token.
    pub fn mint(&mut self) -> Minted {
        let now = self.clock();
        self.tokens().mint(now)
    }

    /// A fresh token's text.
    pub fn token(&mut self) -> String {
        self.mint().text.unwrap_or_default()
    }

    /// Which combination is tried from now on: a failure names it.
    pub fn trying(&mut self, combination: Option<String>) {
        self.combination = combination;
    }

    /// Ends the check: the rule is broken.
    ///
    /// # Errors
    /// Always.
    pub fn fail<T>(&self, expected: impl Into<String>, received: impl Into<String>) -> Done<T> {
        let (request, answer) = match &self.last {
            Some((request, answer)) => (Some(request.clone()), Some(answer.clone())),
            None => (None, None),
        };
        Err(Stop::Failed(Box::new(Finding {
            expected: expected.into(),
            received: received.into(),
            combination: self.combination.clone(),
            request,
            answer,
        })))
    }

    /// Ends the check unless `holds`.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn expect(&self, holds: bool, expected: impl Into<String>, received: impl Into<String>) -> Done {
        match holds {
            true => Ok(()),
            false => self.fail(expected, received),
        }
    }

    /// Ends the check unless both are equal.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn equal<T: PartialEq + std::fmt::Debug>(&self, what: &str, expected: T, received: T) -> Done {
        let texts = (format!("{what}: {expected:?}"), format!("{what}: {received:?}"));
        self.expect(expected == received, texts.0, texts.1)
    }

    /// Sends any request over a connection of its own.
    ///
    /// # Errors
    /// [`Stop::Failed`] where no HTTP answer comes.
    pub fn ask(&mut self, ask: &Ask) -> Done<HttpAnswer> {
        self.remember(ask, "");
        match self.shared.wire.ask(ask) {
            Ok(answer) => {
                self.remember(ask, &shown_answer(&answer));
                Ok(answer)
            }
            Err(error) => self.fail("an HTTP answer", error.to_string()),
        }
    }

    /// Sends a request over the check's connection, which is kept as long as the endpoint keeps it.
    fn ask_kept(&mut self, ask: &Ask) -> Done<HttpAnswer> {
        self.remember(ask, "");
        let wire = &self.shared.wire;
        let kept = self.connection.take();
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => match wire.connect() {
                Ok(connection) => connection,
                Err(error) => return self.fail("a connection", error.to_string()),
            },
        };
        let mut answer = wire.ask_over(&mut connection, ask);
        if was_kept && matches!(answer, Err(super::wire::WireError::Closed)) {
            // An idle connection may be closed at any time: that is no fault.
            connection = match wire.connect() {
                Ok(connection) => connection,
                Err(error) => return self.fail("a connection", error.to_string()),
            };
            answer = wire.ask_over(&mut connection, ask);
        }
        match answer {
            Ok(answer) => {
                self.remember(ask, &shown_answer(&answer));
                if answer.kept_alive {
                    self.connection = Some(connection);
                }
                Ok(answer)
            }
            Err(error) => self.fail("an HTTP answer", error.to_string()),
        }
    }

    fn remember(&mut self, ask: &Ask, answer: &str) {
        let mut request = format!("{} {}{}\n", ask.method, self.shared.wire.url().path(), ask.query);
        for (name, value) in &ask.headers {
            request.push_str(&format!("{name}: {value}\n"));
        }
        request.push('\n');
        request.push_str(&shown(&ask.body));
        self.last = Some((request, answer.to_owned()));
    }

    /// A call with a right token, in the real client's form.
    pub fn call_ask(&mut self, operation: Operation, message: &str) -> Ask {
        let token = self.token();
        Ask::call(operation, say::envelope(Some(&token), message).into_bytes())
    }

    /// Makes a call with a right token.
    ///
    /// # Errors
    /// [`Stop::Failed`] where no HTTP answer comes.
    pub fn call(&mut self, operation: Operation, message: &str) -> Done<Said> {
        let ask = self.call_ask(operation, message);
        let answer = self.ask_kept(&ask)?;
        Ok(read_answer(operation, &answer))
    }

    /// Makes a call with this token, or none.
    ///
    /// # Errors
    /// [`Stop::Failed`] where no HTTP answer comes.
    pub fn call_as(&mut self, operation: Operation, token: Option<&str>, message: &str) -> Done<Said> {
        let ask = Ask::call(operation, say::envelope(token, message).into_bytes());
        let answer = self.ask_kept(&ask)?;
        Ok(read_answer(operation, &answer))
    }

    /// A whole envelope as a call of this operation.
    ///
    /// # Errors
    /// [`Stop::Failed`] where no HTTP answer comes.
    pub fn envelope(&mut self, operation: Operation, body: impl Into<Vec<u8>>) -> Done<Said> {
        let answer = self.ask_kept(&Ask::call(operation, body.into()))?;
        Ok(read_answer(operation, &answer))
    }

    /// What is said must be yes.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn yes(&self, said: Said, what: &str) -> Done<Response> {
        match said {
            Said::Yes(response) => Ok(response),
            other => self.fail(format!("{what} is accepted"), other.brief()),
        }
    }

    /// What is said must be a polite no: HTTP 200, `IsSuccessful` false, a text.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn no(&self, said: &Said, what: &str) -> Done {
        let expected = format!("{what} is refused: HTTP 200, IsSuccessful false, and a text in ErrorMessage");
        match said {
            Said::No(text) if !text.trim().is_empty() => Ok(()),
            Said::No(_) => self.fail(expected, "it was refused without a text"),
            other => self.fail(expected, other.brief()),
        }
    }

    /// What is said must be anything but yes.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn not_yes(&self, said: &Said, what: &str) -> Done {
        self.expect(!said.is_yes(), format!("{what} is not accepted"), said.brief())
    }

    /// Authenticates.
    ///
    /// # Errors
    /// [`Stop::Failed`] unless it is accepted.
    pub fn authenticate(&mut self) -> Done<AuthenticateDetail> {
        let said = self.call(Operation::Authenticate, &say::authenticate(None))?;
        match self.yes(said, "Authenticate with a right token")?.detail {
            ResponseDetail::Authenticate(detail) => Ok(detail),
            _ => self.fail("an AuthenticateResponse", "another response"),
        }
    }

    /// Sends the schema; the LSNs answered.
    ///
    /// # Errors
    /// [`Stop::Failed`] unless it is accepted.
    pub fn schema(&mut self, tables: &[TableSpec]) -> Done<Vec<TableLsn>> {
        let said = self.call(Operation::TableSchema, &say::table_schema(None, tables))?;
        let names: Vec<&str> = tables.iter().take(3).map(|t| t.name.as_str()).collect();
        let what = format!(
            "TableSchema with {} tables ({} …)",
            tables.len(),
            names.join(", ")
        );
        match self.yes(said, &what)?.detail {
            ResponseDetail::TableSchema(lsns) => Ok(lsns),
            _ => self.fail("a TableSchemaResponse", "another response"),
        }
    }

    /// Sends the schema, and gives the LSN answered for one table.
    ///
    /// # Errors
    /// [`Stop::Failed`] unless the answer names the table.
    pub fn lsn(&mut self, tables: &[TableSpec], name: &str) -> Done<i64> {
        let lsns = self.schema(tables)?;
        match lsns.iter().find(|lsn| same_name(&lsn.table, name)) {
            Some(lsn) => Ok(lsn.lsn),
            None => self.fail(
                format!("an LSN for the table `{name}` in MirrorLSN"),
                format!("LSNs of {} tables, and none for it", lsns.len()),
            ),
        }
    }

    /// The LSN that is answered for a table must be this.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn lsn_is(&mut self, tables: &[TableSpec], name: &str, expected: i64) -> Done {
        let lsn = self.lsn(tables, name)?;
        self.equal(&format!("the LSN of `{name}`"), expected, lsn)
    }

    /// Makes one table, which is the mirror's only one.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn table(&mut self, name: &str, columns: &str) -> Done<TableSpec> {
        let table = TableSpec::new(name, columns);
        self.schema(std::slice::from_ref(&table))?;
        Ok(table)
    }

    /// Sends rows.
    ///
    /// # Errors
    /// [`Stop::Failed`] unless they are accepted.
    pub fn rows(&mut self, batches: &[Batch]) -> Done {
        let said = self.call(Operation::RowData, &say::row_data(None, batches))?;
        let rows: usize = batches.iter().map(|b| b.rows.len()).sum();
        self.yes(
            said,
            &format!("RowData of {rows} rows in {} batches", batches.len()),
        )?;
        Ok(())
    }

    /// Sends rows that have to be refused.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn rows_refused(&mut self, batches: &[Batch], what: &str) -> Done {
        let said = self.call(Operation::RowData, &say::row_data(None, batches))?;
        self.no(&said, what)
    }

    /// Empties a table.
    ///
    /// # Errors
    /// [`Stop::Failed`] unless it is accepted.
    pub fn wipe(&mut self, table: &str) -> Done {
        let said = self.call(Operation::Wipe, &say::wipe(None, Some(table)))?;
        self.yes(said, &format!("Wipe of `{table}`"))?;
        Ok(())
    }

    /// The mirror's rows of a table, where there is a mirror to look at, must be these; `~` is NULL. Cells are written as a
    /// message writes them.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn holds(&self, table: &TableSpec, rows: &[&[&str]]) -> Done {
        let rows: Vec<Vec<say::Cell>> = rows.iter().map(|row| say::cells(row)).collect();
        self.holds_cells(table, &rows)
    }

    /// As [`Bench::holds`].
    ///
    /// # Errors
    /// [`Stop::Failed`].
    pub fn holds_cells(&self, table: &TableSpec, rows: &[Vec<say::Cell>]) -> Done {
        let Some(mirror) = &self.shared.mirror else {
            return Ok(());
        };
        let expected = super::mirror::expected(table, rows).map_err(Stop::Unjudged)?;
        let found = match super::mirror::rows(mirror.as_ref(), self.context(), table) {
            Ok(found) => found,
            Err(super::mirror::LookError::NotThere(why)) => return Err(Stop::Unjudged(why)),
            Err(super::mirror::LookError::Wrong(why)) => {
                return self.fail(
                    format!("the mirror's table `{}` holds {} rows", table.name, rows.len()),
                    why,
                );
            }
        };
        match super::mirror::difference(table, &expected, &found) {
            None => Ok(()),
            Some((right, wrong)) => self.fail(right, wrong),
        }
    }
}

fn shown_answer(answer: &HttpAnswer) -> String {
    let mut out = format!("HTTP {}\n", answer.status);
    for (name, value) in &answer.headers {
        out.push_str(&format!("{name}: {value}\n"));
    }
    out.push('\n');
    out.push_str(&shown(&answer.body));
    out
}

fn shown(body: &[u8]) -> String {
    let text = match xml::decode(body) {
        Ok(text) => text.into_owned(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let count = text.chars().count();
    if count <= MESSAGE_CHARS_MAX {
        return text;
    }
    let start: String = text.chars().take(MESSAGE_CHARS_MAX).collect();
    format!("{start}\n… {} more characters", count - MESSAGE_CHARS_MAX)
}

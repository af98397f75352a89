//! Files into calls: the recorder's own, the messages that `run --keep` leaves, and what people save by hand.

use std::fs;
use std::path::{Path, PathBuf};

use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::soap::{self, Peek};
use mirrorlab_protocol::xml;
use mirrorlab_simulator::capture::form::{self, Call, Outcome, tenant_of};
use mirrorlab_simulator::capture::redact::Redaction;
use mirrorlab_simulator::capture::{self, CaptureError, split};

/// How the files of requests end that a run keeps.
const KEPT_REQUEST: &str = "-request.xml";

/// A call to be sent again.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its file.
    pub file: String,
    /// Its number there.
    pub number: u64,
    /// The operation, where it is one of the five.
    pub operation: Option<Operation>,
    /// The tenant that its token names.
    pub tenant: Option<String>,
    /// The token, as it was.
    pub token: Option<String>,
    /// The request's body.
    pub body: Vec<u8>,
    /// Whether only its beginning is there.
    pub is_cut: bool,
    /// What was masked.
    pub redacted: Redaction,
    /// What it is compared with.
    pub recorded: Recorded,
}

/// What became of a call when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It was answered.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// It was not.
    NoAnswer(String),
    /// The file does not say.
    Nothing,
}

/// Reads calls from files and directories, in the order of their names, or as a file has them.
///
/// # Errors
/// [`CaptureError`], also where there is no call at all.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Item>, CaptureError> {
    let mut items = Vec::new();
    for path in paths {
        let shown = path.display().to_string();
        let before = items.len();
        for file in files(path)? {
            load_file(&file, &mut items)?;
        }
        if items.len() == before && !is_kept_answer(path) {
            return Err(failed(
                &shown,
                "there is no call in it; expected files of `mirrorlab record` (*.call), messages that `mirrorlab run --keep` \
                 left (*-request.xml), or a request saved by hand",
            ));
        }
    }
    if items.is_empty() {
        return Err(failed(
            &paths.first().map(|p| p.display().to_string()).unwrap_or_default(),
            "there is no call to replay, only answers",
        ));
    }
    Ok(items)
}

fn failed(file: &str, what: impl ToString) -> CaptureError {
    CaptureError {
        file: file.to_owned(),
        line: 0,
        column: 0,
        what: what.to_string(),
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let unreadable =
        |error: std::io::Error| failed(&path.display().to_string(), format!("it cannot be read: {error}"));
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(if is_kept_answer(path) {
            // Read with its request.
            Vec::new()
        } else {
            vec![path.to_owned()]
        });
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let name = name_of(&file);
        if name.ends_with(KEPT_REQUEST) || name.ends_with(&format!(".{}", form::EXTENSION)) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// `00001-Cust10001-Authenticate-reply-200.xml`, `…-no-reply.txt`: beside a request, and read with it.
fn is_kept_answer(path: &Path) -> bool {
    let name = name_of(path);
    name.ends_with("-no-reply.txt")
        || name
            .strip_suffix(".xml")
            .and_then(|stem| stem.rsplit_once("-reply-"))
            .is_some_and(|(_, status)| status.parse::<u16>().is_ok())
}

fn load_file(path: &Path, items: &mut Vec<Item>) -> Result<(), CaptureError> {
    let file = path.display().to_string();
    let bytes = capture::read_file(path)?;
    if form::is_recorded(&bytes) {
        items.extend(
            form::read(&file, &bytes)?
                .into_iter()
                .map(|call| recorded(&file, call)),
        );
        return Ok(());
    }
    if name_of(path).ends_with(KEPT_REQUEST) {
        items.push(kept(path, bytes)?);
        return Ok(());
    }
    by_hand(&file, &bytes, items)
}

fn token_of(body: &[u8]) -> Option<String> {
    match soap::peek(body, true) {
        Peek::Head(head) => head.token,
        _ => None,
    }
}

fn recorded(file: &str, call: Call) -> Item {
    Item {
        file: file.to_owned(),
        number: call.number,
        operation: call.operation.or_else(|| operation_of(&call.request.body)),
        tenant: call.tenant,
        token: token_of(&call.request.body),
        is_cut: call.request.cut.is_some(),
        body: call.request.body,
        redacted: call.redacted,
        recorded: match call.outcome {
            Outcome::NoAnswer(why) => Recorded::NoAnswer(why),
            Outcome::Answered { answer, .. } if answer.cut.is_some() => {
                Recorded::NoAnswer("only the beginning of the answer was recorded".into())
            }
            Outcome::Answered { status, answer } => Recorded::Answer {
                status,
                body: answer.body,
            },
        },
    }
}

fn operation_of(body: &[u8]) -> Option<Operation> {
    let name = split::message_name(&xml::decode(body).ok()?).ok()?;
    Operation::ALL.into_iter().find(|o| o.request_element() == name)
}

/// A request that a run kept, and its answer beside it.
fn kept(path: &Path, body: Vec<u8>) -> Result<Item, CaptureError> {
    let file = path.display().to_string();
    let name = name_of(path);
    let stem = name.trim_end_matches(KEPT_REQUEST);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut answer = Recorded::Nothing;
    let entries = fs::read_dir(folder).map_err(|error| failed(&file, error))?;
    for entry in entries.flatten() {
        let other = name_of(&entry.path());
        let Some(rest) = other.strip_prefix(stem) else {
            continue;
        };
        let status = rest
            .strip_prefix("-reply-")
            .and_then(|rest| rest.strip_suffix(".xml"))
            .and_then(|status| status.parse().ok());
        if let Some(status) = status {
            answer = Recorded::Answer {
                status,
                body: capture::read_file(&entry.path())?,
            };
        } else if rest == "-no-reply.txt" {
            let why = capture::read_file(&entry.path())?;
            answer = Recorded::NoAnswer(String::from_utf8_lossy(&why).into_owned());
        }
    }
    let number = name.split('-').next().and_then(|n| n.parse().ok());
    let operation = stem.rsplit('-').next().and_then(Operation::from_name);
    Ok(Item {
        number: number.unwrap_or(0),
        operation: operation.or_else(|| operation_of(&body)),
        tenant: tenant_of(&body),
        token: token_of(&body),
        is_cut: false,
        redacted: Redaction::default(),
        recorded: answer,
        file,
        body,
    })
}

/// What somebody saved: requests, each with the answer behind it where that was saved too.
fn by_hand(file: &str, bytes: &[u8], items: &mut Vec<Item>) -> Result<(), CaptureError> {
    let mut number = 0;
    for document in split::split(file, bytes)? {
        let name = split::message_name(&document.text)
            .map_err(|(error, at)| document.origin.of(&document.text, at).error(file, error))?;
        let operation = Operation::ALL.into_iter().find(|o| o.request_element() == name);
        if let Some(operation) = operation {
            number += 1;
            let body = document.text.into_bytes();
            items.push(Item {
                file: file.to_owned(),
                number,
                operation: Some(operation),
                tenant: tenant_of(&body),
                token: token_of(&body),
                body,
                is_cut: false,
                redacted: Redaction::default(),
                recorded: Recorded::Nothing,
            });
            continue;
        }
        let is_answer = name == "Fault" || Operation::ALL.iter().any(|o| o.response_element() == name);
        let before = items.last_mut().filter(|item| item.file == file);
        match before {
            Some(item) if is_answer && item.recorded == Recorded::Nothing => {
                let said = document
                    .start_line
                    .as_deref()
                    .and_then(|line| line.split(' ').nth(1))
                    .and_then(|status| status.parse().ok());
                item.recorded = Recorded::Answer {
                    status: said.unwrap_or(if name == "Fault" { 500 } else { 200 }),
                    body: document.text.into_bytes(),
                };
            }
            _ if is_answer => {}
            _ => {
                return Err(document.origin.error(
                    file,
                    format!(
                        "`{}` is no call of the mirroring service",
                        mirrorlab_protocol::excerpt(&name)
                    ),
                ));
            }
        }
    }
    Ok(())
}

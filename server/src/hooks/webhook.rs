//! Webhooks: an event as a POST of JSON. Any answer but 2xx within the time allowed is a failure, and so fails the call.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::message::ReplicationSummary;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url, header};
use serde::Serialize;

use crate::admin::{AdminError, TableChange};
use crate::web::{self, Web};

/// How long a webhook may take unless said. Its call waits for it, and nobody else.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A URL that is told of events.
#[derive(Clone)]
pub struct Webhook {
    web: Arc<Web>,
    url: Url,
    timeout: Duration,
}

impl Webhook {
    /// A webhook: https, or http on this machine.
    ///
    /// # Errors
    /// A text that says what was expected.
    pub fn new(url: &str, timeout: Duration) -> Result<Webhook, String> {
        Ok(Webhook {
            url: web::check_url(url, true)?,
            web: Arc::new(Web::new(Policy::none()).map_err(|error| error.to_string())?),
            timeout,
        })
    }

    /// Tells of an event, within what is `left` of the time that all of a call's webhooks have, `together`.
    ///
    /// # Errors
    /// [`AdminError`] where the answer is not 2xx in time.
    pub(super) fn call(
        &self,
        notice: &Notice<'_>,
        left: Duration,
        together: Duration,
    ) -> Result<(), AdminError> {
        let failed = |why: String| AdminError::new(format!("the webhook at {} failed: {why}", self.host()));
        let body = serde_json::to_vec(notice).map_err(|error| failed(error.to_string()))?;
        let posted = post(self.web.client(), self.url.clone(), body);
        match self.web.block_on(self.timeout.min(left), posted) {
            Ok(Ok(status)) if status.is_success() => Ok(()),
            Ok(Ok(status)) => Err(failed(format!("it answered {status}"))),
            Ok(Err(why)) => Err(failed(why)),
            Err(error) if error.kind() == ErrorKind::TimedOut && left < self.timeout => Err(failed(format!(
                "the webhooks of one call have {} s together, and that is over",
                together.as_secs_f64()
            ))),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Paths and queries of webhooks are often secrets.
    fn host(&self) -> String {
        excerpt(self.url.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.host())
    }
}

async fn post(client: Client, url: Url, body: Vec<u8>) -> Result<StatusCode, String> {
    client
        .post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .send()
        .await
        .map(|response| response.status())
        .map_err(|error| web::describe(&error))
}

/// What a webhook is told.
#[derive(Debug, Serialize)]
pub(super) struct Notice<'a> {
    event: &'static str,
    context: &'a str,
    client_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<Summary<'a>>>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Change<'a> {
    Unchanged,
    Created,
    Altered {
        added: &'a [String],
        dropped: &'a [String],
        changed: &'a [String],
    },
    Recreated {
        reason: &'a str,
    },
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    table: &'a str,
    inserts: i32,
    updates: i32,
    deletes: i32,
}

impl<'a> Notice<'a> {
    fn new(event: &'static str, context: &'a str, client_state: Option<&'a str>) -> Notice<'a> {
        Notice {
            event,
            context,
            client_state,
            table: None,
            change: None,
            changed: None,
        }
    }

    pub(super) fn before_table(
        context: &'a str,
        client_state: Option<&'a str>,
        table: &'a str,
        change: &'a TableChange,
    ) -> Notice<'a> {
        let change = match change {
            TableChange::Unchanged => Change::Unchanged,
            TableChange::Created => Change::Created,
            TableChange::Altered {
                added,
                dropped,
                changed,
            } => Change::Altered {
                added,
                dropped,
                changed,
            },
            TableChange::Recreated { reason } => Change::Recreated { reason },
        };
        Notice {
            table: Some(table),
            change: Some(change),
            ..Notice::new("before_table", context, client_state)
        }
    }

    pub(super) fn wipe(context: &'a str, client_state: Option<&'a str>, table: &'a str) -> Notice<'a> {
        Notice {
            table: Some(table),
            ..Notice::new("wipe", context, client_state)
        }
    }

    pub(super) fn completed(
        context: &'a str,
        client_state: Option<&'a str>,
        changed: &'a [ReplicationSummary<'_>],
    ) -> Notice<'a> {
        let changed = changed
            .iter()
            .map(|summary| Summary {
                table: summary.table.as_deref().unwrap_or_default(),
                inserts: summary.inserts,
                updates: summary.updates,
                deletes: summary.deletes,
            })
            .collect();
        Notice {
            changed: Some(changed),
            ..Notice::new("completed", context, client_state)
        }
    }
}

//! The service on a mirror of its own, and literal SQL to look into it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::clock::ManualClock;
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::token::{self, Claims};
use mirrorlab_server::hooks::{HookAdmin, Hooks, NameTemplate};
use mirrorlab_server::operations::{Mirroring, Options};
use mirrorlab_server::service::{self, CallHead, Service};
use mirrorlab_server::store::sqlite::{SqliteOptions, SqliteStore};
use mirrorlab_server::trust::Trust;
use mirrorlab_server::trust::resolver::{CertificateResolver, KeyId, ResolveError, ResolverLimits};
use rusqlite::Connection;

use super::calls::{Call, TABLES, message};
use super::model::State;

const NOW: i64 = 1_600_000_000;
const APPLICATION: &str = "0123abcd";

/// SuperOffice's certificate, the application's key, and one token for all calls.
struct Keys {
    certificate: Certificate,
    application: PrivateKey,
    token: String,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let key = PrivateKey::generate(2048).unwrap();
    let pair = rcgen::KeyPair::from_pem(&key.to_pem().unwrap()).unwrap();
    let made = rcgen::CertificateParams::new(vec![])
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    let certificate = Certificate::from_der(made.der().to_vec()).unwrap();
    let header = token::header_json(&certificate.thumbprint_hex(), &certificate.thumbprint_base64url());
    let claims = Claims::fresh(
        "Cust1",
        APPLICATION,
        "00112233445566778899AABBCCDDEEFF".into(),
        NOW,
    );
    Keys {
        token: token::sign(&header, &claims.to_json(), &key),
        certificate,
        application: PrivateKey::generate(1024).unwrap(),
    }
});

struct KnowsOne;

impl CertificateResolver for KnowsOne {
    fn resolve(&self, key: &KeyId) -> Result<Option<Certificate>, ResolveError> {
        let known = &KEYS.certificate;
        Ok(key.names(known).then(|| known.clone()))
    }
}

/// What a call was answered, as far as it is looked at.
pub struct Answer {
    pub status: u16,
    pub is_successful: bool,
    /// ErrorMessage, or the whole body where there is none.
    pub text: String,
    /// TableSchema's, in the order answered.
    pub lsns: Vec<(String, i64)>,
}

pub struct Server {
    service: Service,
    dir: tempfile::TempDir,
}

impl Server {
    pub fn new() -> Server {
        let clock = Arc::new(ManualClock::new(NOW));
        let dir = tempfile::tempdir().unwrap();
        let trust = Trust::new(APPLICATION, clock.clone())
            .with_resolver(Box::new(KnowsOne), ResolverLimits::default());
        let store = SqliteStore::new(SqliteOptions {
            durability: Durability::Fast,
            ..SqliteOptions::default()
        });
        let mirroring = Mirroring {
            store: Arc::new(store),
            admin: Arc::new(HookAdmin::new(
                dir.path(),
                NameTemplate::default(),
                Hooks::default(),
            )),
            options: Options::default(),
        };
        Server {
            service: Service::new(trust, mirroring, KEYS.application.clone(), clock),
            dir,
        }
    }

    pub fn post(&self, call: &Call) -> Answer {
        let (operation, members) = message(call);
        let body = format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header><h:SignedToken \
             s:mustUnderstand=\"1\" xmlns:h=\"{T}\">{}</h:SignedToken></s:Header><s:Body><{operation}Request \
             xmlns=\"{T}\">{members}</{operation}Request></s:Body></s:Envelope>",
            KEYS.token
        );
        let action = format!("\"{T}/IMirroringClientService/{operation}\"");
        let answer = self.service.handle(&service::Call {
            head: CallHead {
                method: "POST",
                address: "https://mirror.example/MirroringClientService.svc",
                query: None,
                content_type: Some("text/xml; charset=utf-8"),
                soap_action: Some(&action),
            },
            body: body.as_bytes(),
        });
        let text = String::from_utf8(answer.body).unwrap();
        Answer {
            status: answer.status,
            is_successful: between(&text, "IsSuccessful").as_deref() == Some("true"),
            lsns: text
                .split("TableLSN>")
                .filter_map(|part| Some((between(part, "TableName")?, between(part, "LSN")?.parse().ok()?)))
                .collect(),
            text: between(&text, "ErrorMessage").unwrap_or(text),
        }
    }

    /// Everything that is in the mirror.
    pub fn state(&self) -> State {
        let connection = Connection::open(self.dir.path().join("Mirror_Cust1.db")).unwrap();
        let mut state = State::new();
        let mut listed = connection
            .prepare("SELECT tablename, LSN FROM Cust1_mirroring")
            .unwrap();
        let lsns: BTreeMap<String, i64> = listed
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let mut tables = connection
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'Cust1_mirroring'")
            .unwrap();
        let tables: Vec<String> = tables
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(tables.len(), lsns.len(), "{tables:?} {lsns:?}");
        for name in tables {
            let (table, columns) = *TABLES.iter().find(|(known, _)| *known == name).unwrap();
            // Text as it stands, numbers as SQLite writes them.
            let cells: Vec<String> = columns
                .iter()
                .map(|(column, ty, _)| match *ty {
                    "float" => {
                        format!("CASE WHEN {column} >= 1e21 THEN '1e+21' ELSE CAST({column} AS text) END")
                    }
                    _ => format!("CAST({column} AS text)"),
                })
                .collect();
            let mut rows = connection
                .prepare(&format!("SELECT {} FROM {table}", cells.join(", ")))
                .unwrap();
            let rows = rows
                .query_map([], |row| {
                    let key: String = row.get(0)?;
                    let values = (1..columns.len())
                        .map(|at| row.get(at))
                        .collect::<Result<Vec<_>, _>>()?;
                    Ok((key.parse().unwrap(), values))
                })
                .unwrap()
                .map(Result::unwrap)
                .collect();
            state.insert(table, (lsns[&name], rows));
        }
        state
    }
}

const T: &str = "http://www.superoffice.com/online/mirroring/0.1";

/// The text of the first element of this local name.
fn between(text: &str, name: &str) -> Option<String> {
    let start = text.find(&format!("{name}>")).map(|at| at + name.len() + 1)?;
    let end = text[start..].find("</")?;
    Some(text[start..start + end].to_owned())
}

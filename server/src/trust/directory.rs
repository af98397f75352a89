//! SuperOffice's certificates as files in a directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use mirrorlab_protocol::certificate::Certificate;

use super::resolver::KeyId;

/// The endings of the files that are read; letter case does not count.
pub const EXTENSIONS: [&str; 4] = ["cer", "crt", "pem", "der"];

/// The largest file that is read, in bytes. A certificate has about two thousand.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How many of the files that are no certificates a message names.
const BROKEN_SHOWN_MAX: usize = 2;

/// Why a directory is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be listed.
    #[error("the directory of trusted certificates {path} cannot be read: {why}")]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Nothing in it is a certificate.
    #[error(
        "the directory of trusted certificates {path} holds no certificate that can be read: expected SuperOffice's public \
         certificates as .cer, .crt, .pem or .der files{meant}{broken}"
    )]
    Empty {
        /// The directory.
        path: PathBuf,
        /// A directory in it that does hold some, or nothing.
        meant: String,
        /// What is wrong with the first files that look like certificates, or nothing.
        broken: String,
    },
}

/// What a cheap look at the directory sees; where it differs, the files are read again.
type Listing = Vec<(PathBuf, u64, Option<SystemTime>)>;

#[derive(Default)]
struct State {
    listing: Listing,
    /// By thumbprint in upper hex.
    certificates: HashMap<String, Arc<Certificate>>,
    looked_at: Option<i64>,
}

/// A directory of trusted certificates. Files may come and go while the server runs.
pub struct CertificateDirectory {
    path: PathBuf,
    state: Mutex<State>,
}

impl CertificateDirectory {
    /// Reads the directory for the first time. A broken file is logged and passed over.
    ///
    /// # Errors
    /// [`DirectoryError`] where no certificate can be read.
    pub fn open(path: &Path) -> Result<CertificateDirectory, DirectoryError> {
        let listing = list(path).map_err(|why| DirectoryError::Unreadable {
            path: path.to_owned(),
            why,
        })?;
        let (certificates, broken) = read(&listing);
        if certificates.is_empty() {
            return Err(DirectoryError::Empty {
                path: path.to_owned(),
                meant: match meant(path) {
                    Some(inner) => format!("; {} holds some", inner.display()),
                    None => String::new(),
                },
                broken: first(&broken),
            });
        }
        Ok(CertificateDirectory {
            path: path.to_owned(),
            state: Mutex::new(State {
                listing,
                certificates,
                looked_at: None,
            }),
        })
    }

    /// The certificate of that id. The directory is looked at again once a second of `now`, and for an id that is not
    /// known; read again only where that look sees a change.
    pub fn find(&self, key: &KeyId, now: i64) -> Option<Arc<Certificate>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked_at != Some(now) {
            state.looked_at = Some(now);
            self.look(&mut state);
        } else if key.in_thumbprints(&state.certificates).is_none() {
            self.look(&mut state);
        }
        key.in_thumbprints(&state.certificates)
    }

    /// How many certificates are known now.
    pub fn len(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.certificates.len()
    }

    /// Whether no certificate is known now: someone has emptied the directory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn look(&self, state: &mut State) {
        match list(&self.path) {
            // A share that is away for a moment takes no trust away.
            Err(error) => {
                tracing::error!(directory = %self.path.display(), %error, "the trusted certificates cannot be listed; the known ones stay");
            }
            Ok(listing) if listing == state.listing => {}
            Ok(listing) => {
                let (certificates, _) = read(&listing);
                if certificates.is_empty() {
                    tracing::error!(directory = %self.path.display(), "no trusted certificate is left");
                } else {
                    tracing::info!(directory = %self.path.display(), certificates = certificates.len(), "trusted certificates read again");
                }
                state.certificates = certificates;
                state.listing = listing;
            }
        }
    }
}

/// The directory in this one that was probably meant: the only one with certificates in it, such as `trust` in a set of keys.
fn meant(path: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(path).ok()?.filter_map(Result::ok);
    let mut holding = entries
        .map(|entry| entry.path())
        .filter(|inner| list(inner).is_ok_and(|listing| !read(&listing).0.is_empty()));
    match (holding.next(), holding.next()) {
        (Some(inner), None) => Some(inner),
        _ => None,
    }
}

/// The first few of the files that are no certificates, for a message.
fn first(broken: &[String]) -> String {
    let mut text: String = broken
        .iter()
        .take(BROKEN_SHOWN_MAX)
        .map(|b| format!("; {b}"))
        .collect();
    if let Some(more) = broken.len().checked_sub(BROKEN_SHOWN_MAX + 1) {
        text.push_str(&format!("; and {} more", more + 1));
    }
    text
}

fn list(path: &Path) -> io::Result<Listing> {
    let mut listing = Listing::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let wanted = path
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)));
        // Links are followed: a mounted secret is one. A file that is gone by now is none.
        if let Some(meta) = wanted.then(|| fs::metadata(&path).ok()).flatten()
            && meta.is_file()
        {
            listing.push((path, meta.len(), meta.modified().ok()));
        }
    }
    listing.sort();
    Ok(listing)
}

/// The certificates of the listed files, and a text for each file that is none.
fn read(listing: &Listing) -> (HashMap<String, Arc<Certificate>>, Vec<String>) {
    let mut certificates = HashMap::new();
    let mut broken = Vec::new();
    for (path, length, _) in listing {
        match read_file(path, *length) {
            Ok(found) => {
                certificates.extend(
                    found
                        .into_iter()
                        .map(|certificate| (certificate.thumbprint_hex(), Arc::new(certificate))),
                );
            }
            Err(why) => {
                tracing::warn!(file = %path.display(), why, "not a certificate that can be trusted; passed over");
                let name = path.file_name().unwrap_or(path.as_os_str());
                broken.push(format!("{}: {why}", name.display()));
            }
        }
    }
    (certificates, broken)
}

fn read_file(path: &Path, length: u64) -> Result<Vec<Certificate>, String> {
    if length > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let begin = "-----BEGIN CERTIFICATE-----";
    match std::str::from_utf8(&bytes) {
        // A PEM file may hold several.
        Ok(text) if text.contains(begin) => text
            .split(begin)
            .skip(1)
            .map(|part| Certificate::from_bytes(format!("{begin}{part}").as_bytes()))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string()),
        _ => Certificate::from_bytes(&bytes)
            .map(|certificate| vec![certificate])
            .map_err(|error| error.to_string()),
    }
}

//! Where calls are written down: a directory with a file for each. Files are their owner's alone, and whole as soon as they
//! are there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mirrorlab_engines::private;
use mirrorlab_simulator::capture::form::Call;
use mirrorlab_simulator::capture::redact::Redaction;

/// What is told of each call that was written down.
pub type Tell = Box<dyn Fn(&Call) + Send + Sync>;

/// A directory of calls.
pub struct Files {
    dir: PathBuf,
    redaction: Redaction,
    last_number: AtomicU64,
    written: AtomicU64,
    failure: Mutex<Option<String>>,
    tell: Tell,
}

impl Files {
    /// Writes into `dir`, which is made where it is missing. Numbers begin behind the highest that is there.
    ///
    /// # Errors
    /// The system's, where the directory cannot be made, read, or written into.
    pub fn new(dir: &Path, redaction: Redaction, tell: Tell) -> io::Result<Files> {
        if !dir.is_dir() {
            private::create_dir_all(dir)?;
        }
        let mut last_number = 0;
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let number = name
                .to_string_lossy()
                .split('-')
                .next()
                .and_then(|n| n.parse().ok());
            last_number = last_number.max(number.unwrap_or(0));
        }
        // Asked before a call is taken: SuperOffice's next cycle is far away.
        let probe = dir.join(".mirrorlab-probe");
        private::write(&probe, b"")?;
        fs::remove_file(&probe)?;
        Ok(Files {
            dir: dir.to_owned(),
            redaction,
            last_number: AtomicU64::new(last_number),
            written: AtomicU64::new(0),
            failure: Mutex::default(),
            tell,
        })
    }

    /// The next call's number.
    pub fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many calls were written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// The first file that could not be written, and why.
    pub fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Writes a call down, masked where that was asked for. A file that cannot be written fails no call.
    pub fn keep(&self, call: Call) {
        let call = call.redact(self.redaction);
        let path = self.dir.join(call.file_name());
        let beside = path.with_extension("part");
        let written = private::write(&beside, &call.write()).and_then(|()| fs::rename(&beside, &path));
        match written {
            Ok(()) => {
                self.written.fetch_add(1, Ordering::SeqCst);
                (self.tell)(&call);
            }
            Err(error) => {
                // Half a file helps nobody.
                let _ = fs::remove_file(&beside);
                let text = format!("cannot write {}: {error}", path.display());
                tracing::warn!("{text}");
                self.failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(text);
            }
        }
    }
}

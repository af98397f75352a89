//! Keeps every request and answer in numbered files: `00001-Cust10001-Authenticate-request.xml`, and beside it
//! `…-reply-200.xml`, or `…-no-reply.txt` with the reason.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mirrorlab_engines::private;
use mirrorlab_protocol::token::check_context;

use super::{Endpoint, OutgoingCall, Reply, TransportError};

/// Hands calls on, and writes them down while its flag is up. A file that cannot be written fails no call: the first
/// such failure is kept, to be told at the end.
pub struct Recorder<E> {
    inner: E,
    directory: PathBuf,
    on: AtomicBool,
    last_number: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl<E: Endpoint> Recorder<E> {
    /// Writes into `directory`, which is made where it is missing. Numbers begin behind the highest that is there.
    ///
    /// # Errors
    /// The system's, where the directory cannot be made or read.
    pub fn new(inner: E, directory: &Path) -> std::io::Result<Recorder<E>> {
        private::create_dir_all(directory)?;
        let mut last_number = 0;
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            let number = name
                .to_string_lossy()
                .split('-')
                .next()
                .and_then(|n| n.parse().ok());
            last_number = last_number.max(number.unwrap_or(0));
        }
        Ok(Recorder {
            inner,
            directory: directory.to_owned(),
            on: AtomicBool::new(true),
            last_number: AtomicU64::new(last_number),
            failure: Mutex::default(),
        })
    }

    /// Raises or lowers the flag.
    pub fn set_on(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    /// The first file that could not be written, and why.
    pub fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn keep(&self, name: &str, bytes: &[u8]) {
        let path = self.directory.join(name);
        if let Err(error) = private::write(&path, bytes) {
            let text = format!("cannot write {}: {error}", path.display());
            tracing::warn!("{text}");
            self.failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(text);
        }
    }
}

impl<E: Endpoint> Endpoint for Recorder<E> {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        if !self.on.load(Ordering::SeqCst) {
            return self.inner.call(call);
        }
        let number = self.last_number.fetch_add(1, Ordering::SeqCst) + 1;
        // A name becomes a part of a path only where it is a plain one.
        let context = check_context(&call.context).map_or("tenant", |()| &call.context);
        let stem = format!("{number:05}-{context}-{}", call.operation);
        self.keep(&format!("{stem}-request.xml"), &call.body);
        let result = self.inner.call(call);
        match &result {
            Ok(reply) => self.keep(&format!("{stem}-reply-{}.xml", reply.status), &reply.body),
            Err(error) => self.keep(&format!("{stem}-no-reply.txt"), error.to_string().as_bytes()),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::reply;
    use mirrorlab_protocol::names::Operation;

    struct Parrot;

    impl Endpoint for Parrot {
        fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
            if call.operation == Operation::Wipe {
                let (endpoint, why) = ("https://x/".to_owned(), "gone".to_owned());
                return Err(TransportError::Broken { endpoint, why });
            }
            Ok(reply(207, "text/xml", call.body.to_ascii_uppercase()))
        }
    }

    fn call(context: &str, operation: Operation) -> OutgoingCall {
        OutgoingCall {
            operation,
            context: context.into(),
            body: b"<a/>".to_vec(),
        }
    }

    #[test]
    fn every_call_leaves_two_files_while_the_flag_is_up() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("deep").join("messages");
        let recorder = Recorder::new(Parrot, &target).unwrap();
        recorder
            .call(&call("Cust10001", Operation::Authenticate))
            .unwrap();
        recorder.call(&call("../../x", Operation::Wipe)).unwrap_err();
        recorder.set_on(false);
        recorder.call(&call("Cust10001", Operation::RowData)).unwrap();
        let again = Recorder::new(Parrot, &target).unwrap();
        again.call(&call("Cust10002", Operation::RowData)).unwrap();
        let mut files: Vec<String> = std::fs::read_dir(&target)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let text = std::fs::read_to_string(entry.path()).unwrap();
                format!("{}: {text}", entry.file_name().to_string_lossy())
            })
            .collect();
        files.sort();
        insta::assert_snapshot!(files.join("\n"), @r#"
00001-Cust10001-Authenticate-reply-207.xml: <A/>
00001-Cust10001-Authenticate-request.xml: <a/>
00002-tenant-Wipe-no-reply.txt: the connection to https://x/ broke: gone
00002-tenant-Wipe-request.xml: <a/>
00003-Cust10002-RowData-reply-207.xml: <A/>
00003-Cust10002-RowData-request.xml: <a/>
"#);
        assert_eq!(recorder.failure(), None);
    }

    #[test]
    fn what_cannot_be_written_fails_no_call_but_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("messages");
        let recorder = Recorder::new(Parrot, &target).unwrap();
        std::fs::remove_dir(&target).unwrap();
        recorder
            .call(&call("Cust10001", Operation::Authenticate))
            .unwrap();
        let failure = recorder.failure().unwrap();
        assert!(
            failure.starts_with("cannot write")
                && failure.contains("00001-Cust10001-Authenticate-request.xml")
        );
        assert!(Recorder::new(Parrot, Path::new("/dev/null/messages")).is_err());
    }
}

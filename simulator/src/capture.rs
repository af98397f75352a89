//! Calls of the mirroring service in files: recorded by this program, or saved by hand out of some tool.
//!
//! What people save varies: the body alone, or with its HTTP headers above it, whatever their `Content-Length` says; with or
//! without a byte order mark, in UTF-8 or UTF-16; pretty-printed; one call after the other. All of it is read by one rule:
//! XML documents stand in the file one after the other, each ends where its outermost element does, and lines between
//! them are HTTP's. Files of [`form`] say themselves where everything ends.
//!
//! - [`split`]: a file's documents, each with the HTTP headers above it
//! - [`form`]: the recorder's own files
//! - [`redact`]: a message with its secrets or its cells masked

pub mod form;
pub mod redact;
pub mod split;

use std::path::Path;

/// The largest file that is taken, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A capture that could not be read: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {what}", place(*.line, *.column))]
pub struct CaptureError {
    /// The file, as the person named it.
    pub file: String,
    /// The line, counted from 1; 0 where it is about the file as a whole.
    pub line: usize,
    /// The column in characters, counted from 1; 0 where it is about the line as a whole.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

/// `:3:14`, or as much of it as is known.
pub(crate) fn place(line: usize, column: usize) -> String {
    match (line, column) {
        (0, _) => String::new(),
        (line, 0) => format!(":{line}"),
        (line, column) => format!(":{line}:{column}"),
    }
}

/// Where a text begins in its file, so that a place in it is told as a place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The line of its first character, counted from 1.
    pub line: usize,
    /// The column of its first character, counted from 1.
    pub column: usize,
}

impl Origin {
    /// The beginning of a file.
    pub const FILE: Origin = Origin { line: 1, column: 1 };

    /// Where the byte `offset` of `text` stands, if `text` begins here.
    pub fn of(self, text: &str, offset: usize) -> Origin {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        match before.rfind('\n') {
            None => Origin {
                line: self.line,
                column: self.column + before.chars().count(),
            },
            Some(last) => Origin {
                line: self.line + before.matches('\n').count(),
                column: before[last + 1..].chars().count() + 1,
            },
        }
    }

    /// An error here.
    pub fn error(self, file: &str, what: impl ToString) -> CaptureError {
        CaptureError {
            file: file.to_owned(),
            line: self.line,
            column: self.column,
            what: what.to_string(),
        }
    }
}

/// Reads a file whole.
///
/// # Errors
/// [`CaptureError`], where it cannot be read or is larger than [`FILE_BYTES_MAX`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, CaptureError> {
    let failed = |what: String| CaptureError {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        what,
    };
    let length = std::fs::metadata(path)
        .map_err(|error| failed(format!("it cannot be read: {error}")))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(failed(format!(
            "it has {length} bytes; at most {FILE_BYTES_MAX} are read"
        )));
    }
    std::fs::read(path).map_err(|error| failed(format!("it cannot be read: {error}")))
}

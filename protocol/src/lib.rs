//! The wire between SuperOffice's mirroring task and a partner's mirroring endpoint.
//!
//! Everything here is a pure function of bytes: no sockets, no files, no clock. Both sides are in this crate, what a
//! caller writes and what a receiver reads, so that the server and the simulator share one reading of the protocol and
//! nothing else.
//!
//! - [`names`]: namespaces, the five operations and their SOAP actions
//! - [`xml`]: reading namespaced XML over borrowed text, and writing text as .NET writes it
//! - [`soap`]: envelope, header, faults
//! - [`message`]: the five requests and their responses
//! - [`types`], [`default`], [`schema`]: a table's shape, from SQL text into closed types
//! - [`value`], [`datetime`], [`decimal`], [`float`]: a cell's text and the value it stands for
//! - [`keys`], [`certificate`]: RSA keys and X.509 certificates in the forms the field uses
//! - [`token`], [`answer`]: SuperOffice's signed token, and the application's signed answer to it
//! - [`clock`]: the time, handed in
//!
//! Where a rule comes from is said beside it: *seen* in the vendor's traffic or WSDL, *doc* for its documentation,
//! *.NET* for what its serializer does, *assumed* where nobody outside knows. `docs/protocol.md` has them all.

pub mod answer;
pub mod certificate;
pub mod clock;
pub mod datetime;
pub mod decimal;
pub mod default;
pub mod float;
pub mod keys;
pub mod message;
pub mod names;
pub mod schema;
pub mod soap;
pub mod token;
pub mod types;
pub mod value;
pub mod xml;

/// The largest part of a cell, name or message that an error text repeats, in characters.
const EXCERPT_CHARS: usize = 60;

/// `text` shortened for an error message: control characters escaped, at most 60 characters.
pub fn excerpt(text: &str) -> String {
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == EXCERPT_CHARS {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

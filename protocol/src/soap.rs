//! The SOAP 1.1 envelope: its header with the signed token, and faults.

use crate::names::{MESSAGES, Operation};
use crate::xml::{self, Ns, Reader, XmlError};

/// The most bytes an envelope may have before its body begins. A token has about a thousand.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The kinds of SOAP fault that a receiver of this contract gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// The request is wrong.
    Client,
    /// The receiver failed.
    Server,
    /// A header that had to be understood was not.
    MustUnderstand,
    /// Not SOAP 1.1.
    VersionMismatch,
    /// No such operation (.NET).
    ActionNotSupported,
}

impl FaultCode {
    /// The code's local name.
    pub fn name(self) -> &'static str {
        match self {
            FaultCode::Client => "Client",
            FaultCode::Server => "Server",
            FaultCode::MustUnderstand => "MustUnderstand",
            FaultCode::VersionMismatch => "VersionMismatch",
            FaultCode::ActionNotSupported => "ActionNotSupported",
        }
    }
}

/// A fault, as a caller reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SOAP fault {code}: {text}")]
pub struct Fault {
    /// The code without its prefix: `Client`, `ActionNotSupported` …
    pub code: String,
    /// The fault's text for people.
    pub text: String,
}

/// Why an envelope or a message in it was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SoapError {
    /// The XML is broken.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// The envelope is SOAP 1.2's.
    #[error("this is SOAP 1.2; the service speaks SOAP 1.1")]
    Version,
    /// A header that must be understood is not known here.
    #[error("the header `{0}` says mustUnderstand, and is not understood")]
    NotUnderstood(String),
    /// The envelope or the message has not the form of the contract.
    #[error("{0}")]
    Form(String),
}

/// What stands in an envelope's header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The `SignedToken`'s text, without white space around it (seen with line breaks).
    pub token: Option<String>,
}

/// Reads an envelope up to the first element inside its body; the reader then stands before that element.
///
/// # Errors
/// [`SoapError`] for anything that is not a SOAP 1.1 envelope with a body.
pub fn open(reader: &mut Reader<'_>) -> Result<Head, SoapError> {
    let root = reader.root()?;
    match (root.ns, root.local()) {
        (Ns::Soap11, "Envelope") => {}
        (Ns::Soap12, _) => return Err(SoapError::Version),
        (_, name) => {
            return Err(SoapError::Form(format!(
                "the document is a `{}`, not a SOAP 1.1 Envelope",
                crate::excerpt(name)
            )));
        }
    }
    let mut head = Head::default();
    let mut not_understood = None;
    while let Some(part) = reader.child()? {
        match (part.ns, part.local()) {
            (Ns::Soap11, "Header") => read_headers(reader, &mut head, &mut not_understood)?,
            (Ns::Soap11, "Body") => {
                return match not_understood {
                    None => Ok(head),
                    Some(name) => Err(SoapError::NotUnderstood(name)),
                };
            }
            _ => reader.skip()?,
        }
    }
    Err(SoapError::Form("the envelope has no Body".into()))
}

fn read_headers(
    reader: &mut Reader<'_>,
    head: &mut Head,
    not_understood: &mut Option<String>,
) -> Result<(), SoapError> {
    while let Some(header) = reader.child()? {
        if header.is(Ns::Messages, "SignedToken") {
            if head.token.is_some() {
                return Err(SoapError::Form("the header has two SignedToken elements".into()));
            }
            head.token = Some(reader.text()?.trim().to_owned());
        } else {
            if header.must_understand {
                not_understood.get_or_insert_with(|| crate::excerpt(header.local()));
            }
            reader.skip()?;
        }
    }
    Ok(())
}

/// What the beginning of a call says of its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// The body has not begun yet: more bytes are needed.
    More,
    /// The header is whole.
    Head(Head),
    /// It never will be.
    Failed(SoapError),
}

/// Looks for the header in the first bytes of a call, so that its token can be checked before the rest is taken in.
/// `complete` says that there are no more bytes.
pub fn peek(bytes: &[u8], complete: bool) -> Peek {
    // Bytes of a character that is still cut in two are left for the next look.
    let whole = match bytes {
        _ if complete => bytes,
        // Half a byte order mark, perhaps.
        [] | [_] => return Peek::More,
        [0xff, 0xfe, ..] | [b'<', 0, ..] => whole_utf16(bytes, u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, b'<', ..] => whole_utf16(bytes, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(_) => bytes,
            Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
            Err(_) => return Peek::Failed(XmlError::Encoding("UTF-8").into()),
        },
    };
    let text = match xml::decode(whole) {
        Ok(text) => text,
        Err(error) => return Peek::Failed(error.into()),
    };
    match open(&mut Reader::new(&text)) {
        Ok(head) => Peek::Head(head),
        Err(SoapError::Xml(XmlError::Dtd)) => Peek::Failed(XmlError::Dtd.into()),
        // What looks broken may only be cut: the limit ends the doubt.
        Err(SoapError::Xml(_)) if more => Peek::More,
        Err(SoapError::Xml(_)) if !complete => Peek::Failed(SoapError::Form(format!(
            "the envelope's header is longer than {HEAD_BYTES_MAX} bytes"
        ))),
        Err(error) => Peek::Failed(error),
    }
}

/// UTF-16 up to its last whole character.
fn whole_utf16(bytes: &[u8], order: fn([u8; 2]) -> u16) -> &[u8] {
    let (units, _) = bytes.as_chunks::<2>();
    let cut = units
        .last()
        .is_some_and(|unit| (0xd800..0xdc00).contains(&order(*unit)));
    &bytes[..(units.len() - usize::from(cut)) * 2]
}

/// Puts a message into an envelope as the real client does; `token` is the `SignedToken`, left out where `None`.
pub fn envelope(token: Option<&str>, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + token.map_or(0, str::len) + 512);
    out.extend_from_slice(b"<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">");
    if let Some(token) = token {
        out.extend_from_slice(b"<s:Header><h:SignedToken s:mustUnderstand=\"1\" xmlns:h=\"");
        out.extend_from_slice(MESSAGES.as_bytes());
        out.extend_from_slice(b"\">");
        xml::escape(&mut out, token);
        out.extend_from_slice(b"</h:SignedToken></s:Header>");
    }
    out.extend_from_slice(b"<s:Body>");
    out.extend_from_slice(message);
    out.extend_from_slice(b"</s:Body></s:Envelope>");
    out
}

/// Writes a fault as .NET does.
pub fn write_fault(code: FaultCode, text: &str) -> Vec<u8> {
    let mut out =
        b"<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault><faultcode"
            .to_vec();
    if code == FaultCode::ActionNotSupported {
        out.extend_from_slice(b" xmlns:a=\"http://schemas.microsoft.com/ws/2005/05/addressing/none\">a:");
    } else {
        out.extend_from_slice(b">s:");
    }
    out.extend_from_slice(code.name().as_bytes());
    out.extend_from_slice(b"</faultcode><faultstring xml:lang=\"en-US\">");
    xml::escape(&mut out, text);
    out.extend_from_slice(b"</faultstring></s:Fault></s:Body></s:Envelope>");
    out
}

/// Opens an answer: the reader stands inside the response element afterwards.
///
/// # Errors
/// The outer [`SoapError`] where it is no answer to `operation`; the inner [`Fault`] where it is a fault.
pub fn open_response(reader: &mut Reader<'_>, operation: Operation) -> Result<Result<(), Fault>, SoapError> {
    open(reader)?;
    let Some(message) = reader.child()? else {
        return Err(SoapError::Form("the answer's Body is empty".into()));
    };
    if message.is(Ns::Messages, operation.response_element()) {
        return Ok(Ok(()));
    }
    if !message.is(Ns::Soap11, "Fault") {
        return Err(SoapError::Form(format!(
            "the answer is a `{}`, expected `{}` of namespace {MESSAGES}",
            crate::excerpt(message.local()),
            operation.response_element()
        )));
    }
    let mut fault = Fault {
        code: String::new(),
        text: String::new(),
    };
    while let Some(part) = reader.child()? {
        match part.local() {
            "faultcode" => {
                let code = reader.text()?;
                fault.code = code.trim().rsplit(':').next().unwrap_or_default().to_owned();
            }
            "faultstring" => fault.text = reader.text()?.into_owned(),
            _ => reader.skip()?,
        }
    }
    Ok(Err(fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Request, write_request};

    #[test]
    fn a_header_is_found_wherever_the_bytes_are_cut() {
        let message = write_request(&Request::Authenticate {
            client_state: Some("😀😀😀".into()),
        });
        let call = String::from_utf8(envelope(Some("ø😀.b.c"), &message)).unwrap();
        let marked: Vec<u16> = std::iter::once(0xfeff).chain(call.encode_utf16()).collect();
        let encodings: [Vec<u8>; 4] = [
            call.clone().into_bytes(),
            format!("\u{feff}{call}").into_bytes(),
            marked.iter().flat_map(|u| u.to_le_bytes()).collect(),
            marked[1..].iter().flat_map(|u| u.to_be_bytes()).collect(),
        ];
        let head = Head {
            token: Some("ø😀.b.c".to_owned()),
        };
        for bytes in encodings {
            let mut found = false;
            for cut in 0..bytes.len() {
                match peek(&bytes[..cut], false) {
                    Peek::More => assert!(!found, "found and lost again at {cut}"),
                    Peek::Head(seen) => {
                        assert_eq!(seen, head);
                        found = true;
                    }
                    Peek::Failed(error) => panic!("cut at {cut}: {error}"),
                }
            }
            assert_eq!(peek(&bytes, true), Peek::Head(head.clone()));
            assert!(found);
        }
    }
}

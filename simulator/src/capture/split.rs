//! Splits a file into XML documents, each with the HTTP lines above it.

use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::xml::{Ns, Reader, XmlError};

use super::{CaptureError, Origin};

/// One XML document of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The request's or status line above it: `POST /x.svc HTTP/1.1`.
    pub start_line: Option<String>,
    /// The headers above it.
    pub headers: Vec<(String, String)>,
    /// The document, from its declaration or outermost element to that element's end.
    pub text: String,
    /// Where it begins in the file.
    pub origin: Origin,
}

impl Document {
    /// A header, its name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// A header among others, its name without regard to case.
pub fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Whether a file looks like a capture rather than like plain lines: XML, HTTP, or a recorder's own file.
pub fn is_capture(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    cursor.skip_space();
    let Some(first) = cursor.peek() else {
        return false;
    };
    if first == '<' || bytes.starts_with(super::form::MAGIC.as_bytes()) {
        return true;
    }
    let line = cursor.line();
    is_start_line(&line) || read_header(&line).is_some()
}

/// Splits a file; `file` is what errors call it.
///
/// # Errors
/// [`CaptureError`] with line and column: lines that are neither XML nor HTTP, a document without an end, a document type
/// definition. A file without any document is an empty list.
pub fn split(file: &str, bytes: &[u8]) -> Result<Vec<Document>, CaptureError> {
    let mut cursor = Cursor::new(bytes);
    let mut documents = Vec::new();
    let (mut start_line, mut headers) = (None, Vec::new());
    loop {
        cursor.skip_space();
        let origin = cursor.origin;
        match cursor.peek() {
            None => return Ok(documents),
            Some('<') => {
                let text = cursor.document(file)?;
                documents.push(Document {
                    start_line: start_line.take(),
                    headers: std::mem::take(&mut headers),
                    text,
                    origin,
                });
            }
            Some('\u{1f}') => {
                return Err(origin.error(
                    file,
                    "the body is packed with gzip; unpack it, or save it unpacked, and leave out nothing else",
                ));
            }
            Some(_) => {
                let line = cursor.line();
                if is_start_line(&line) {
                    start_line = Some(line);
                    headers.clear();
                } else if let Some(header) = read_header(&line) {
                    headers.push(header);
                } else if !is_chunk_size(&line) || !has_chunks(&headers) {
                    return Err(origin.error(
                        file,
                        format!(
                            "`{}` is neither XML nor a line of HTTP; expected an envelope, `<…:Envelope …>`, or the HTTP \
                             headers above one",
                            excerpt(&line)
                        ),
                    ));
                } else if line.trim() != "0" {
                    cursor.unchunk(file, origin, &line)?;
                }
            }
        }
    }
}

/// `POST /x.svc HTTP/1.1`, `HTTP/1.1 200 OK`.
fn is_start_line(line: &str) -> bool {
    let line = line.trim_end();
    let words = line.split(' ').count();
    (line.starts_with("HTTP/1.") || line.starts_with("HTTP/2")) && words >= 2
        || line
            .rsplit_once(' ')
            .is_some_and(|(_, version)| version.starts_with("HTTP/"))
            && line
                .split(' ')
                .next()
                .is_some_and(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_uppercase()))
}

fn read_header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    is_name.then(|| (name.to_owned(), value.trim().to_owned()))
}

fn is_chunk_size(line: &str) -> bool {
    let size = line.split(';').next().unwrap_or_default().trim();
    !size.is_empty() && size.len() <= 8 && size.bytes().all(|b| b.is_ascii_hexdigit())
}

fn has_chunks(headers: &[(String, String)]) -> bool {
    header(headers, "transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Little,
    Utf16Big,
}

impl Encoding {
    /// All that begins something here is an ASCII character, so that a zero beside it tells UTF-16 and its order, with or
    /// without a byte order mark.
    fn detect(bytes: &[u8]) -> Encoding {
        match bytes {
            [0, _, ..] => Encoding::Utf16Big,
            [_, 0, ..] => Encoding::Utf16Little,
            _ => Encoding::Utf8,
        }
    }

    fn unit(self, bytes: &[u8]) -> Option<u16> {
        match (self, bytes) {
            (Encoding::Utf8, [first, ..]) => Some(u16::from(*first)),
            (Encoding::Utf16Little, [a, b, ..]) => Some(u16::from_le_bytes([*a, *b])),
            (Encoding::Utf16Big, [a, b, ..]) => Some(u16::from_be_bytes([*a, *b])),
            _ => None,
        }
    }
}

/// A place in the file.
struct Cursor<'b> {
    bytes: std::borrow::Cow<'b, [u8]>,
    at: usize,
    origin: Origin,
    /// Of what came last. White space is read in it: an LF and a zero may be half of a character each.
    last: Encoding,
}

impl<'b> Cursor<'b> {
    fn new(bytes: &'b [u8]) -> Cursor<'b> {
        Cursor {
            bytes: bytes.into(),
            at: 0,
            origin: Origin::FILE,
            last: Encoding::detect(bytes),
        }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn encoding(&self) -> Encoding {
        let space = [b' ', b'\t', b'\r', b'\n'].map(u16::from);
        match self.last.unit(self.rest()) {
            Some(unit) if space.contains(&unit) => self.last,
            _ => match self.rest() {
                // An LF of its own behind the big order, and then the first half of a character in it.
                [byte, 0, ..] if self.last == Encoding::Utf16Big && space.contains(&u16::from(*byte)) => {
                    Encoding::Utf8
                }
                rest => Encoding::detect(rest),
            },
        }
    }

    /// The next character, where it is ASCII; U+FFFD for any other.
    fn peek(&self) -> Option<char> {
        let unit = self.encoding().unit(self.rest())?;
        Some(
            u8::try_from(unit)
                .ok()
                .filter(u8::is_ascii)
                .map_or(char::REPLACEMENT_CHARACTER, char::from),
        )
    }

    fn width(&self) -> usize {
        match self.encoding() {
            Encoding::Utf8 => 1,
            _ => 2,
        }
    }

    /// Over white space and byte order marks.
    fn skip_space(&mut self) {
        loop {
            match self.rest() {
                [0xef, 0xbb, 0xbf, ..] => self.at += 3,
                [0xff, 0xfe, ..] => {
                    self.at += 2;
                    self.last = Encoding::Utf16Little;
                }
                [0xfe, 0xff, ..] => {
                    self.at += 2;
                    self.last = Encoding::Utf16Big;
                }
                _ => match self.peek() {
                    Some('\n') => {
                        self.at += self.width();
                        self.origin.line += 1;
                        self.origin.column = 1;
                    }
                    Some(' ' | '\t' | '\r') => {
                        self.at += self.width();
                        self.origin.column += 1;
                    }
                    _ => return,
                },
            }
        }
    }

    /// A line, without its end.
    fn line(&mut self) -> String {
        let width = self.width();
        self.last = self.encoding();
        let mut units = Vec::new();
        while let Some(unit) = self.last.unit(self.rest()) {
            self.at += width;
            if unit == u16::from(b'\n') {
                break;
            }
            units.push(unit);
        }
        if self.at + width > self.bytes.len() {
            self.at = self.bytes.len();
        }
        self.origin.line += 1;
        self.origin.column = 1;
        let text = match width {
            // Header lines are ASCII; whatever else stands there is only shown.
            1 => {
                let bytes: Vec<u8> = units
                    .iter()
                    .map(|unit| u8::try_from(*unit).unwrap_or(b'?'))
                    .collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => String::from_utf16_lossy(&units),
        };
        text.trim_end_matches('\r').to_owned()
    }

    /// The document that begins here, to the end of its outermost element. What follows it need not be text.
    fn document(&mut self, file: &str) -> Result<String, CaptureError> {
        let encoding = self.encoding();
        self.last = encoding;
        let utf16 = |order: fn([u8; 2]) -> u16| -> String {
            let (pairs, _) = self.rest().as_chunks::<2>();
            char::decode_utf16(pairs.iter().map(|pair| order(*pair)))
                .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        };
        let decoded = match encoding {
            Encoding::Utf8 => None,
            Encoding::Utf16Little => Some(utf16(u16::from_le_bytes)),
            Encoding::Utf16Big => Some(utf16(u16::from_be_bytes)),
        };
        let (text, is_whole) = match &decoded {
            Some(text) => (text.as_str(), true),
            None => match std::str::from_utf8(self.rest()) {
                Ok(text) => (text, true),
                Err(error) => {
                    let valid = &self.rest()[..error.valid_up_to()];
                    (std::str::from_utf8(valid).unwrap_or_default(), false)
                }
            },
        };
        let mut reader = Reader::new(text);
        let walked = reader.root().and_then(|_| reader.skip());
        if let Err(error) = walked {
            let ended = matches!(error, XmlError::Truncated)
                || matches!(&error, XmlError::Syntax { at, .. } if usize::try_from(*at).is_ok_and(|at| at >= text.len()));
            if ended && !is_whole {
                return Err(self
                    .origin
                    .of(text, text.len())
                    .error(file, "these bytes are no UTF-8; expected UTF-8 or UTF-16"));
            }
            let at = self.origin.of(text, offset_of_error(&reader, &error));
            return Err(at.error(file, told(&error)));
        }
        let end = reader.position();
        let document = text[..end].to_owned();
        self.at += match encoding {
            Encoding::Utf8 => end,
            _ => 2 * document.encode_utf16().count(),
        };
        self.origin = self.origin.of(&document, end);
        Ok(document)
    }

    /// Takes the frames of chunked transfer away, from the size line just read on: what was saved is what went over the
    /// wire.
    fn unchunk(&mut self, file: &str, origin: Origin, first: &str) -> Result<(), CaptureError> {
        let mut body = Vec::new();
        let mut line = first.to_owned();
        loop {
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| {
                origin.error(
                    file,
                    format!(
                        "the body is in chunks (Transfer-Encoding), and `{}` is no chunk's size",
                        excerpt(&line)
                    ),
                )
            })?;
            if size == 0 {
                break;
            }
            let Some(chunk) = self.bytes.get(self.at..self.at.saturating_add(size)) else {
                return Err(origin.error(
                    file,
                    "the body is in chunks (Transfer-Encoding), and the last one is cut",
                ));
            };
            body.extend_from_slice(chunk);
            self.at += size;
            // The line's end behind the chunk.
            self.line();
            if self.at >= self.bytes.len() {
                break;
            }
            line = self.line();
        }
        body.extend_from_slice(self.rest());
        self.bytes = body.into();
        self.at = 0;
        // Lines of the frames count no more: places are those of the body.
        self.origin = Origin {
            line: origin.line + 1,
            column: 1,
        };
        Ok(())
    }
}

/// The byte at which a document breaks: where the error says, else where the reader stands.
pub fn offset_of_error(reader: &Reader<'_>, error: &XmlError) -> usize {
    match error {
        XmlError::Syntax { at, .. }
        | XmlError::MisplacedDeclaration(at)
        | XmlError::UnexpectedText(at)
        | XmlError::UnexpectedElement(at)
        | XmlError::TrailingContent(at) => usize::try_from(*at).unwrap_or(usize::MAX),
        _ => reader.position(),
    }
}

/// The name of the message that a document holds: of the element inside its envelope's Body, or its own where it is no
/// envelope. An error comes
/// with the byte at which it stands.
///
/// # Errors
/// Of XML that is broken before the message begins.
pub fn message_name(text: &str) -> Result<String, (String, usize)> {
    let mut reader = Reader::new(text);
    let failed = |reader: &Reader<'_>, error: &XmlError| (told(error), offset_of_error(reader, error));
    let root = reader.root().map_err(|error| failed(&reader, &error))?;
    if !root.is(Ns::Soap11, "Envelope") {
        return Ok(root.local().to_owned());
    }
    loop {
        match reader.child() {
            Ok(Some(part)) if part.is(Ns::Soap11, "Body") => {
                return match reader.child() {
                    Ok(Some(message)) => Ok(message.local().to_owned()),
                    Ok(None) => Ok("an empty Body".to_owned()),
                    Err(error) => Err(failed(&reader, &error)),
                };
            }
            Ok(Some(_)) => reader.skip().map_err(|error| failed(&reader, &error))?,
            Ok(None) => return Ok("an envelope without a Body".to_owned()),
            Err(error) => return Err(failed(&reader, &error)),
        }
    }
}

/// An XML error without its own place, which the file's stands for.
pub fn told(error: &XmlError) -> String {
    match error {
        XmlError::Syntax { detail, .. } => format!("not well-formed XML: {detail}"),
        XmlError::Truncated => "the XML ends here, before its outermost element does".to_owned(),
        XmlError::UnexpectedText(_) => "text between elements".to_owned(),
        XmlError::UnexpectedElement(_) => "an element inside the text of another".to_owned(),
        XmlError::MisplacedDeclaration(_) => {
            "an XML declaration that does not stand at a document's beginning".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8]) -> Vec<String> {
        split("f", bytes)
            .unwrap()
            .into_iter()
            .map(|d| d.text.replace("\r\n", "\n"))
            .collect()
    }

    fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
        let text = if mark {
            format!("\u{feff}{text}")
        } else {
            text.to_owned()
        };
        text.encode_utf16()
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    }

    const HEAD: &str = "POST /x.svc HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n";

    #[test]
    fn documents_in_every_form() {
        let body = "<?xml version=\"1.0\"?>\n<a x='>'>ø😀<!-- </a> --></a>";
        let other = "<b/>";
        assert_eq!(texts(format!("{body}\n\n{other}").as_bytes()), [body, other]);
        assert_eq!(
            texts(format!("\u{feff}{HEAD}{body}\r\n{HEAD}\u{feff}{other}\r\n").as_bytes()),
            [body, other]
        );
        for big in [false, true] {
            for mark in [false, true] {
                let one = utf16(&format!("{HEAD}{body}"), big, mark);
                let two = utf16(other, big, mark);
                assert_eq!(texts(&[one, two].concat()), [body, other], "{big} {mark}");
                // Headers as they came over the wire, the body in UTF-16 below them, then another call.
                let mixed = [
                    HEAD.as_bytes(),
                    &utf16(body, big, mark),
                    b"\r\n",
                    HEAD.as_bytes(),
                    b"<b/>",
                ]
                .concat();
                assert_eq!(texts(&mixed), [body, other], "{big} {mark}");
            }
        }
        let chunked = "POST /x HTTP/1.1\nTransfer-Encoding: chunked\n\n4\r\n<a>ø\r\n5;x=1\r\n</a>\n\r\n0\r\n\r\nHTTP/1.1 200 OK\n\n<b/>";
        let chunked = chunked.replace("4\r\n<a>ø", "5\r\n<a>ø");
        assert_eq!(texts(chunked.as_bytes()), ["<a>ø</a>", "<b/>"]);
        assert!(split("f", b"").unwrap().is_empty());
        assert!(split("f", HEAD.as_bytes()).unwrap().is_empty());
    }

    #[test]
    fn headers_belong_to_the_document_below_them() {
        let text = format!("{HEAD}<a/>\n<b/>\nHTTP/1.1 200 OK\nX-Y: z: 1\n\n<c/>");
        let all = split("f", text.as_bytes()).unwrap();
        assert_eq!(all[0].start_line.as_deref(), Some("POST /x.svc HTTP/1.1"));
        assert_eq!(all[0].header("content-LENGTH"), Some("99999"));
        assert_eq!((all[1].start_line.as_deref(), all[1].headers.len()), (None, 0));
        assert_eq!(all[2].header("x-y"), Some("z: 1"));
        assert_eq!(all[2].origin, Origin { line: 10, column: 1 });
    }

    #[test]
    fn what_is_no_document_is_told_with_its_place() {
        let mut said = String::new();
        for bytes in [
            &b"\n\n  hello world"[..],
            b"{\"a\": 1}",
            b"<a>\n <b>\n",
            b"<a>\n <b></c></a>",
            b"<!DOCTYPE a [<!ENTITY e 'x'>]>\n<a/>",
            b"<a>\n&e;</a>",
            b"POST / HTTP/1.1\n\n\x1f\x8b\x08",
            b"<a>\xc3\xb8\n\xff</a>",
            b"<a/>\n<x",
            b"<a>\n</a>trailing",
            b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\nff\n<a/>",
            b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n4\n<a/>\nxyz\n",
        ] {
            said.push_str(&format!("{}\n", split("f.xml", bytes).unwrap_err()));
        }
        insta::assert_snapshot!(said);
    }

    #[test]
    fn captures_are_told_from_lines() {
        for yes in [
            &b"  \xef\xbb\xbf<a"[..],
            b"POST /x HTTP/1.1\n",
            b"HTTP/1.1 200 OK",
            b"Host: x",
            b"<\0a\0",
            b"MIRRORLAB-CALL 1\n",
        ] {
            assert!(is_capture(yes), "{yes:?}");
        }
        for no in [
            &b""[..],
            b"# x: y\ntable a",
            b"table contact\n  id int",
            b"  id int not null",
        ] {
            assert!(!is_capture(no), "{no:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(proptest::prop_oneof![
            proptest::strategy::Just(0_u8), proptest::strategy::Just(b'<'), proptest::strategy::Just(b'a'),
            proptest::strategy::Just(b'/'), proptest::strategy::Just(b'>'), proptest::strategy::Just(b'\n'),
            proptest::strategy::Just(b':'), proptest::strategy::Just(0xff), proptest::strategy::Just(0xfe),
            proptest::prelude::any::<u8>(),
        ], 0..60)) {
            let _ = split("f", &bytes);
            let _ = is_capture(&bytes);
        }
    }
}

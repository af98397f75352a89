//! XML: reading namespaced elements over borrowed text, and writing text as .NET writes it.
//!
//! The reader wants the whole document in memory, once, and hands out text borrowed from it wherever no reference or
//! line end had to be resolved. It takes what senders may vary (prefixes, quoting, comments, CDATA, references, white
//! space between elements, UTF-16) and refuses document type definitions, so that no entity is ever expanded.

use std::borrow::Cow;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};

use crate::names;

/// The deepest nesting that is read unless a [`Reader`] is told otherwise. The deepest element of the contract stands at nine.
pub const DEPTH_MAX: usize = 64;
/// The most attributes one element may have: looking for a name that stands twice costs their square.
pub const ATTRIBUTES_MAX: usize = 64;
/// The most namespace declarations in force at one place: every element looks its prefix up among them.
pub const DECLARATIONS_MAX: usize = 256;

/// The namespaces that the contract knows; only they count, prefixes do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ns {
    /// [`names::SOAP11`]
    Soap11,
    /// [`names::SOAP12`]
    Soap12,
    /// [`names::MESSAGES`]
    Messages,
    /// [`names::STRUCTURES`]
    Structures,
    /// [`names::ARRAYS`]
    Arrays,
    /// [`names::INSTANCE`]
    Instance,
    /// No namespace.
    None,
    /// Any other.
    Other,
}

impl Ns {
    fn of(uri: &str) -> Ns {
        match uri {
            names::SOAP11 => Ns::Soap11,
            names::SOAP12 => Ns::Soap12,
            names::MESSAGES => Ns::Messages,
            names::STRUCTURES => Ns::Structures,
            names::ARRAYS => Ns::Arrays,
            names::INSTANCE => Ns::Instance,
            "" => Ns::None,
            _ => Ns::Other,
        }
    }
}

/// Why a document was not read. Offsets count bytes of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// The bytes are not text in the encoding they announce.
    #[error("the request is not {0} text")]
    Encoding(&'static str),
    /// An encoding that is not read here.
    #[error("the encoding `{0}` is not supported; send UTF-8 or UTF-16")]
    UnknownEncoding(String),
    /// Not well-formed.
    #[error("not well-formed XML at byte {at}: {detail}")]
    Syntax {
        /// Where.
        at: u64,
        /// What the parser said.
        detail: String,
    },
    /// The text ended inside an element.
    #[error("the XML ends too early")]
    Truncated,
    /// A document type definition.
    #[error("document type definitions are not accepted")]
    Dtd,
    /// An entity that XML does not define by itself.
    #[error("the entity `&{0};` is not defined")]
    UnknownEntity(String),
    /// A reference to no character.
    #[error("`&{0};` is not a character")]
    BadReference(String),
    /// Elements nested too deeply.
    #[error("elements are nested more than {0} deep")]
    TooDeep(usize),
    /// An element with too many attributes, or too many namespaces in force.
    #[error(
        "an element has more than {ATTRIBUTES_MAX} attributes, or more than {DECLARATIONS_MAX} namespaces are in force"
    )]
    TooManyAttributes,
    /// An XML declaration that is not the document's first.
    #[error("an XML declaration stands at byte {0}, not at the beginning")]
    MisplacedDeclaration(u64),
    /// A prefix without a declaration.
    #[error("the prefix `{0}` is not declared")]
    UndeclaredPrefix(String),
    /// Text where only elements may stand.
    #[error("text between elements at byte {0}")]
    UnexpectedText(u64),
    /// An element where only text may stand.
    #[error("an element inside the text of another at byte {0}")]
    UnexpectedElement(u64),
    /// Something behind the document's end.
    #[error("something follows the document's end at byte {0}")]
    TrailingContent(u64),
}

/// An element's start.
pub struct Tag<'a> {
    start: BytesStart<'a>,
    local_at: usize,
    /// The element's namespace.
    pub ns: Ns,
    /// Whether it says `i:nil="true"`.
    pub nil: bool,
    /// Whether it says `s:mustUnderstand="1"`.
    pub must_understand: bool,
}

impl Tag<'_> {
    /// The name without its prefix.
    #[inline]
    pub fn local(&self) -> &str {
        &self.start.name().into_inner()[self.local_at..]
    }

    /// Whether this is the element `local` of namespace `ns`.
    #[inline]
    pub fn is(&self, ns: Ns, local: &str) -> bool {
        self.ns == ns && self.local() == local
    }
}

/// The attributes that mean something here.
#[derive(Default)]
struct Flags {
    nil: bool,
    must_understand: bool,
}

struct Scope {
    depth: usize,
    prefix: String,
    ns: Ns,
}

impl Scope {
    /// Compared byte by byte: prefixes are a letter or two, and a call costs more than that.
    #[inline]
    fn has(&self, prefix: &str) -> bool {
        self.prefix.len() == prefix.len() && self.prefix.bytes().eq(prefix.bytes())
    }
}

/// Reads a document element by element.
pub struct Reader<'a> {
    inner: quick_xml::Reader<&'a [u8]>,
    scopes: Vec<Scope>,
    depth: usize,
    depth_max: usize,
}

/// Turns a message's bytes into text: UTF-8, with or without its mark, or UTF-16 of either order. UTF-8 is borrowed.
///
/// # Errors
/// [`XmlError::Encoding`].
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    let utf16 = |bytes: &[u8], order: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(XmlError::Encoding("UTF-16"));
        }
        char::decode_utf16(pairs.iter().map(|pair| order(*pair)))
            .collect::<Result<String, _>>()
            .map(Cow::Owned)
            .map_err(|_| XmlError::Encoding("UTF-16"))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [b'<', 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, b'<', ..] => utf16(bytes, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            std::str::from_utf8(bytes)
                .map(Cow::Borrowed)
                .map_err(|_| XmlError::Encoding("UTF-8"))
        }
    }
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `text`.
    pub fn new(text: &'a str) -> Reader<'a> {
        let mut inner = quick_xml::Reader::from_str(text);
        inner.config_mut().expand_empty_elements = true;
        Reader {
            inner,
            scopes: Vec::new(),
            depth: 0,
            depth_max: DEPTH_MAX,
        }
    }

    /// The same reader, for elements nested at most so deep.
    #[must_use]
    pub fn with_depth_max(mut self, depth_max: usize) -> Reader<'a> {
        self.depth_max = depth_max;
        self
    }

    /// How many bytes of the text have been read: behind the tag, the text or the error that came last.
    pub fn position(&self) -> usize {
        // The text is in memory, so its length fits.
        usize::try_from(self.inner.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The document's outermost element.
    ///
    /// # Errors
    /// [`XmlError`] where there is none.
    pub fn root(&mut self) -> Result<Tag<'a>, XmlError> {
        loop {
            let at = self.inner.buffer_position();
            match self.event()? {
                Event::Start(start) => return self.open(start),
                Event::Decl(declaration) => {
                    if at != 0 {
                        return Err(XmlError::MisplacedDeclaration(at));
                    }
                    if let Some(Ok(encoding)) = declaration.encoding() {
                        let known = ["utf-8", "utf-16", "utf-16le", "utf-16be", "us-ascii"];
                        if !known.iter().any(|k| encoding.eq_ignore_ascii_case(k)) {
                            return Err(XmlError::UnknownEncoding(crate::excerpt(&encoding)));
                        }
                    }
                }
                Event::Eof => return Err(XmlError::Truncated),
                other => self.between(&other, at)?,
            }
        }
    }

    /// The next element inside the open one, or `None` at that one's end, which is then behind.
    ///
    /// # Errors
    /// [`XmlError`] for anything but elements, comments and white space.
    pub fn child(&mut self) -> Result<Option<Tag<'a>>, XmlError> {
        loop {
            let at = self.inner.buffer_position();
            match self.event()? {
                Event::Start(start) => return self.open(start).map(Some),
                Event::End(_) => {
                    self.close();
                    return Ok(None);
                }
                Event::Eof => return Err(XmlError::Truncated),
                other => self.between(&other, at)?,
            }
        }
    }

    /// The text of the element just opened, up to its end. White space is kept, line ends are made LF (XML's rule),
    /// and references are resolved, to control characters too, as .NET does.
    ///
    /// # Errors
    /// [`XmlError`], also where an element stands in the text.
    pub fn text(&mut self) -> Result<Cow<'a, str>, XmlError> {
        let mut text = Cow::Borrowed("");
        loop {
            let at = self.inner.buffer_position();
            match self.event()? {
                Event::Text(part) => append(&mut text, normalise(part.into_inner())),
                Event::CData(part) => append(&mut text, normalise(part.into_inner())),
                Event::GeneralRef(reference) => owned(&mut text).push(resolve(&reference.into_inner())?),
                Event::End(_) => {
                    self.close();
                    return Ok(text);
                }
                Event::Start(_) => return Err(XmlError::UnexpectedElement(at)),
                Event::Eof => return Err(XmlError::Truncated),
                Event::DocType(_) => return Err(XmlError::Dtd),
                Event::Decl(_) => return Err(XmlError::MisplacedDeclaration(at)),
                Event::Comment(_) | Event::PI(_) | Event::Empty(_) => {}
            }
        }
    }

    /// Leaves the element just opened unread.
    ///
    /// # Errors
    /// [`XmlError`] where it is not well-formed.
    pub fn skip(&mut self) -> Result<(), XmlError> {
        let outside = self.depth - 1;
        while self.depth > outside {
            match self.event()? {
                Event::Start(start) => {
                    self.open(start)?;
                }
                Event::End(_) => self.close(),
                Event::GeneralRef(reference) => {
                    resolve(&reference.into_inner())?;
                }
                Event::DocType(_) => return Err(XmlError::Dtd),
                Event::Eof => return Err(XmlError::Truncated),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes sure that nothing but comments and white space is left.
    ///
    /// # Errors
    /// [`XmlError::TrailingContent`], or what is wrong there.
    pub fn finish(&mut self) -> Result<(), XmlError> {
        loop {
            let at = self.inner.buffer_position();
            match self.event()? {
                Event::Eof => return Ok(()),
                Event::Start(_) | Event::End(_) => return Err(XmlError::TrailingContent(at)),
                other => self
                    .between(&other, at)
                    .map_err(|_| XmlError::TrailingContent(at))?,
            }
        }
    }

    #[inline]
    fn event(&mut self) -> Result<Event<'a>, XmlError> {
        self.inner.read_event().map_err(|error| XmlError::Syntax {
            at: self.inner.error_position(),
            detail: error.to_string(),
        })
    }

    /// Everything that may stand between elements passes; all else is an error.
    fn between(&self, event: &Event<'_>, at: u64) -> Result<(), XmlError> {
        let text: &str = match event {
            Event::Text(text) => text,
            Event::CData(text) => text,
            Event::DocType(_) => return Err(XmlError::Dtd),
            Event::Decl(_) => return Err(XmlError::MisplacedDeclaration(at)),
            Event::GeneralRef(_) => return Err(XmlError::UnexpectedText(at)),
            _ => return Ok(()),
        };
        if text.bytes().all(|b| b.is_ascii_whitespace()) {
            Ok(())
        } else {
            Err(XmlError::UnexpectedText(at))
        }
    }

    fn open(&mut self, start: BytesStart<'a>) -> Result<Tag<'a>, XmlError> {
        self.depth += 1;
        if self.depth > self.depth_max {
            return Err(XmlError::TooDeep(self.depth_max));
        }
        let flags = if start.attributes_raw().is_empty() {
            Flags::default()
        } else {
            self.attributes(&start)?
        };
        let name = start.name().into_inner();
        let (prefix, local_at) = match name.bytes().position(|b| b == b':') {
            Some(colon) => (&name[..colon], colon + 1),
            None => ("", 0),
        };
        let ns = self.lookup(prefix)?;
        Ok(Tag {
            start,
            local_at,
            ns,
            nil: flags.nil,
            must_understand: flags.must_understand,
        })
    }

    fn close(&mut self) {
        while self.scopes.last().is_some_and(|s| s.depth == self.depth) {
            self.scopes.pop();
        }
        self.depth -= 1;
    }

    /// Takes up the namespaces that a tag declares, and reads the two attributes that mean something here. A cell that
    /// is NULL has one attribute, so that case neither allocates nor looks twice.
    fn attributes(&mut self, start: &BytesStart<'_>) -> Result<Flags, XmlError> {
        let mut count = 0;
        let mut other = None;
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| self.syntax(&error))?;
            count += 1;
            if count > ATTRIBUTES_MAX {
                return Err(XmlError::TooManyAttributes);
            }
            let name = attribute.key.into_inner();
            match name.strip_prefix("xmlns") {
                Some("") => self.declare("", &attribute.value)?,
                Some(rest) if rest.starts_with(':') => self.declare(&rest[1..], &attribute.value)?,
                _ => other = Some(attribute),
            }
        }
        let mut flags = Flags::default();
        if count > 1 {
            // A prefix may be declared behind its use, and a name may stand twice.
            for attribute in start.attributes() {
                let attribute = attribute.map_err(|error| self.syntax(&error))?;
                self.flag(&attribute, &mut flags)?;
            }
        } else if let Some(attribute) = other {
            self.flag(&attribute, &mut flags)?;
        }
        Ok(flags)
    }

    fn declare(&mut self, prefix: &str, uri: &str) -> Result<(), XmlError> {
        if self.scopes.len() == DECLARATIONS_MAX {
            return Err(XmlError::TooManyAttributes);
        }
        self.scopes.push(Scope {
            depth: self.depth,
            prefix: prefix.to_owned(),
            ns: Ns::of(&attribute_text(uri)?),
        });
        Ok(())
    }

    fn flag(&self, attribute: &Attribute<'_>, flags: &mut Flags) -> Result<(), XmlError> {
        let Some((prefix, local)) = attribute.key.into_inner().split_once(':') else {
            return Ok(());
        };
        if prefix == "xmlns" || prefix == "xml" {
            return Ok(());
        }
        let ns = self.lookup(prefix)?;
        let truth = || attribute_text(&attribute.value).map(|v| matches!(v.trim(), "1" | "true"));
        match (ns, local) {
            (Ns::Instance, "nil") => flags.nil = truth()?,
            (Ns::Soap11, "mustUnderstand") => flags.must_understand = truth()?,
            _ => {}
        }
        Ok(())
    }

    fn lookup(&self, prefix: &str) -> Result<Ns, XmlError> {
        match self.scopes.iter().rev().find(|s| s.has(prefix)) {
            Some(scope) => Ok(scope.ns),
            None if prefix.is_empty() => Ok(Ns::None),
            None => Err(XmlError::UndeclaredPrefix(crate::excerpt(prefix))),
        }
    }

    fn syntax(&self, error: &dyn std::fmt::Display) -> XmlError {
        XmlError::Syntax {
            at: self.inner.buffer_position(),
            detail: error.to_string(),
        }
    }
}

fn append<'a>(text: &mut Cow<'a, str>, part: Cow<'a, str>) {
    if text.is_empty() {
        *text = part;
    } else {
        owned(text).push_str(&part);
    }
}

/// The text as one's own, with room for more parts: a text with one reference often has many.
fn owned<'t>(text: &'t mut Cow<'_, str>) -> &'t mut String {
    if let Cow::Borrowed(part) = text {
        let mut own = String::with_capacity(2 * part.len() + 64);
        own.push_str(part);
        *text = Cow::Owned(own);
    }
    text.to_mut()
}

/// A raw CR LF or CR is one LF (XML's rule, which .NET's reader keeps); a referenced `&#xD;` does not come this way.
fn normalise(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.as_bytes().contains(&b'\r') {
        return text;
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn attribute_text(raw: &str) -> Result<Cow<'_, str>, XmlError> {
    if !raw.contains('&') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = String::new();
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        let end = rest[at..]
            .find(';')
            .ok_or_else(|| XmlError::BadReference(crate::excerpt(&rest[at + 1..])))?;
        text.push(resolve(&rest[at + 1..at + end])?);
        rest = &rest[at + end + 1..];
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// The character that `&reference;` stands for. Control characters and U+FFFE, which XML 1.0 forbids, are read, since
/// .NET writes and reads them (.NET); halves of surrogate pairs are not.
fn resolve(reference: &str) -> Result<char, XmlError> {
    match reference {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => {}
    }
    let Some(number) = reference.strip_prefix('#') else {
        return Err(XmlError::UnknownEntity(crate::excerpt(reference)));
    };
    let code = match number.strip_prefix('x') {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok(),
        None if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok(),
        _ => None,
    };
    code.and_then(char::from_u32)
        .ok_or_else(|| XmlError::BadReference(crate::excerpt(reference)))
}

/// Which bytes may begin something that is written as a reference.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        special[control] = control != b'\t' as usize && control != b'\n' as usize;
        control += 1;
    }
    special[b'<' as usize] = true;
    special[b'>' as usize] = true;
    special[b'&' as usize] = true;
    special[0xef] = true;
    special
};

/// Writes text as .NET does: the three markup characters and CR as references, control characters, U+FFFE and U+FFFF
/// too, although XML 1.0 forbids them; LF and TAB raw (.NET).
pub fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| SPECIAL[usize::from(*b)]) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let length = match rest {
            [b'<', ..] => put(out, b"&lt;", 1),
            [b'>', ..] => put(out, b"&gt;", 1),
            [b'&', ..] => put(out, b"&amp;", 1),
            [0xef, 0xbf, 0xbe, ..] => put(out, b"&#xFFFE;", 3),
            [0xef, 0xbf, 0xbf, ..] => put(out, b"&#xFFFF;", 3),
            [control @ 0..0x20, ..] => {
                out.extend_from_slice(if *control < 0x10 { b"&#x" } else { b"&#x1" });
                out.extend_from_slice(&[b"0123456789ABCDEF"[usize::from(control & 0xf)], b';']);
                1
            }
            // The beginning of another character of the same block.
            _ => put(out, &rest[..1], 1),
        };
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
}

fn put(out: &mut Vec<u8>, bytes: &[u8], length: usize) -> usize {
    out.extend_from_slice(bytes);
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(document: &str) -> Result<String, XmlError> {
        let mut reader = Reader::new(document);
        reader.root()?;
        let text = reader.text()?.into_owned();
        reader.finish()?;
        Ok(text)
    }

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        escape(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_written_as_dotnet_writes_it() {
        assert_eq!(
            written("a<b>&\"'\r\n\t\u{1}\u{b}\u{7f}\u{85}\u{fffe}\u{ffff}\u{fffd}]]>😀\0"),
            "a&lt;b&gt;&amp;\"'&#xD;\n\t&#x1;&#xB;\u{7f}\u{85}&#xFFFE;&#xFFFF;\u{fffd}]]&gt;😀&#x0;"
        );
    }

    #[test]
    fn parts_of_a_text_are_put_together() {
        assert_eq!(
            text_of("<a>x<!-- c -->y<![CDATA[<z>&amp;]]>&lt;&#65;&#x1F600;<?pi d?>\r\n\r&#xD;</a>").unwrap(),
            "xy<z>&amp;<A😀\n\n\r"
        );
        assert_eq!(text_of("<a/>").unwrap(), "");
        assert_eq!(text_of("<a>&lt;&gt;&amp;&quot;&apos;</a>").unwrap(), "<>&\"'");
    }

    #[test]
    fn text_without_references_is_borrowed() {
        let mut reader = Reader::new("<a> plain ]] text </a>");
        reader.root().unwrap();
        assert!(matches!(reader.text().unwrap(), Cow::Borrowed(" plain ]] text ")));
    }

    #[test]
    fn namespaces_follow_their_scopes() {
        let document = format!(
            "<p:a xmlns:p='{}' xmlns=\"{}\"><b><p:c xmlns:p='urn:x'/></b><b xmlns=''/><p:d/></p:a>",
            names::SOAP11,
            names::MESSAGES
        );
        let mut reader = Reader::new(&document);
        assert!(reader.root().unwrap().is(Ns::Soap11, "a"));
        assert!(reader.child().unwrap().unwrap().is(Ns::Messages, "b"));
        assert!(reader.child().unwrap().unwrap().is(Ns::Other, "c"));
        assert!(reader.child().unwrap().is_none(), "end of c");
        assert!(reader.child().unwrap().is_none(), "end of b");
        assert!(reader.child().unwrap().unwrap().is(Ns::None, "b"));
        assert!(reader.child().unwrap().is_none());
        assert!(
            reader.child().unwrap().unwrap().is(Ns::Soap11, "d"),
            "p means SOAP again"
        );
    }

    #[test]
    fn refusals() {
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        let mut said: Vec<String> = [
            "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
            "<a>&e;</a>",
            "<a>&#xD800;</a>",
            "<a>&#x110000;</a>",
            "<a>",
            "",
            "<a><b/></a>",
            "<p:a/>",
            "<a></b>",
            "<a/>x",
            "<a/><b/>",
            "<?xml version='1.0' encoding='iso-8859-1'?><a/>",
            "<a><?xml version='1.0'?></a>",
            "<?xml version='1.0'?><?xml version='1.0'?><a/>",
            "<a b='1' b='2'/>",
            "<a>& b</a>",
            "<a>&#x+41;</a>",
            "<a>&#+65;</a>",
            "<a>&#x;</a>",
            "<a>&#;</a>",
            "<a xmlns='&#x+41;'/>",
            "<a xmlns='x&amp'/>",
            "<a xmlns='&e;'/>",
        ]
        .into_iter()
        .map(|document| text_of(document).unwrap_err().to_string())
        .collect();
        let mut reader = Reader::new(&deep);
        reader.root().unwrap();
        said.push(reader.skip().unwrap_err().to_string());
        let attributes: String = (0..65).map(|n| format!(" a{n}=''")).collect();
        said.push(text_of(&format!("<a{attributes}/>")).unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn references_in_attributes_mean_what_they_say() {
        let spelled = names::MESSAGES.replace('/', "&#x2F;").replace('o', "&#111;");
        let instance = names::INSTANCE;
        for (document, ns, nil) in [
            (format!("<a xmlns='{spelled}'/>"), Ns::Messages, false),
            (format!("<p:a xmlns:p='{spelled}&#32;'/>"), Ns::Other, false),
            (
                format!("<a xmlns:i='{instance}' i:nil='&#x74;r&#117;e'/>"),
                Ns::None,
                true,
            ),
            (
                format!("<a xmlns:i='{instance}' i:nil='tru&amp;'/>"),
                Ns::None,
                false,
            ),
            // It only looks like a declaration.
            (format!("<a xmlnsx='{spelled}'/>"), Ns::None, false),
            ("<a xml:lang='en'/>".to_owned(), Ns::None, false),
        ] {
            let tag = Reader::new(&document).root().unwrap();
            assert_eq!((tag.ns, tag.nil), (ns, nil), "{document}");
        }
    }

    #[test]
    fn what_may_not_stand_between_elements_or_in_what_is_skipped() {
        let after = |document: &str, skip: bool| {
            let mut reader = Reader::new(document);
            reader.root().unwrap();
            if skip {
                reader.skip()
            } else {
                reader.child().map(|_| ())
            }
        };
        let said: Vec<String> = [
            "&amp;",
            "&#32;",
            "&e;",
            "<![CDATA[x]]>",
            "x",
            "<!DOCTYPE x>",
            "<?xml version='1.0'?>",
        ]
        .into_iter()
        .map(|inner| {
            let document = format!("<a>{inner}<b/></a>");
            let skipped = after(&document, true).map_or_else(|e| e.to_string(), |()| "skipped".into());
            format!("{inner} | {} | {skipped}", after(&document, false).unwrap_err())
        })
        .collect();
        insta::assert_snapshot!(said.join("\n"), @"
        &amp; | text between elements at byte 3 | skipped
        &#32; | text between elements at byte 3 | skipped
        &e; | text between elements at byte 3 | the entity `&e;` is not defined
        <![CDATA[x]]> | text between elements at byte 3 | skipped
        x | text between elements at byte 3 | skipped
        <!DOCTYPE x> | document type definitions are not accepted | document type definitions are not accepted
        <?xml version='1.0'?> | an XML declaration stands at byte 3, not at the beginning | skipped
        ");
        assert_eq!(after("<a> <![CDATA[ ]]><!-- c --><?pi?><b/></a>", false), Ok(()));
        assert_eq!(after("<a><b>", true), Err(XmlError::Truncated));
    }

    #[test]
    fn limits_are_what_may_still_be() {
        let deep = format!("{}{}", "<a>".repeat(DEPTH_MAX), "</a>".repeat(DEPTH_MAX));
        let mut reader = Reader::new(&deep);
        reader.root().unwrap();
        assert_eq!(reader.skip(), Ok(()));
        let attributes: String = (0..ATTRIBUTES_MAX).map(|n| format!(" a{n}=''")).collect();
        assert_eq!(text_of(&format!("<a{attributes}>x</a>")).unwrap(), "x");
    }

    #[test]
    fn utf16_of_both_orders_is_read() {
        let document = "<a>ø😀</a>";
        for mark in [true, false] {
            let units: Vec<u16> = mark
                .then_some(0xfeff)
                .into_iter()
                .chain(document.encode_utf16())
                .collect();
            let little: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
            let big: Vec<u8> = units.iter().flat_map(|u| u.to_be_bytes()).collect();
            assert_eq!(decode(&little).unwrap(), document);
            assert_eq!(decode(&big).unwrap(), document);
        }
        assert_eq!(decode(b"\xef\xbb\xbf<a/>").unwrap(), "<a/>");
        assert!(decode(b"<a>\xff</a>").is_err());
        assert!(decode(b"<\0a\0>").is_err(), "half a unit");
    }

    #[test]
    fn the_position_is_behind_what_was_read() {
        let mut reader = Reader::new("<a> <b/>x</a>");
        assert_eq!(reader.position(), 0);
        reader.root().unwrap();
        assert_eq!(reader.position(), 3);
        reader.child().unwrap();
        assert_eq!(reader.position(), 8);
        assert!(
            reader.child().unwrap().is_none(),
            "an empty element ends where its tag does"
        );
        assert_eq!(reader.position(), 8);
    }

    #[test]
    fn namespaces_in_force_are_limited() {
        let mut document = String::new();
        for level in 0..5 {
            let declared: String = (0..60).map(|n| format!(" xmlns:p{level}x{n}='u'")).collect();
            document.push_str(&format!("<a{declared}>"));
        }
        let mut reader = Reader::new(&document);
        reader.root().unwrap();
        assert_eq!(reader.skip(), Err(XmlError::TooManyAttributes));
    }

    proptest! {
        #[test]
        fn every_text_survives(text: String) {
            prop_assert_eq!(text_of(&format!("<a>{}</a>", written(&text))).unwrap(), text);
        }

        #[test]
        fn no_input_makes_the_reader_panic(text in "[<>/a&;#x\"'= !\\-\\[\\]?:\r\n]{0,40}") {
            let _ = text_of(&text);
        }
    }
}

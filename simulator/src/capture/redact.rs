//! Masks secrets and customers' data in a message, so that it can be shown to others: its elements, its lengths and its
//! kinds of characters stay, what it says goes.
//!
//! What is kept is listed, not what is masked: an element that nobody thought of is masked. Where a message cannot be read
//! as XML to its end, all of the rest is masked.

use std::fmt;
use std::str::FromStr;

use mirrorlab_protocol::xml;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::form::Message;

/// What is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redaction {
    /// Tokens, signed answers, the partner's ClientState, whatever else the SOAP header holds, a URL's query, and all
    /// values of HTTP headers but the usual ones.
    pub tokens: bool,
    /// All text but names, types, numbers of rows and LSNs: cells, error texts, whatever else a message holds.
    pub cells: bool,
}

/// Not a word for what is masked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not what can be masked; expected tokens, cells, or all")]
pub struct UnknownRedaction(String);

impl FromStr for Redaction {
    type Err = UnknownRedaction;

    /// `tokens`, `cells`, `all`, or several words.
    fn from_str(text: &str) -> Result<Redaction, UnknownRedaction> {
        let mut all = Redaction::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word {
                "tokens" => all.tokens = true,
                "cells" => all.cells = true,
                "all" => (all.tokens, all.cells) = (true, true),
                _ => return Err(UnknownRedaction(mirrorlab_protocol::excerpt(word))),
            }
        }
        match all == Redaction::default() {
            true => Err(UnknownRedaction(mirrorlab_protocol::excerpt(text))),
            false => Ok(all),
        }
    }
}

impl fmt::Display for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.tokens, self.cells) {
            (true, true) => "tokens cells",
            (true, false) => "tokens",
            (false, true) => "cells",
            (false, false) => "nothing",
        })
    }
}

/// Elements of which the text is a secret.
const SECRETS: [&str; 3] = ["SignedToken", "SignedApplicationToken", "ClientState"];
/// Elements of which the text is nobody's data: what a message's shape is made of.
const SHAPE: [&str; 14] = [
    "TableName",
    "Name",
    "Type",
    "IsNullable",
    "DefaultValue",
    "LSN",
    "Operation",
    "Inserts",
    "Updates",
    "Deletes",
    "IsSuccessful",
    "SupportedInterfaces",
    "SuperOfficeMirroringBuild",
    "faultcode",
];
/// Attributes of which the value is nobody's data, besides namespaces.
const SHAPE_ATTRIBUTES: [&str; 4] = ["nil", "type", "mustUnderstand", "encodingStyle"];
/// HTTP headers of which the value is nobody's secret: what every call has.
const SHAPE_HEADERS: [&str; 33] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "last-modified",
    "pragma",
    "request-id",
    "retry-after",
    "server",
    "soapaction",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-powered-by",
];

impl Redaction {
    /// What either masks.
    #[must_use]
    pub fn and(self, other: Redaction) -> Redaction {
        Redaction {
            tokens: self.tokens || other.tokens,
            cells: self.cells || other.cells,
        }
    }

    /// Masks a message, its headers too.
    pub fn message(self, message: &mut Message) {
        if self == Redaction::default() {
            return;
        }
        message.body = self.body(&message.body);
        message.start_line = without_query(&message.start_line);
        for (name, value) in &mut message.headers {
            let is_shape = SHAPE_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known));
            if self.tokens && !is_shape {
                *value = masked(value);
            }
        }
    }

    /// Masks why there was no answer: whatever URL stands in it.
    pub fn reason(self, why: &mut String) {
        if self != Redaction::default() {
            let words: Vec<String> = why.split(' ').map(without_query).collect();
            *why = words.join(" ");
        }
    }

    /// Masks a body. It is UTF-8 afterwards.
    pub fn body(self, body: &[u8]) -> Vec<u8> {
        if self == Redaction::default() {
            return body.to_vec();
        }
        let text = match xml::decode(body) {
            Ok(text) => text,
            Err(_) => String::from_utf8_lossy(body),
        };
        self.text(&text).into_bytes()
    }

    /// Whether the text in the innermost of these elements is masked.
    fn hides(self, open: &[String]) -> bool {
        match open.last().map(String::as_str) {
            Some(name) if SECRETS.contains(&name) => self.tokens,
            // A login of somebody's own, as WS-Security has one.
            _ if open.iter().any(|name| name == "Header") => self.tokens || self.cells,
            Some(name) if SHAPE.contains(&name) => false,
            _ => self.cells,
        }
    }

    /// A tag as it is but for its attributes' values; `open` are the elements it stands in, and itself.
    fn tag(self, raw: &str, open: &[String]) -> String {
        if !self.hides(open) && !self.cells {
            return raw.to_owned();
        }
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.find(['"', '\'']) {
            let (before, quoted) = rest.split_at(at);
            let quote = &quoted[..1];
            let Some(end) = quoted[1..].find(quote) else { break };
            let name = before.trim_end().trim_end_matches('=').trim_end();
            let name = name.rsplit(char::is_whitespace).next().unwrap_or_default();
            let is_shape =
                name == "xmlns" || name.starts_with("xmlns:") || SHAPE_ATTRIBUTES.contains(&local(name));
            let value = &quoted[1..=end];
            let value = if is_shape { value.to_owned() } else { masked(value) };
            out.push_str(before);
            out.push_str(quote);
            out.push_str(&value);
            out.push_str(quote);
            rest = &quoted[end + 2..];
        }
        out + rest
    }

    fn text(self, text: &str) -> String {
        let mut reader = Reader::from_str(text);
        let mut out = String::with_capacity(text.len());
        // The open elements' names without their prefixes.
        let mut open: Vec<String> = Vec::new();
        loop {
            let from = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
            let event = reader.read_event();
            let to = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
            let raw = text.get(from..to).unwrap_or_default();
            let hidden = self.hides(&open);
            match event {
                Ok(Event::Start(start)) => {
                    open.push(local(start.name().into_inner()).to_owned());
                    out.push_str(&self.tag(raw, &open));
                }
                Ok(Event::Empty(empty)) => {
                    open.push(local(empty.name().into_inner()).to_owned());
                    out.push_str(&self.tag(raw, &open));
                    open.pop();
                }
                Ok(Event::End(_)) => {
                    open.pop();
                    out.push_str(raw);
                }
                Ok(Event::Text(_)) if hidden => out.push_str(&masked_cell(raw)),
                Ok(Event::CData(part)) if hidden => {
                    out.push_str("<![CDATA[");
                    out.push_str(&masked_cell(&part));
                    out.push_str("]]>");
                }
                Ok(Event::GeneralRef(reference)) if hidden => {
                    // Markup and control characters are shape; a letter written as a number is not.
                    let name = reference.into_inner();
                    let is_shape = matches!(&*name, "lt" | "gt" | "amp" | "quot" | "apos")
                        || number_of(&name).is_some_and(|code| code < 0x20);
                    out.push_str(if is_shape { raw } else { "x" });
                }
                // Anything may stand in them, and nobody reads them.
                Ok(Event::Comment(_) | Event::PI(_) | Event::DocType(_)) => {}
                Ok(Event::Eof) => {
                    return match open.is_empty() && out.contains('<') {
                        true => out,
                        // No XML, or cut: what looked like markup may be none.
                        false if self.cells && !out.contains('<') => masked(text),
                        false => out,
                    };
                }
                Ok(Event::Decl(_)) => {
                    // The text is UTF-8 now, whatever it was.
                    out.push_str(if raw.to_ascii_lowercase().contains("utf-16") {
                        "<?xml version=\"1.0\"?>"
                    } else {
                        raw
                    });
                }
                Ok(_) => out.push_str(raw),
                Err(_) => {
                    out.push_str(&masked(text.get(from..).unwrap_or_default()));
                    return out;
                }
            }
        }
    }
}

/// A request's line without what its URL's query says.
fn without_query(line: &str) -> String {
    match line.split_once('?') {
        None => line.to_owned(),
        Some((before, rest)) => {
            let (query, version) = match rest.rsplit_once(' ') {
                Some((query, version)) => (query, format!(" {version}")),
                None => (rest, String::new()),
            };
            format!("{before}?{}{version}", masked(query))
        }
    }
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn number_of(reference: &str) -> Option<u32> {
    let number = reference.strip_prefix('#')?;
    match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => number.parse().ok(),
    }
}

/// A cell's text: its marker (`[I:`, `[DT:`) stays.
fn masked_cell(text: &str) -> String {
    let marker = ["[I:", "[S:", "[L:", "[F:", "[M:", "[B:", "[D:", "[T:", "[DT:"]
        .into_iter()
        .find(|marker| text.starts_with(marker) && text.ends_with(']'));
    match marker {
        Some(marker) => format!("{marker}{}", masked(&text[marker.len()..])),
        None => masked(text),
    }
}

/// `text` with other letters and digits: as long, and of the same kinds.
fn masked(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'a'..='z' => 'x',
            'A'..='Z' => 'X',
            '0'..='9' => '0',
            c if c.is_ascii() => c,
            c if c.len_utf16() == 1 => 'ø',
            _ => '😀',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirrorlab_protocol::message::{Request, read_request};
    use mirrorlab_protocol::soap;
    use proptest::prelude::*;

    const ALL: Redaction = Redaction {
        tokens: true,
        cells: true,
    };
    const TOKENS: Redaction = Redaction {
        tokens: true,
        cells: false,
    };

    fn redacted(redaction: Redaction, text: &str) -> String {
        String::from_utf8(redaction.body(text.as_bytes())).unwrap()
    }

    #[test]
    fn words() {
        assert_eq!("tokens".parse(), Ok(TOKENS));
        assert_eq!("all".parse(), Ok(ALL));
        assert_eq!("cells, tokens".parse(), Ok(ALL));
        for text in ["", "token", "tokens,x"] {
            assert!(text.parse::<Redaction>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_reason_has_no_query() {
        let masked = |redaction: Redaction| {
            let mut why =
                "cannot connect to https://a.example/x.svc?code=Hush1: is it https:// there?".to_owned();
            redaction.reason(&mut why);
            why
        };
        assert!(masked(Redaction::default()).contains("Hush1"));
        for redaction in [TOKENS, ALL] {
            assert_eq!(
                masked(redaction),
                "cannot connect to https://a.example/x.svc?xxxx=Xxxx0: is it https:// there?"
            );
        }
    }

    #[test]
    fn shape_is_kept_and_nothing_else() {
        let message = "<?xml version='1.0' encoding='utf-8'?><e:Envelope xmlns:e='u'><!-- Anna --><e:Header><h:SignedToken>eyJ.Ab1_-</h:SignedToken>\
            <x:Other>secret</x:Other></e:Header><Body><ClientState>pw=1</ClientState><string>Anna &amp; B&#xF8;b&#xD;&#1; 😀ø]</string>\
            <string>[DT:05/18/2020 10:40:43.0000000]</string><string i:nil='true'/><string><![CDATA[<Anna>]]></string><Operation>I</Operation>\
            <TableName>contact</TableName><LSN>12</LSN><ErrorMessage>row `Anna`</ErrorMessage></Body></e:Envelope>";
        insta::assert_snapshot!(format!(
            "{}\n{}",
            redacted(ALL, message),
            redacted(TOKENS, message)
        ));
    }

    #[test]
    fn attributes_hold_secrets_too() {
        let message = "<e:Envelope xmlns:e='u' xmlns=\"v\"><e:Header><w:Login w:user='anna' s:mustUnderstand='1' \
                       key=\"k'1\">pw</w:Login><w:Key id = 'k2'/></e:Header><Body><string i:nil='true' note='Anna'/></Body></e:Envelope>";
        assert_eq!(
            redacted(TOKENS, message),
            "<e:Envelope xmlns:e='u' xmlns=\"v\"><e:Header><w:Login w:user='xxxx' s:mustUnderstand='1' key=\"x'0\">xx</w:Login>\
             <w:Key id = 'x0'/></e:Header><Body><string i:nil='true' note='Anna'/></Body></e:Envelope>"
        );
        assert_eq!(
            redacted(ALL, message),
            redacted(TOKENS, message).replace("'Anna'", "'Xxxx'")
        );
    }

    #[test]
    fn a_query_and_unusual_headers_are_secrets() {
        let message = |start: &str, key: &str| Message {
            start_line: start.into(),
            headers: [
                ("Content-Type", "text/xml"),
                ("X-Api-Key", key),
                ("SOAPAction", "\"u\""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            body: b"<a/>".to_vec(),
            cut: None,
            origin: None,
        };
        let mut got = message("POST /crm/x.svc?code=Ab1&b HTTP/1.1", "Secret-1");
        TOKENS.message(&mut got);
        assert_eq!(got, message("POST /crm/x.svc?xxxx=Xx0&x HTTP/1.1", "Xxxxxx-0"));
        let mut answer = message("HTTP/1.1 200 OK", "");
        TOKENS.message(&mut answer);
        assert_eq!(answer, message("HTTP/1.1 200 OK", ""));
    }

    #[test]
    fn what_is_no_xml_is_masked_whole() {
        assert_eq!(redacted(ALL, "Anna's row 17"), "Xxxx'x xxx 00");
        assert_eq!(redacted(ALL, "<a>Anna</b>Bob"), "<a>Xxxx</x>Xxx");
        assert_eq!(redacted(ALL, "<string>Anna"), "<string>Xxxx");
        assert_eq!(redacted(TOKENS, "<SignedToken>Anna"), "<SignedToken>Xxxx");
        assert_eq!(redacted(ALL, ""), "");
        let utf16: Vec<u8> = "\u{feff}<?xml version='1.0' encoding='utf-16'?><a>Anna</a>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(ALL.body(&utf16), b"<?xml version=\"1.0\"?><a>Xxxx</a>");
    }

    proptest! {
        /// No letter of a cell is left, and what is left is read as before, with cells as long.
        #[test]
        fn no_cell_gets_through(cells in proptest::collection::vec("[b-wB-W1-9æ-ü<>&\r\n\t]{0,12}", 1..5)) {
            let mut inner = String::new();
            for cell in &cells {
                let mut out = Vec::new();
                xml::escape(&mut out, cell);
                inner.push_str(&format!("<b:string>{}</b:string>", String::from_utf8(out).unwrap()));
            }
            let names = mirrorlab_protocol::names::MESSAGES;
            let structures = mirrorlab_protocol::names::STRUCTURES;
            let arrays = mirrorlab_protocol::names::ARRAYS;
            let message = format!(
                "<RowDataRequest xmlns='{names}' xmlns:a='{structures}' xmlns:b='{arrays}'><DataBatches><a:RowDataBatch><a:Data>\
                 <a:RowData><a:ColumnValues>{inner}</a:ColumnValues><a:Operation>I</a:Operation></a:RowData></a:Data>\
                 </a:RowDataBatch></DataBatches></RowDataRequest>"
            );
            let body = ALL.body(&soap::envelope(Some("abc.def.ghi"), message.as_bytes()));
            let text = String::from_utf8(body).unwrap();
            let mut reader = xml::Reader::new(&text);
            let head = soap::open(&mut reader).unwrap();
            prop_assert_eq!(head.token.as_deref(), Some("xxx.xxx.xxx"));
            let Request::RowData { batches, .. } = read_request(&mut reader).unwrap() else { panic!() };
            let row = batches[0].rows.iter().next().unwrap();
            for (got, cell) in row.cells.iter().zip(&cells) {
                prop_assert_eq!(got.as_deref().unwrap_or_default(), masked(cell));
            }
            prop_assert_eq!(row.cells.len(), cells.len());
        }
    }
}

//! A request with another token and another ClientState, and every other byte of its text as it was.

use std::ops::Range;

use mirrorlab_protocol::soap::SoapError;
use mirrorlab_protocol::xml::{self, Ns, Reader, XmlError};

/// Puts `token` into the envelope's SignedToken, and `state` into its ClientState where it has one that says something.
/// `state` is what the endpoint gave, `None` where it was not asked yet. An encoding that the text no longer has is taken
/// out of its declaration.
///
/// # Errors
/// [`SoapError`], where the text is no SOAP envelope.
pub fn edit(text: &str, token: &str, state: Option<Option<&str>>) -> Result<String, SoapError> {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut reader = Reader::new(text);
    let root = reader.root()?;
    if !root.is(Ns::Soap11, "Envelope") {
        return Err(SoapError::Form("it is no SOAP 1.1 Envelope".into()));
    }
    while let Some(part) = reader.child()? {
        if part.is(Ns::Soap11, "Header") {
            while let Some(header) = reader.child()? {
                if header.is(Ns::Messages, "SignedToken") {
                    let (place, _) = content(text, &mut reader)?;
                    edits.push(place.with(text, token));
                } else {
                    reader.skip()?;
                }
            }
        } else if part.is(Ns::Soap11, "Body") {
            let Some(message) = reader.child()? else {
                break;
            };
            if message.ns != Ns::Messages {
                break;
            }
            // The members are few, and rows are skipped as a whole.
            while let Some(member) = reader.child()? {
                if member.is(Ns::Messages, "ClientState") {
                    let (place, recorded) = content(text, &mut reader)?;
                    if let Some(state) = state
                        && !recorded.is_empty()
                    {
                        edits.push(place.with(text, state.unwrap_or_default()));
                    }
                } else {
                    reader.skip()?;
                }
            }
            break;
        } else {
            reader.skip()?;
        }
    }
    let mut out = String::with_capacity(text.len() + token.len());
    let mut from = 0;
    if let Some(end) = utf16_declaration(text) {
        from = end;
    }
    for (range, replacement) in edits {
        out.push_str(&text[from..range.start]);
        out.push_str(&replacement);
        from = range.end;
    }
    out.push_str(&text[from..]);
    Ok(out)
}

/// Where a declaration ends that says UTF-16.
fn utf16_declaration(text: &str) -> Option<usize> {
    let end = text.starts_with("<?xml").then(|| text.find("?>"))?? + 2;
    text[..end].to_ascii_lowercase().contains("utf-16").then_some(end)
}

/// The text of the element just opened: where it stands, and what it says.
fn content(text: &str, reader: &mut Reader<'_>) -> Result<(Place, String), XmlError> {
    let opened = reader.position();
    let said = reader.text()?.into_owned();
    let closed = reader.position();
    if text[..opened].ends_with("/>") {
        let start = text[..opened].rfind('<').unwrap_or(opened);
        return Ok((Place::Empty(start..opened), said));
    }
    let end = text[opened..closed].rfind("</").unwrap_or(0) + opened;
    Ok((Place::Text(opened..end), said))
}

enum Place {
    /// Between two tags.
    Text(Range<usize>),
    /// A tag that is both.
    Empty(Range<usize>),
}

impl Place {
    fn with(self, text: &str, content: &str) -> (Range<usize>, String) {
        let mut escaped = Vec::new();
        xml::escape(&mut escaped, content);
        let escaped = String::from_utf8_lossy(&escaped).into_owned();
        match self {
            Place::Text(range) => (range, escaped),
            Place::Empty(range) => {
                let tag = text[range.clone()].trim_end_matches("/>");
                let name = tag[1..]
                    .split(|c: char| c.is_ascii_whitespace())
                    .next()
                    .unwrap_or_default();
                let made = format!("{tag}>{escaped}</{name}>");
                (range, made)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirrorlab_protocol::message::read_request;
    use mirrorlab_protocol::names::{MESSAGES, SOAP11};
    use mirrorlab_protocol::soap;

    fn envelope(token: &str, message: &str) -> String {
        format!(
            "<e:Envelope xmlns:e='{SOAP11}'><!-- SignedToken --><e:Header><x xmlns=''/>{token}</e:Header>\n<e:Body>\
             <WipeRequest xmlns='{MESSAGES}'>{message}<TableName>ClientState</TableName></WipeRequest></e:Body></e:Envelope>"
        )
    }

    #[test]
    fn token_and_state_are_put_in_and_nothing_else_changes() {
        for (token, message, expected_state) in [
            (
                "<h:SignedToken xmlns:h='M'>\n old </h:SignedToken>",
                "<ClientState>then</ClientState>",
                "a<b",
            ),
            ("<SignedToken\n a='1' xmlns='M' />", "<ClientState/>", ""),
            (
                "<SignedToken xmlns='M'/>",
                "<ClientState xmlns:i='I' i:nil='true'></ClientState>",
                "",
            ),
            (
                "<SignedToken xmlns='M'><![CDATA[old]]><!-- x --></SignedToken>",
                "<ClientState>th<![CDATA[e]]>n</ClientState>",
                "a<b",
            ),
        ] {
            let text = envelope(&token.replace("'M'", &format!("'{MESSAGES}'")), message);
            let edited = edit(&text, "n&w", Some(Some("a<b"))).unwrap();
            let mut reader = Reader::new(&edited);
            assert_eq!(
                soap::open(&mut reader).unwrap().token.as_deref(),
                Some("n&w"),
                "{edited}"
            );
            let request = read_request(&mut reader).unwrap();
            assert_eq!(
                request.client_state().unwrap_or_default(),
                expected_state,
                "{edited}"
            );
            let without = |text: &str| {
                text.replace("n&amp;w", "")
                    .replace("a&lt;b", "")
                    .replace("old", "")
                    .replace("then", "")
            };
            if token.contains("\n old ") {
                assert_eq!(without(&edited), without(&text).replace("\n  </h", "</h"));
            }
            // Asked for no state yet: the recorded one stays.
            assert!(
                message.contains("then") == edit(&text, "x", None).unwrap().contains(">then<"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_declaration_does_not_say_what_is_no_longer_so() {
        let text = format!("<?xml version='1.0' encoding='UTF-16'?>{}", envelope("", ""));
        assert!(edit(&text, "x", None).unwrap().starts_with("<e:Envelope"));
        let text = text.replace("UTF-16", "utf-8");
        assert_eq!(edit(&text, "x", None).unwrap(), text);
        assert!(edit("<html/>", "x", None).is_err());
        assert!(edit("<html", "x", None).is_err());
    }
}

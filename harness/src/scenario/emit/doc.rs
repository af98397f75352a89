//! YAML, as much of it as scenario files need, laid out for people.

/// The longest line that is not broken up, in characters.
const WIDTH: usize = 110;

/// A value to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Doc {
    /// `null`.
    Null,
    /// As it stands: it needs no quotes, or has them.
    Scalar(String),
    /// A list.
    List(Vec<Doc>),
    /// A mapping.
    Map(Vec<(String, Doc)>),
}

impl Doc {
    /// A number, truth value or word of the format's own.
    pub fn plain(value: impl ToString) -> Doc {
        Doc::Scalar(value.to_string())
    }

    /// Any text, in quotes where YAML would read it as something else.
    pub fn text(text: &str) -> Doc {
        Doc::Scalar(match is_plain(text) {
            true => text.to_owned(),
            false => quoted(text),
        })
    }

    /// A mapping of the format's own keys.
    pub fn map(parts: Vec<(&str, Doc)>) -> Doc {
        Doc::Map(
            parts
                .into_iter()
                .map(|(key, doc)| (key.to_owned(), doc))
                .collect(),
        )
    }

    /// A mapping as a file's lines.
    pub fn file(&self) -> String {
        let mut out = String::new();
        self.block(&mut out, 0);
        out
    }

    /// An item of the list of steps.
    pub fn item(&self) -> String {
        let flow = match self {
            Doc::Scalar(text) => text.clone(),
            Doc::Map(entries) => match entries.as_slice() {
                [(key, body)] => format!("{key}: {}", body.flow()),
                _ => self.flow(),
            },
            other => other.flow(),
        };
        if fits(&flow, 4) {
            return format!("  - {flow}\n");
        }
        let mut out = String::new();
        self.block(&mut out, 4);
        // The item's first line carries the hyphen.
        out.replacen("    ", "  - ", 1)
    }

    /// On one line.
    pub fn flow(&self) -> String {
        match self {
            Doc::Null => "null".into(),
            Doc::Scalar(text) => text.clone(),
            Doc::List(list) => {
                let items: Vec<String> = list.iter().map(Doc::flow).collect();
                format!("[{}]", items.join(", "))
            }
            Doc::Map(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(key, doc)| format!("{}: {}", key_text(key), doc.flow()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    /// On lines of its own, `indent` blanks in.
    fn block(&self, out: &mut String, indent: usize) {
        let blanks = " ".repeat(indent);
        match self {
            Doc::Map(entries) if !entries.is_empty() => {
                for (key, doc) in entries {
                    let key = key_text(key);
                    let flow = doc.flow();
                    let broken = matches!(doc, Doc::Map(m) if !m.is_empty())
                        || matches!(doc, Doc::List(l) if !l.is_empty());
                    if fits(&flow, indent + key.len() + 2) || !broken {
                        out.push_str(&format!("{blanks}{key}: {flow}\n"));
                    } else {
                        out.push_str(&format!("{blanks}{key}:\n"));
                        doc.block(out, indent + 2);
                    }
                }
            }
            Doc::List(list) => {
                for doc in list {
                    out.push_str(&format!("{blanks}- {}\n", doc.flow()));
                }
            }
            other => out.push_str(&format!("{blanks}{}\n", other.flow())),
        }
    }
}

fn fits(text: &str, before: usize) -> bool {
    text.chars().count() + before <= WIDTH
}

fn key_text(key: &str) -> String {
    match is_plain(key) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

/// Whether a text stands for itself without quotes, inside brackets too.
fn is_plain(text: &str) -> bool {
    let starts = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let negative = text
        .strip_prefix('-')
        .and_then(|rest| rest.chars().next())
        .is_some_and(|c| c.is_ascii_digit());
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | '/' | ' ' | '(' | ')');
    (starts || negative)
        && text.chars().all(inner)
        && !text.ends_with(' ')
        && text != "null"
        // Words that older readers of YAML take for truth values.
        && !["true", "false", "yes", "no", "y", "n"].iter().any(|w| text.eq_ignore_ascii_case(w))
}

/// In double quotes, with everything escaped that a person would not see.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ if is_seen(c) => out.push(c),
            _ => match u32::from(c) {
                code @ ..=0xff => out.push_str(&format!("\\x{code:02X}")),
                code @ ..=0xffff => out.push_str(&format!("\\u{code:04X}")),
                code => out.push_str(&format!("\\U{code:08X}")),
            },
        }
    }
    out.push('"');
    out
}

/// Letters, and the pictures that people write.
fn is_seen(c: char) -> bool {
    (c.is_alphabetic() && !('\u{590}'..='\u{8ff}').contains(&c) && c < '\u{2_0000}')
        || ('\u{1f300}'..='\u{1f6ff}').contains(&c)
}

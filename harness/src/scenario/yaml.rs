//! YAML, as much of it as scenario files may use: one document of mappings, lists and scalars, each with its place.
//!
//! Anchors, aliases, merge keys, tags and second documents are refused: a scenario reads from top to bottom, and no
//! small file becomes a large one. Size, depth and the number of nodes are limited. A key that stands twice is a mistake.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::mistake::Mistake;
use super::place::At;

/// The largest file, in bytes.
pub const SIZE_MAX: usize = 1 << 20;
/// The deepest nesting of mappings and lists.
pub const DEPTH_MAX: usize = 16;
/// The most nodes of a file.
pub const NODES_MAX: usize = 100_000;

/// A mapping, list or scalar.
#[derive(Debug, Clone)]
pub struct Node {
    /// A scalar from its first to its last character; a mapping or list up to the end of its first line.
    pub at: At,
    /// What it is.
    pub data: Data,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Data {
    /// Nothing, `~` or `null`.
    Null,
    /// Text; `plain` if it stands without quotes, so that it may be a number or a truth value.
    Scalar {
        /// Without quotes and escapes.
        text: String,
        /// Whether it stood bare.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the file's order.
    Map(Vec<(Key, Node)>),
}

/// A mapping's key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Where it stands.
    pub at: At,
}

impl Node {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => "a number",
            Data::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "false") => {
                "true or false"
            }
            Data::Scalar { .. } => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }
}

/// Reads a file's text.
///
/// # Errors
/// The mistakes that keep it from being read at all; the nodes are then of no use.
pub fn read(text: &str) -> Result<Node, Vec<Mistake>> {
    let whole = At {
        line: 1,
        column: 1,
        offset: 0,
        length: 0,
    };
    if text.len() > SIZE_MAX {
        return Err(vec![Mistake::new(
            whole,
            format!(
                "the file has {} bytes; a scenario has at most {SIZE_MAX}",
                text.len()
            ),
            "here it begins",
        )]);
    }
    Builder::new(text).run(text)
}

/// A mapping or list that is not yet closed.
struct Open {
    at: At,
    depth_key: Option<Key>,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        seen: HashMap<String, At>,
    },
}

struct Builder {
    /// Byte offset of each character, and of the end.
    offsets: Vec<usize>,
    /// Byte offset of the end of each line, without its line break.
    line_ends: Vec<usize>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    mistakes: Vec<Mistake>,
}

impl Builder {
    fn new(text: &str) -> Builder {
        let offsets = text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect();
        let mut line_ends = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            line_ends.push(start + line.trim_end_matches(['\n', '\r']).len());
            start += line.len();
        }
        Builder {
            offsets,
            line_ends,
            open: Vec::new(),
            root: None,
            nodes: 0,
            mistakes: Vec::new(),
        }
    }

    fn run(mut self, text: &str) -> Result<Node, Vec<Mistake>> {
        let mut parser = Parser::new_from_str(text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let step = match event {
                Ok((Event::DocumentStart(_), span)) if documents == 1 => Err(Mistake::new(
                    self.at(span),
                    "a second YAML document begins",
                    "a scenario file is one document",
                )
                .into()),
                Ok((Event::DocumentStart(_), _)) => {
                    documents += 1;
                    Ok(())
                }
                Ok((event, span)) => self.take(event, span),
                Err(error) => {
                    let at = self.point(*error.marker());
                    Err(
                        Mistake::new(at, format!("this is not YAML: {}", error.info()), "noticed here")
                            .into(),
                    )
                }
            };
            if let Err(mistake) = step {
                self.mistakes.push(*mistake);
                return Err(self.mistakes);
            }
        }
        if !self.mistakes.is_empty() {
            return Err(self.mistakes);
        }
        self.root.ok_or_else(|| {
            vec![Mistake::new(
                At {
                    line: 1,
                    column: 1,
                    offset: 0,
                    length: 0,
                },
                "the file is empty",
                "expected `id`, `title`, `cites`, `source` or `tenants`, and `steps`",
            )]
        })
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Mistake>> {
        let at = self.at(span);
        let anchored = |what: &str| {
            Mistake::new(at, format!("{what} is not allowed in a scenario"), "write it out")
                .help("a scenario is read from top to bottom: what it says stands where it is meant")
        };
        match event {
            Event::Alias(_) => Err(anchored("a YAML alias (`*name`)").into()),
            Event::Scalar(_, _, 1.., _) | Event::SequenceStart(1.., _) | Event::MappingStart(1.., _) => {
                Err(anchored("a YAML anchor (`&name`)").into())
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => Err(anchored("a YAML tag (`!name`)").into()),
            Event::Scalar(text, style, ..) => self.scalar(text.into_owned(), style == ScalarStyle::Plain, at),
            Event::SequenceStart(..) => self.begin(at, Items::List(Vec::new())),
            Event::MappingStart(..) => self.begin(
                at,
                Items::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, at: At, items: Items) -> Result<(), Box<Mistake>> {
        if self.wants_key() {
            return Err(Mistake::new(at, "a key must be text", "this is a list or a mapping").into());
        }
        if self.open.len() == DEPTH_MAX {
            return Err(
                Mistake::new(at, format!("nested deeper than {DEPTH_MAX} levels"), "too deep").into(),
            );
        }
        let end = self.line_ends.get(at.line - 1).copied().unwrap_or(at.offset);
        let at = At {
            length: end.saturating_sub(at.offset),
            ..at
        };
        self.open.push(Open {
            at,
            depth_key: None,
            items,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Box<Mistake>> {
        let open = self.open.pop().expect("the parser closes only what it opened");
        let data = match open.items {
            Items::List(list) => Data::List(list),
            Items::Map { entries, .. } => Data::Map(entries),
        };
        self.place(Node { at: open.at, data })
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                depth_key: None,
                items: Items::Map { .. },
                ..
            })
        )
    }

    fn scalar(&mut self, text: String, plain: bool, at: At) -> Result<(), Box<Mistake>> {
        if self.wants_key() {
            let open = self
                .open
                .last_mut()
                .expect("a key is only wanted inside a mapping");
            if let Items::Map { seen, .. } = &mut open.items {
                if plain && text == "<<" {
                    return Err(
                        Mistake::new(at, "a YAML merge key (`<<`) is not allowed", "write it out").into(),
                    );
                }
                if let Some(first) = seen.insert(text.clone(), at) {
                    self.mistakes.push(
                        Mistake::new(
                            at,
                            format!("`{text}` stands twice in one mapping"),
                            "the second time",
                        )
                        .and(first, "the first time")
                        .help("only one of the two could count: join them, or take one out"),
                    );
                }
            }
            open.depth_key = Some(Key { text, at });
            return Ok(());
        }
        let data = if plain && matches!(text.as_str(), "" | "~" | "null") {
            Data::Null
        } else {
            Data::Scalar { text, plain }
        };
        self.place(Node { at, data })
    }

    fn place(&mut self, node: Node) -> Result<(), Box<Mistake>> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Mistake::new(
                node.at,
                format!("more than {NODES_MAX} values"),
                "too many by here",
            )
            .into());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => match &mut open.items {
                Items::List(list) => list.push(node),
                Items::Map { entries, .. } => {
                    let key = open
                        .depth_key
                        .take()
                        .expect("a value in a mapping follows its key");
                    entries.push((key, node));
                }
            },
        }
        Ok(())
    }

    fn point(&self, mark: Marker) -> At {
        let last = self.offsets.len() - 1;
        At {
            line: mark.line().max(1),
            column: mark.col() + 1,
            offset: self.offsets[mark.index().min(last)],
            length: 0,
        }
    }

    fn at(&self, span: Span) -> At {
        let start = self.point(span.start);
        let mut end = self.point(span.end).offset;
        // A block text ends where the next line's content begins; mark its first line only.
        if span.end.line() > span.start.line() {
            end = self.line_ends.get(start.line - 1).copied().unwrap_or(end);
        }
        At {
            length: end.saturating_sub(start.offset),
            ..start
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        read(text).unwrap_err()[0].message.clone()
    }

    #[test]
    fn places_count_characters_in_columns_and_bytes_in_offsets() {
        let Data::Map(entries) = read("a: 'é'\nbé: [ü, x]\n").unwrap().data else {
            panic!()
        };
        let Data::List(items) = &entries[1].1.data else {
            panic!()
        };
        assert_eq!(
            items[1].at,
            At {
                line: 2,
                column: 9,
                offset: 18,
                length: 1
            }
        );
        assert_eq!(entries[0].1.at.length, "'é'".len());
    }

    #[test]
    fn what_makes_a_small_file_large_is_refused() {
        assert!(mistake("a: &x 1\nb: *x\n").contains("anchor"));
        assert!(
            mistake("a: *x\n").contains("anchor"),
            "an alias of nothing is YAML's own error"
        );
        assert!(mistake("a: !!str 1\n").contains("tag"));
        assert!(mistake("<<: {a: 1}\n").contains("merge key"));
        assert!(mistake("a: 1\n---\nb: 1\n").contains("second YAML document"));
        assert!(mistake(&format!("{}{}", "[".repeat(17), "]".repeat(17))).contains("nested deeper"));
        assert!(
            mistake(&"[".repeat(100_000)).contains("recursion limit"),
            "the parser's own limit"
        );
        assert!(mistake(&format!("[{}]", "1,".repeat(NODES_MAX + 1))).contains("more than"));
        assert!(mistake(&" ".repeat(SIZE_MAX + 1)).contains("at most"));
        assert!(mistake("").contains("empty"));
    }

    #[test]
    fn all_duplicate_keys_are_found_at_once() {
        let mistakes = read("a: 1\na: 2\nb: {c: 1, c: 2}\n").unwrap_err();
        assert_eq!(mistakes.iter().map(|m| m.at.line).collect::<Vec<_>>(), [2, 3]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c:\\[\\]{}&*!|>\"'#, \\-\n\t~<é]{0,80}") {
            let _ = read(&text);
        }
    }
}

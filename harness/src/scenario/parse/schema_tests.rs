//! `docs/scenario.schema.json` says what the parser says: the same keys, the same words, the same files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::scenario::expect::{EventKind, Outcome};
use crate::scenario::grammar;
use crate::scenario::model::{FaultKind, TokenDefect};
use crate::scenario::yaml::{self, Data, Node};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn schema() -> Value {
    let text = std::fs::read_to_string(repository().join("docs/scenario.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn compiled() -> (Schemas, SchemaIndex) {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("scenario.json", schema()).unwrap();
    let index = compiler.compile("scenario.json", &mut schemas).unwrap();
    (schemas, index)
}

/// As an editor reads it: bare numbers and truth values are those.
fn to_json(node: &Node) -> Value {
    match &node.data {
        Data::Null => Value::Null,
        Data::Scalar { text, plain: true } if text == "true" || text == "false" => json!(text == "true"),
        Data::Scalar { text, plain: true } => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(n), _) => json!(n),
            (_, Ok(n)) if n.is_finite() => json!(n),
            _ => json!(text),
        },
        Data::Scalar { text, .. } => json!(text),
        Data::List(list) => list.iter().map(to_json).collect(),
        Data::Map(entries) => entries
            .iter()
            .map(|(k, v)| (k.text.clone(), to_json(v)))
            .collect(),
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![repository().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn schema_and_parser_know_the_same_keys() {
    let schema = schema();
    let definitions = schema["definitions"].as_object().unwrap();
    for shape in grammar::ALL {
        let definition = definitions
            .get(shape.name)
            .unwrap_or_else(|| panic!("no definition `{}`", shape.name));
        let properties = definition["properties"].as_object().unwrap();
        assert_eq!(
            set(properties.keys().map(String::as_str)),
            set(shape.keys.iter().copied()),
            "{}",
            shape.name
        );
        let open = definition["additionalProperties"] != json!(false);
        assert_eq!(open, shape.others.is_some(), "{}", shape.name);
    }
    // No mapping is in the schema that the parser does not know.
    let known: BTreeSet<_> = grammar::ALL.iter().map(|s| s.name).collect();
    for (name, definition) in definitions {
        assert!(
            definition["type"] != json!("object") || known.contains(name.as_str()),
            "{name}"
        );
    }
}

#[test]
fn schema_and_parser_know_the_same_words() {
    let schema = schema();
    let words = |path: &str| {
        let list = schema["definitions"]
            .pointer(path)
            .and_then(|v| v["enum"].as_array())
            .unwrap();
        set(list.iter().map(|w| w.as_str().unwrap()))
    };
    assert_eq!(words("/defect"), set(TokenDefect::names()));
    assert_eq!(words("/outcome"), set(Outcome::NAMED.map(|(name, _)| name)));
    assert_eq!(
        words("/event/properties/kind"),
        set(EventKind::NAMED.map(|(name, _)| name))
    );
    for key in ["connection", "answer", "call", "server"] {
        let known = FaultKind::NAMED
            .iter()
            .filter(|(k, ..)| *k == key)
            .map(|(_, word, _)| *word);
        assert_eq!(words(&format!("/fault/properties/{key}")), set(known), "{key}");
    }
    assert_eq!(words("/step_item/anyOf/0"), set(super::steps::BARE));
}

#[test]
fn every_scenario_of_the_repository_fits_the_schema() {
    let (schemas, index) = compiled();
    let files = files("scenarios");
    assert!(files.len() >= 40);
    for file in files {
        let node = yaml::read(&std::fs::read_to_string(&file).unwrap()).unwrap();
        if let Err(error) = schemas.validate(&to_json(&node), index) {
            panic!("{}: {error:#}", file.display());
        }
    }
}

#[test]
fn mistakes_of_form_are_the_schemas_too() {
    // These are about what steps made before, about SQL, or about YAML itself, which no schema can say.
    let beyond = [
        "alter",
        "anchors",
        "backup-never-made",
        "beyond-ascii",
        "columns",
        "dropped-table",
        "duplicate-key",
        "empty",
        "not-yaml",
        "nothing-proved",
        "one-tenant-twice",
        "rows",
        "table-without-columns",
        "too-many-rows",
        "unknown-tenant",
    ];
    let (schemas, index) = compiled();
    for file in files("fixtures/bad-scenarios") {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let Ok(node) = yaml::read(&std::fs::read_to_string(&file).unwrap()) else {
            continue;
        };
        if !beyond.contains(&name) {
            assert!(
                schemas.validate(&to_json(&node), index).is_err(),
                "{name} fits the schema"
            );
        }
    }
}

use std::path::Path;

use super::emit;
use crate::scenario::Catalogue;
use crate::scenario::discover::discover;
use crate::scenario::model::Scenario;
use crate::scenario::parse::parse;

/// The scenario without the places where things stand, and without its file.
pub(crate) fn meaning(scenario: &Scenario) -> String {
    let bare = Scenario {
        text: "".into(),
        file: "".into(),
        ..scenario.clone()
    };
    let text = format!("{bare:?}");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    // `At` is never inside quotes: it would be escaped there, or followed by something else.
    while let Some(at) = rest.find("At { line: ") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('}').unwrap();
        rest = &rest[at + end + 1..];
    }
    out + rest
}

#[test]
fn every_scenario_of_the_repository_is_written_as_it_was_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let catalogue = Catalogue::superoffice();
    let scenarios = discover(&[root.join("scenarios")], &[], &catalogue).unwrap();
    assert!(scenarios.len() >= 40);
    for scenario in scenarios {
        let text = emit(&scenario);
        let again = match parse(&scenario.file, &text, &catalogue) {
            Ok(again) => again,
            Err(mistakes) => panic!("{}\n{text}", mistakes.render(110, false)),
        };
        assert_eq!(meaning(&again), meaning(&scenario), "{text}");
        assert_eq!(emit(&again), text, "what is written once is written so again");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_written_so_that_it_is_read_again(text in ".{0,60}", odd in "[\u{0}-\u{20}\u{7f}-\u{a0}'\":#,\\[\\]{}&*!|>%@`?-]{0,12}") {
        for text in [&text, &odd] {
            let doc = super::doc::Doc::map(vec![("a", super::doc::Doc::List(vec![super::doc::Doc::text(text)]))]);
            let node = crate::scenario::yaml::read(&doc.file()).unwrap();
            let crate::scenario::yaml::Data::Map(entries) = node.data else { panic!() };
            let crate::scenario::yaml::Data::List(items) = &entries[0].1.data else { panic!() };
            let crate::scenario::yaml::Data::Scalar { text: read, .. } = &items[0].data else { panic!("{doc:?}") };
            proptest::prop_assert_eq!(read, text);
        }
    }
}

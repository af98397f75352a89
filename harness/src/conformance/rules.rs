//! The rules' own words, for a reader who has only the report.

/// The page of the rules, which is where a rule is written.
const PAGE: &str = include_str!("../../../docs/protocol.md");

/// A rule's sentence, as the page has it; empty for what is no rule.
pub fn text(rule: &str) -> &'static str {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| "));
    let mut of_rule = rows.filter_map(|row| row.strip_prefix(rule)?.strip_prefix(" | "));
    // The last cell says where the rule comes from.
    let row = of_rule.next().map(|row| row.trim_end_matches([' ', '|']));
    row.and_then(|row| row.rsplit_once(" | "))
        .map_or("", |(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::super::catalogue;
    use super::*;

    #[test]
    fn every_cited_rule_has_its_words() {
        for check in catalogue() {
            for rule in check.rules() {
                assert!(text(rule).ends_with('.'), "{rule}: {}", text(rule));
            }
        }
        assert_eq!(
            text("LSN-03"),
            "The receiver stores an LSN only in the commit of the rows it stands for."
        );
        assert_eq!(text("LSN-99"), "");
        assert_eq!(text(""), "");
    }
}

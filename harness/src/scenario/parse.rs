//! Reads a scenario file into the [model](super::model), or says everything that is wrong with it.

mod expects;
mod ledger;
mod reader;
mod schema;
mod settings;
mod steps;
mod tables;

use std::path::Path;

use mirrorlab_protocol::names::same_name;
use mirrorlab_simulator::blocked;

use self::ledger::Ledger;
use self::reader::{Fields, Reader};
use self::steps::Steps;
use super::Catalogue;
use super::grammar;
use super::mistake::{Mistake, Mistakes};
use super::model::{ONLY_TENANT, Scenario, Settings, Step, StepKind, TableSpec, Tenant};
use super::place::Spanned;
use super::yaml::{self, Data, Node};

/// The most steps of one file.
pub const STEPS_MAX: usize = 1000;

/// Reads the text of a scenario file. `catalogue` holds the tables whose columns a file need not write.
///
/// # Errors
/// Every mistake that was found, in the file's order.
pub fn parse(file: &Path, text: &str, catalogue: &Catalogue) -> Result<Scenario, Mistakes> {
    let mut reader = Reader::default();
    let scenario = match yaml::read(text) {
        Ok(root) => scenario(&mut reader, file, text, catalogue, &root),
        Err(mistakes) => {
            reader.mistakes = mistakes;
            None
        }
    };
    match scenario {
        Some(scenario) if reader.mistakes.is_empty() => Ok(scenario),
        _ => {
            reader.mistakes.sort_by_key(|m| m.at.offset);
            Err(Mistakes {
                file: file.to_owned(),
                text: text.into(),
                mistakes: reader.mistakes,
            })
        }
    }
}

fn scenario(
    reader: &mut Reader,
    file: &Path,
    text: &str,
    catalogue: &Catalogue,
    root: &Node,
) -> Option<Scenario> {
    let mut fields = reader.fields(root, &grammar::SCENARIO)?;
    // What is missing in the file is missing at its top.
    fields.at.length = 0;
    let id = id(reader, &fields);
    let title = fields
        .need(reader, "title")
        .and_then(|n| reader.text(n, "a sentence"));
    let cites = fields
        .need(reader, "cites")
        .and_then(|n| reader.text(n, "the rule that this proves, in words"));
    let settings = first_settings(reader, &fields);
    let seed = fields
        .get("seed")
        .and_then(|n| reader.number(n, "a seed, a whole number", 0, u64::MAX));
    let mut ledger = Ledger::default();
    let place = Place {
        folder: file.parent().unwrap_or(Path::new("")),
        catalogue,
    };
    let mut settings = settings;
    let tenants = tenants(reader, &mut ledger, &place, &mut settings.not_blocked, &fields);
    let steps = match tenants {
        // Without tenants every name in the steps would be unknown.
        None => None,
        Some(_) => steps(reader, &mut ledger, catalogue, &fields),
    };
    Some(Scenario {
        file: file.to_owned(),
        text: text.into(),
        id: id?,
        title: title?,
        cites: cites?,
        settings,
        seed,
        tenants: tenants?,
        steps: steps?,
    })
}

fn id(reader: &mut Reader, fields: &Fields<'_>) -> Option<Spanned<String>> {
    let node = fields.need(reader, "id")?;
    let id = reader.text(node, "an id like `restore-ahead`")?;
    let fits = id.len() <= 80
        && id
            .split('-')
            .all(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    if !fits {
        reader.note(
            Mistake::new(
                id.at,
                format!("`{}` is not an id", id.value),
                "not lower-case words with hyphens",
            )
            .help("at most 80 of a to z, 0 to 9 and hyphens, as in `restore-ahead`; it never changes"),
        );
        return None;
    }
    Some(id)
}

fn first_settings(reader: &mut Reader, fields: &Fields<'_>) -> Settings {
    let Some(fields) = fields
        .get("settings")
        .and_then(|n| reader.fields(n, &grammar::SETTINGS))
    else {
        return Settings::default();
    };
    let start = fields.get("start").and_then(|n| reader.moment(n));
    let not_blocked = match fields.get("not_blocked") {
        Some(node) => settings::table_names(reader, node),
        None => Vec::new(),
    };
    Settings {
        start,
        not_blocked: not_blocked.into_iter().map(|name| name.value).collect(),
        ..settings::settings(reader, &fields)
    }
}

/// What a tenant's tables are looked up in.
struct Place<'p> {
    /// Where the scenario file is: other files are named from there.
    folder: &'p Path,
    catalogue: &'p Catalogue,
}

fn tenants(
    reader: &mut Reader,
    ledger: &mut Ledger,
    place: &Place<'_>,
    not_blocked: &mut Vec<String>,
    fields: &Fields<'_>,
) -> Option<Vec<Tenant>> {
    let mut tenants = Vec::new();
    match (fields.get("source"), fields.get("tenants")) {
        (Some(_), Some(second)) => {
            let at = fields.key_at("tenants").unwrap_or(second.at);
            reader.note(
                Mistake::new(at, "`source` and `tenants` cannot both be there", "this")
                    .and(fields.key_at("source").unwrap_or_default(), "and this")
                    .help("`source` is for one tenant, `tenants` for several"),
            );
            return None;
        }
        (None, None) => {
            reader.note(
                Mistake::new(
                    fields.at,
                    "`source` is missing",
                    "this has neither `source` nor `tenants`",
                )
                .help("`source: {tables: {contact: 500}}`, or `tenants: {Cust10001: {tables: …}, …}`"),
            );
            return None;
        }
        (Some(node), None) => {
            let context = Spanned::new(ONLY_TENANT.to_owned(), fields.key_at("source").unwrap_or(node.at));
            tenants.push(tenant(reader, place, not_blocked, context, node)?);
        }
        (None, Some(node)) => {
            let all = reader.fields(node, &grammar::TENANTS)?;
            for (key, node) in &all.others {
                if !expects::looks_like_tenant(&key.text) {
                    reader.note(
                        Mistake::new(
                            key.at,
                            format!("`{}` is not a tenant", key.text),
                            "not letters and digits",
                        )
                        .help("letters, then four digits or more, as SuperOffice writes them: `Cust10001`"),
                    );
                    continue;
                }
                let same = |other: &&Tenant| other.context.value.eq_ignore_ascii_case(&key.text);
                if let Some(other) = tenants.iter().find(same) {
                    let text = format!("`{}` and `{}` are one tenant", other.context.value, key.text);
                    reader.note(
                        Mistake::new(key.at, text, "this")
                            .and(other.context.at, "and this")
                            .help("names of tenants are matched without regard to case"),
                    );
                    continue;
                }
                let context = Spanned::new(key.text.clone(), key.at);
                tenants.extend(tenant(reader, place, not_blocked, context, node));
            }
            if all.others.is_empty() {
                reader.note(Mistake::new(node.at, "there is no tenant", "this is empty"));
                return None;
            }
        }
    }
    for tenant in &tenants {
        ledger.add_tenant(&tenant.context);
        for state in ledger.of(Some(&tenant.context)) {
            for spec in &tenant.tables {
                state.add_table(&spec.table, spec.row_count());
            }
        }
    }
    Some(tenants)
}

fn tenant(
    reader: &mut Reader,
    place: &Place<'_>,
    not_blocked: &mut Vec<String>,
    context: Spanned<String>,
    node: &Node,
) -> Option<Tenant> {
    let fields = reader.fields(node, &grammar::TENANT)?;
    let approved = match fields.get("approved") {
        Some(node) => reader.truth(node, "has it approved the application?")?,
        None => true,
    };
    let schema = match fields.get("schema") {
        Some(node) => Some((node.at, schema::load(reader, place.folder, node)?)),
        None => None,
    };
    let rows = match fields.get("rows") {
        Some(node) => {
            Some(reader.number(node, "a number of drawn rows of each table", 0, tables::ROWS_MAX)?)
        }
        None => None,
    };
    let listed = match (&schema, fields.get("tables")) {
        (_, Some(node)) => Some(node),
        // Without a schema there would be no table at all.
        (None, None) => fields.need(reader, "tables"),
        (Some(_), None) => None,
    };
    let listed = listed.and_then(|node| reader.fields(node, &grammar::TABLES));
    let listed = listed.as_ref().map_or(&[][..], |list| &list.others);
    let tables: Vec<TableSpec> = match &schema {
        Some((at, schema)) => {
            for name in schema.captured().filter(|name| blocked::why_not(name).is_some()) {
                if !not_blocked.iter().any(|known| same_name(known, name)) {
                    not_blocked.push(name.to_owned());
                }
            }
            schema::tables(reader, schema, *at, rows.unwrap_or(schema::ROWS_DEFAULT), listed)
        }
        None => {
            if let Some(at) = fields.key_at("rows") {
                reader.note(
                    Mistake::new(
                        at,
                        "`rows` is for the tables of a schema",
                        "there is no `schema` beside it",
                    )
                    .help("`schema: capture.xml` beside it, or a number behind each of `tables`"),
                );
            }
            tables::tables(reader, place.catalogue, listed)
        }
    };
    Some(Tenant {
        context,
        approved,
        tables,
    })
}

fn steps(
    reader: &mut Reader,
    ledger: &mut Ledger,
    catalogue: &Catalogue,
    fields: &Fields<'_>,
) -> Option<Vec<Step>> {
    let node = fields.need(reader, "steps")?;
    let Data::List(list) = &node.data else {
        reader.wrong(node, "a list of steps, each on a line with a hyphen");
        return None;
    };
    if list.len() > STEPS_MAX {
        reader.note(Mistake::new(
            node.at,
            format!("{} steps; at most {STEPS_MAX} are possible", list.len()),
            "too many",
        ));
        return None;
    }
    let mut all = Steps {
        reader: &mut *reader,
        ledger,
        catalogue,
    };
    let steps: Vec<Step> = list.iter().filter_map(|node| all.step(node)).collect();
    // A file that never looks at a mirror proves nothing.
    let proves = |s: &Step| {
        matches!(
            s.kind,
            StepKind::Mirror(_)
                | StepKind::RunDue { .. }
                | StepKind::Compare(_)
                | StepKind::Send(_)
                | StepKind::MirrorRows(_)
        )
    };
    if !steps.iter().any(proves) && reader.mistakes.is_empty() {
        reader.note(
            Mistake::new(
                node.at,
                "no step of this file mirrors anything",
                "no `mirror`, `run_due` or `compare`",
            )
            .help("for example `- mirror`"),
        );
    }
    Some(steps)
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;

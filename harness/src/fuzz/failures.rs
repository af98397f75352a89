//! Histories that failed once: kept as scenario files, and run first.

use std::io;
use std::path::{Path, PathBuf};

use super::case::Broken;
use super::draw::History;
use super::property::Property;
use crate::report::Failure;
use crate::scenario::Catalogue;
use crate::scenario::discover::{DiscoverError, discover};
use crate::scenario::emit::emit;
use crate::scenario::model::Scenario;

/// The scenarios that are kept in a directory; none where there is no such directory.
///
/// # Errors
/// [`DiscoverError`] where one of them cannot be read.
pub fn kept(dir: &Path) -> Result<Vec<Scenario>, DiscoverError> {
    let unreadable = |why: io::Error| DiscoverError::Unreadable {
        path: dir.to_owned(),
        why: why.to_string(),
    };
    let entries = match std::fs::read_dir(dir) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut any = false;
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        any |= path.extension().is_some_and(|x| x == "yaml" || x == "yml");
    }
    match any {
        true => discover(&[dir.to_owned()], &[], &Catalogue::superoffice()),
        false => Ok(Vec::new()),
    }
}

/// The history with a title and a rule that say what it shows.
fn titled(history: &History, property: Property) -> Scenario {
    let mut scenario = history.scenario.clone();
    let rule = property.rule();
    let mut title = rule.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    scenario.title.value = title;
    scenario.cites.value = format!("{}: {rule}", property.id());
    scenario
}

/// A failing history as the text of its file, with where it comes from on its first line.
/// `flags` name the server, each after a blank, where it is not the built-in one.
pub fn text(history: &History, broken: &Broken, seed: u64, case: u64, flags: &str) -> String {
    format!(
        "# Found by `mirrorlab fuzz --seed {seed} --case {case}{flags}`: {} ({}).\n{}",
        broken.property.id(),
        broken.check,
        emit(&titled(history, broken.property))
    )
}

/// Keeps a failing history, and gives its file.
///
/// # Errors
/// Where the file cannot be written.
pub fn keep(dir: &Path, history: &History, text: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join(format!("{}.yaml", history.scenario.id.value));
    std::fs::write(&path, text)?;
    Ok(path)
}

/// The failure as a person reads it, at its place in the kept file.
pub fn report(
    history: &History,
    broken: &Broken,
    file: &Path,
    text: &str,
    seed: u64,
    repeat: String,
) -> Failure {
    // What the file has more than the history that was run stands above the steps.
    let (ran, kept) = (emit(&history.scenario).lines().count(), text.lines().count());
    let line = broken.failure.line.map(|line| (line + kept).saturating_sub(ran));
    Failure {
        check: broken.property.id().to_owned(),
        rule: broken.property.rule().to_owned(),
        file: Some(file.display().to_string()),
        line,
        seed: Some(seed),
        repeat_command: repeat,
        ..broken.failure.clone()
    }
}

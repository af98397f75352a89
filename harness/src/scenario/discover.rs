//! Files and folders into a list of scenarios.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Catalogue;
use super::mistake::{Mistake, Mistakes, closest, one_of};
use super::model::Scenario;
use super::parse::parse;
use super::yaml::SIZE_MAX;

/// The deepest folder below a named one.
const FOLDER_DEPTH_MAX: usize = 8;

/// Why the scenarios cannot be run. The program answers it with exit code 3, except [`DiscoverError::NoSuchId`], which
/// is wrong usage: 2.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// A path that cannot be read.
    #[error("cannot read {path}: {why}", path = .path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A folder without a scenario in it.
    #[error("there is no scenario in {path}: expected files named *.yaml", path = .0.display())]
    Empty(PathBuf),
    /// Mistakes in files, of every file that has some.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistakes>),
    /// An id that was asked for and is nowhere.
    #[error("no scenario has the id `{id}`; {hint}")]
    NoSuchId {
        /// The id.
        id: String,
        /// Which was meant, or which there are.
        hint: String,
    },
}

impl DiscoverError {
    /// The message for a person; see [`Mistakes::render`].
    pub fn render(&self, width: usize, colour: bool) -> String {
        match self {
            DiscoverError::Mistakes(files) => files.iter().map(|f| f.render(width, colour)).collect(),
            other => format!("{other}\n"),
        }
    }
}

/// Reads every scenario at some paths: a file as it is, a folder with all `*.yaml` and `*.yml` below it. Sorted by theme
/// and file name, however they were named. `only` keeps those with one of these ids; where it is empty, all stay.
///
/// # Errors
/// [`DiscoverError`]. All files are read first, so that all of their mistakes are known.
pub fn discover(
    paths: &[PathBuf],
    only: &[String],
    catalogue: &Catalogue,
) -> Result<Vec<Scenario>, DiscoverError> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        collect(path, 0, &mut files)?;
        if files.len() == before {
            return Err(DiscoverError::Empty(path.clone()));
        }
    }
    files.sort();
    files.dedup();
    let (mut scenarios, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        let text = read(&file)?;
        match parse(&file, &text, catalogue) {
            Ok(scenario) => scenarios.push(scenario),
            Err(mistakes) => wrong.push(mistakes),
        }
    }
    wrong.extend(duplicates(&scenarios));
    if !wrong.is_empty() {
        return Err(DiscoverError::Mistakes(wrong));
    }
    for id in only {
        if !scenarios.iter().any(|s| s.id.value == *id) {
            let ids = || scenarios.iter().map(|s| s.id.as_str());
            let hint = match closest(id, ids()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("there is {}", one_of(ids())),
            };
            return Err(DiscoverError::NoSuchId { id: id.clone(), hint });
        }
    }
    if !only.is_empty() {
        scenarios.retain(|s| only.contains(&s.id.value));
    }
    Ok(scenarios)
}

fn unreadable(path: &Path, error: &std::io::Error) -> DiscoverError {
    DiscoverError::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

fn read(file: &Path) -> Result<String, DiscoverError> {
    let length = std::fs::metadata(file).map_err(|e| unreadable(file, &e))?.len();
    if length > SIZE_MAX as u64 {
        let why = format!("it has {length} bytes; a scenario has at most {SIZE_MAX}");
        return Err(DiscoverError::Unreadable {
            path: file.to_owned(),
            why,
        });
    }
    let bytes = std::fs::read(file).map_err(|e| unreadable(file, &e))?;
    String::from_utf8(bytes).map_err(|e| {
        let why = format!("it is not UTF-8 from byte {} on", e.utf8_error().valid_up_to());
        DiscoverError::Unreadable {
            path: file.to_owned(),
            why,
        }
    })
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DiscoverError> {
    let kind = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !kind.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(|e| unreadable(path, &e))? {
        let entry = entry.map_err(|e| unreadable(path, &e))?;
        // A link's own kind: a loop of links is not followed.
        let kind = entry.file_type().map_err(|e| unreadable(&entry.path(), &e))?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let yaml = entry
            .path()
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml");
        if kind.is_dir() && !hidden && depth < FOLDER_DEPTH_MAX {
            collect(&entry.path(), depth + 1, files)?;
        } else if !kind.is_dir() && yaml && !hidden {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn duplicates(scenarios: &[Scenario]) -> Vec<Mistakes> {
    let mut first: BTreeMap<&str, &Scenario> = BTreeMap::new();
    let mut wrong = Vec::new();
    for scenario in scenarios {
        match first.get(scenario.id.as_str()) {
            None => {
                first.insert(&scenario.id, scenario);
            }
            Some(other) => wrong.push(Mistakes {
                file: scenario.file.clone(),
                text: scenario.text.clone(),
                mistakes: vec![
                    Mistake::new(
                        scenario.id.at,
                        format!("two scenarios have the id `{}`", scenario.id.value),
                        "an id is given once",
                    )
                    .help(format!("the other one stands in {}", other.place(other.id.at))),
                ],
            }),
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "id: ID\ntitle: t\ncites: c\nsource: {tables: {y_a: {columns: {id: int not null}}}}\nsteps: [mirror]\n";

    fn write(folder: &Path, name: &str, id: &str) {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, SMALL.replace("ID", id)).unwrap();
    }

    fn ids(paths: &[PathBuf], only: &[&str]) -> Result<Vec<String>, DiscoverError> {
        let only: Vec<_> = only.iter().map(|s| (*s).to_owned()).collect();
        discover(paths, &only, &Catalogue::default()).map(|all| all.into_iter().map(|s| s.id.value).collect())
    }

    #[test]
    fn folders_are_read_whole_and_sorted_and_picked_from() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "b/two.yaml", "two");
        write(folder.path(), "a/one.yml", "one");
        write(folder.path(), "three.yaml", "three");
        write(folder.path(), ".hidden/four.yaml", "four");
        write(folder.path(), "a/readme.md", "not-one");
        let all = [folder.path().to_owned(), folder.path().join("a")];
        assert_eq!(
            ids(&all, &[]).unwrap(),
            ["one", "two", "three"],
            "a file named twice is read once"
        );
        assert_eq!(ids(&all, &["two"]).unwrap(), ["two"]);
        let error = ids(&all, &["tow-"]).unwrap_err();
        assert!(matches!(error, DiscoverError::NoSuchId { .. }));
        assert!(
            ids(&all, &["thre"])
                .unwrap_err()
                .to_string()
                .contains("did you mean `three`")
        );
    }

    #[test]
    fn what_cannot_be_run_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            ids(&[folder.path().to_owned()], &[]),
            Err(DiscoverError::Empty(_))
        ));
        let missing = folder.path().join("missing.yaml");
        assert!(matches!(
            ids(&[missing], &[]),
            Err(DiscoverError::Unreadable { .. })
        ));
        std::fs::write(folder.path().join("x.yaml"), [0x69, 0xff]).unwrap();
        assert!(
            ids(&[folder.path().to_owned()], &[])
                .unwrap_err()
                .to_string()
                .contains("not UTF-8 from byte 1")
        );
    }

    #[test]
    fn an_id_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.yaml", "same");
        write(folder.path(), "b.yaml", "same");
        let error = ids(&[folder.path().to_owned()], &[]).unwrap_err();
        let shown = error.render(100, false);
        assert!(
            shown.contains("two scenarios have the id `same`") && shown.contains("a.yaml:1:5"),
            "{shown}"
        );
    }
}

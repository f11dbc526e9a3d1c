//! Which model holds which line, as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use crate::all::bug::Bug;
use crate::copy;

/// Prints a table for each source file, and what no bug is for.
pub(crate) fn print(bugs: &[(usize, &Bug)]) -> io::Result<()> {
    let mut files = BTreeMap::<&str, Vec<(usize, &Bug)>>::new();
    for (_, bug) in bugs {
        let source = fs::read_to_string(copy::root().join(bug.path()))?;
        let line = source.find(bug.find).map_or(0, |place| 1 + source[..place].matches('\n').count());
        files.entry(bug.source).or_default().push((line, bug));
    }
    let tested: BTreeSet<&str> = bugs.iter().flat_map(|(_, bug)| bug.models).copied().collect();
    println!("# Which model holds which line\n\n{} bugs in {} files.", bugs.len(), files.len());
    for (file, bugs) in &mut files {
        bugs.sort_by_key(|(line, bug)| (*line, bug.name));
        println!("\n## `{file}`\n\n| line | bug | models |\n|--:|---|---|");
        for (line, bug) in bugs {
            println!("| {line} | {} | `{}` |", bug.name.replace('|', "\\|"), bug.models.join("`, `"));
        }
    }

    let models = models()?;
    list("Models that no bug is for", models.iter().filter(|model| !tested.contains(model.as_str())));
    let mut orderings = Vec::new();
    sources_with_orderings(&copy::original(""), &mut orderings)?;
    let bare = orderings.iter().filter(|(file, _)| !files.contains_key(file.as_str()));
    list(
        "Files with orderings above Relaxed, and no bug",
        bare.map(|(file, count)| format!("{file}, {count} lines")).collect::<Vec<_>>().iter(),
    );
    Ok(())
}

fn list<'a>(title: &str, items: impl Iterator<Item = &'a String>) {
    println!("\n## {title}\n");
    items.for_each(|item| println!("- {item}"));
}

/// All models, as `FILE::TEST`.
fn models() -> io::Result<Vec<String>> {
    let mut models = Vec::new();
    for entry in fs::read_dir(copy::original("../loom-tests/tests"))? {
        let path = entry?.path();
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        let mut lines = text.lines();
        while lines.by_ref().any(|line| line.trim() == "#[test]") {
            let name = lines.find_map(|line| line.trim().strip_prefix("fn ")?.split_once('('));
            models.extend(name.map(|(name, _)| format!("{file}::{name}")));
        }
    }
    models.sort();
    Ok(models)
}

/// The files below `folder` in which something is ordered, by their names in `src/`, and in how many lines.
fn sources_with_orderings(folder: &Path, found: &mut Vec<(String, usize)>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.is_dir() {
            sources_with_orderings(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            // Unit tests are no part of what is modelled.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let ordered = |line: &&str| {
                let code = line.split("//").next().unwrap_or_default();
                ["Ordering::Acquire", "Ordering::Release", "Ordering::AcqRel", "Ordering::SeqCst"]
                    .iter()
                    .any(|ordering| code.contains(ordering))
            };
            let count = code.lines().filter(ordered).count();
            let name = path.strip_prefix(copy::original("")).unwrap_or(&path).to_string_lossy().into_owned();
            if count > 0 {
                found.push((name, count));
            }
        }
    }
    Ok(())
}

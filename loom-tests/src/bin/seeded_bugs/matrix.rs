//! Which model holds which line, as Markdown.

use std::collections::{BTreeMap, BTreeSet};
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
    Ok(())
}

fn list<'a>(title: &str, items: impl Iterator<Item = &'a String>) {
    println!("\n## {title}\n");
    items.for_each(|item| println!("- {item}"));
}

/// All models, as `FILE::TEST`.
fn models() -> io::Result<Vec<String>> {
    let mut models = Vec::new();
    for entry in fs::read_dir(copy::root().join("loom-tests/tests"))? {
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

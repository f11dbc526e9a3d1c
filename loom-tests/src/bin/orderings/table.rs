//! What came of each ordering: the table in the repository, which is the record, too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fs, io};

use crate::copy;
use crate::models::Depth;
use crate::sites::Site;

const KILLED: &str = "## A model fails";
const SURVIVES: &str = "## No model fails";
const NOT_REACHED: &str = "## No model reaches it";
const NOT_TRIED: &str = "## Not tried yet";

/// What came of a weakened ordering.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// The model fails, with this number of preemptions.
    Killed(String, Depth),
    /// This number of models pass with this number of preemptions; these did not come to an end.
    Survives(usize, Vec<String>, Depth),
    /// There is no model that comes to it.
    NotReached,
}

/// One ordering, weakened in one way.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The place of its site among all sites.
    pub site: usize,
    /// What it becomes.
    pub weaker: &'static str,
    /// What came of it, if it was tried.
    pub decision: Option<Decision>,
}

/// The first cells of a row, by which it is found again.
fn key(site: &Site, weaker: &str) -> String {
    let becomes = if weaker == "Relaxed" && site.call.ends_with("fence") { "none" } else { weaker };
    format!("| `{}` | `{}` | `{site}` | {becomes} |", site.file, site.function)
}

fn path() -> PathBuf {
    copy::root().join("loom-tests/orderings.md")
}

/// A row for each site and each way to weaken it, with what the table knows.
pub(crate) fn rows(sites: &[Site]) -> io::Result<Vec<Row>> {
    let text = if path().exists() { fs::read_to_string(path())? } else { String::new() };
    let mut known = BTreeMap::new();
    let mut section = "";
    for line in text.lines() {
        match line {
            KILLED | SURVIVES | NOT_REACHED | NOT_TRIED => section = line,
            _ => {
                if let Some((key, decision)) = parsed(section, line) {
                    known.insert(key, decision);
                }
            }
        }
    }
    let weakened = sites
        .iter()
        .enumerate()
        .flat_map(|(number, site)| site.weaker().iter().map(move |weaker| (number, *weaker, key(site, weaker))));
    Ok(weakened.map(|(site, weaker, key)| Row { site, weaker, decision: known.remove(&key) }).collect())
}

fn parsed(section: &str, line: &str) -> Option<(String, Decision)> {
    let cells = Vec::from_iter(line.strip_prefix("| ")?.split(" | "));
    let (first, rest) = cells.split_at_checked(4)?;
    let key = format!("| {} |", first.join(" | ").trim_end_matches(" |"));
    let decision = match section {
        KILLED => {
            let [model, depth] = rest[..] else { return None };
            Decision::Killed(model.trim_matches('`').to_owned(), Depth::of(depth.trim_end_matches(" |"))?)
        }
        SURVIVES => {
            let [models, undecided, depth, _] = rest[..] else { return None };
            let undecided = undecided.split(", ").map(|model| model.trim_matches('`').to_owned());
            let undecided = undecided.filter(|model| !model.is_empty()).collect();
            Decision::Survives(models.parse().ok()?, undecided, Depth::of(depth)?)
        }
        NOT_REACHED => Decision::NotReached,
        _ => return None,
    };
    Some((key, decision))
}

/// The whole text.
fn text(sites: &[Site], rows: &[Row]) -> String {
    let [mut killed, mut survives, mut not_reached, mut not_tried] = [const { Vec::new() }; 4];
    for Row { site, weaker, decision } in rows {
        let (site, key) = (&sites[*site], key(&sites[*site], weaker));
        match decision {
            Some(Decision::Killed(model, depth)) => killed.push(format!("{key} `{model}` | {depth} |")),
            Some(Decision::Survives(models, undecided, depth)) => {
                let undecided = Vec::from_iter(undecided.iter().map(|model| format!("`{model}`"))).join(", ");
                let why = site.argument(weaker).unwrap_or("**no argument yet**");
                survives.push(format!("{key} {models} | {undecided} | {depth} | {why} |"));
            }
            Some(Decision::NotReached) => not_reached.push(key),
            None => not_tried.push(key),
        }
    }
    let sections = [killed, survives, not_reached, not_tried];
    let [killed_count, survives_count, not_reached_count, not_tried_count] = sections.each_ref().map(Vec::len);
    let [killed, survives, not_reached, not_tried] = sections.map(|rows| rows.join("\n"));
    let sum = rows.len();
    format!(
        "\
# Orderings

Each ordering of `src/` above Relaxed is made weaker by one step, one at a time, and the models that reach it run: with one preemption, with two, and with
all that they have. `cargo run --release -p loom-tests --bin orderings` does it, and writes this file. [README.md](README.md#orderings) says how.

| the weaker ordering | rows |
|---|--:|
| a model fails | {killed_count} |
| no model fails: *why* says why the ordering stays, from the comment beside it | {survives_count} |
| no model reaches it | {not_reached_count} |
| not tried yet | {not_tried_count} |
| | {sum} |

{SURVIVES}

| file | function | operation | becomes | models | not ended | preemptions | why it stays |
|---|---|---|---|--:|---|---|---|
{survives}

{NOT_REACHED}

| file | function | operation | becomes |
|---|---|---|---|
{not_reached}

{NOT_TRIED}

| file | function | operation | becomes |
|---|---|---|---|
{not_tried}

{KILLED}

| file | function | operation | becomes | model | preemptions |
|---|---|---|---|---|---|
{killed}
"
    )
}

/// Writes the table.
pub(crate) fn write(sites: &[Site], rows: &[Row]) -> io::Result<()> {
    let next = path().with_extension("md.next");
    fs::write(&next, text(sites, rows))?;
    fs::rename(next, path())
}

/// What is wrong with the table: survivors without an argument, arguments without a survivor, and rows that are not
/// those of the source.
pub(crate) fn faults(sites: &[Site], rows: &[Row]) -> io::Result<Vec<String>> {
    let mut faults = Vec::new();
    for Row { site, weaker, decision } in rows {
        let site = &sites[*site];
        let (key, argument) = (key(site, weaker), site.argument(weaker));
        match decision {
            Some(Decision::Survives(..)) if argument.is_none() => {
                faults.push(format!("{key} no model needs it, and no comment says why it stays"));
            }
            Some(Decision::Killed(model, _)) if argument.is_some() => {
                faults.push(format!("{key} {model} needs it; the comment says that no model does"));
            }
            _ => {}
        }
    }
    if faults.is_empty() && fs::read_to_string(path())? != text(sites, rows) {
        faults.push("loom-tests/orderings.md is not as this program writes it: run it with --write".to_owned());
    }
    Ok(faults)
}

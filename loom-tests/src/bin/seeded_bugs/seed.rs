//! All bugs in the sources of the workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::all::{self, bug::Bug};
use crate::copy::{self, Files};
use crate::switch;

/// Puts all bugs into the sources.
///
/// # Errors
///
/// When one can't be put in.
pub(crate) fn seed(files: &mut Files) -> io::Result<()> {
    let mut sources = BTreeMap::<PathBuf, Vec<(usize, &Bug)>>::new();
    all::numbered().for_each(|(number, bug)| sources.entry(bug.path()).or_default().push((number, bug)));
    for (path, bugs) in sources {
        let content = files.get_mut(&path).ok_or(io::ErrorKind::NotFound)?;
        let switched = switch::switched(&String::from_utf8_lossy(content), &bugs).map_err(io::Error::other)?;
        *content = switched.into_bytes();
    }
    for root in ["src/lib.rs", "loom-tests/src/lib.rs"] {
        let root = files.get_mut(Path::new(root)).expect("the crate has a root");
        *root = switch::root(&String::from_utf8_lossy(root)).into_bytes();
    }
    Ok(())
}

/// Looks whether all bugs can be put into the sources.
///
/// # Errors
///
/// When one can't be.
pub(crate) fn check() -> io::Result<()> {
    seed(&mut copy::read(&["src", "loom-tests/src"])?)
}

/// The errors of a compiler's log about the copy in `folder`, and with which bugs they are: each has its place behind
/// an arrow.
pub(crate) fn errors(folder: &Path, log: &str) -> String {
    let mut errors = String::new();
    for error in log.split("\n\n").filter(|said| said.trim_start().starts_with("error")) {
        let place = error.lines().find_map(|line| line.trim().strip_prefix("--> ")).unwrap_or_default();
        let mut parts = place.split(':');
        let source = parts.next().and_then(|file| fs::read_to_string(folder.join(file)).ok()).unwrap_or_default();
        let line = parts.next().and_then(|line| line.parse().ok()).unwrap_or(0);
        let bug = switch::bug_at(&source, line).unwrap_or("none");
        errors += &format!("{error}\nThe bug there: {bug}\n\n");
    }
    if errors.is_empty() { log.to_owned() } else { errors }
}

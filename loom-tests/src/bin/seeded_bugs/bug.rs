//! What a seeded bug is, and how it is put into a source file.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A one-line bug, and the models that find it.
#[derive(Debug)]
pub(crate) struct Bug {
    /// What goes wrong, in a few words.
    pub name: &'static str,
    /// The file, in `src/`; one of `loom-tests/src/` by its path from the workspace.
    pub source: &'static str,
    /// What stands there, exactly once.
    pub find: &'static str,
    /// What the bug puts in its place.
    pub replace: &'static str,
    /// The models that must fail, as `FILE::TEST`.
    pub models: &'static [&'static str],
}

/// What a bug changes in its source.
#[derive(Debug)]
pub(crate) struct Change {
    /// Which bytes.
    pub place: Range<usize>,
    /// To what.
    pub text: &'static str,
}

impl Bug {
    /// The path of its file from the workspace.
    pub(crate) fn path(&self) -> PathBuf {
        if self.source.starts_with("loom-tests/") { self.source.into() } else { Path::new("src").join(self.source) }
    }

    /// What it changes in its source, without what it leaves around that; None where the patch does not apply exactly
    /// once.
    pub(crate) fn change(&self, source: &str) -> Option<Change> {
        let mut places = source.match_indices(self.find);
        let (Some((start, _)), None) = (places.next(), places.next()) else { return None };
        let alike = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
            pairs.take_while(|(old, new)| old == new).map(|(old, _)| old.len_utf8()).sum()
        };
        let before = alike(&mut self.find.chars().zip(self.replace.chars()));
        let (old, new) = (&self.find[before..], &self.replace[before..]);
        let after = alike(&mut old.chars().rev().zip(new.chars().rev()));
        let place = start + before..start + self.find.len() - after;
        Some(Change { place, text: &new[..new.len() - after] })
    }

    /// What is wrong with it, as it can be seen without running it: the patch does not apply, or a model is not there.
    pub(crate) fn faults(&self, workspace: &Path) -> io::Result<Vec<String>> {
        let source = fs::read_to_string(workspace.join(self.path()))?;
        let mut faults = Vec::new();
        if self.change(&source).is_none() {
            faults.push(format!("{}: the patched line is not there exactly once", self.source));
        }
        for model in self.models {
            let (file, test) = model.split_once("::").unwrap_or((model, ""));
            let tests = fs::read_to_string(workspace.join(format!("loom-tests/tests/{file}.rs"))).unwrap_or_default();
            if !tests.contains(&format!("fn {test}()")) {
                faults.push(format!("there is no model {model}"));
            }
        }
        Ok(faults)
    }
}

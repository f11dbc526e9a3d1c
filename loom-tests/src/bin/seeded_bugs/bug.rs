//! What a seeded bug is, and how it is put into a source file.

use std::path::Path;
use std::{fs, io};

/// A one-line bug, and the models that find it.
#[derive(Debug)]
pub(crate) struct Bug {
    /// What goes wrong, in a few words.
    pub name: &'static str,
    /// The file, in `src/`.
    pub source: &'static str,
    /// What stands there, exactly once.
    pub find: &'static str,
    /// What the bug puts in its place.
    pub replace: &'static str,
    /// The models that must fail, as `FILE::TEST`.
    pub models: &'static [&'static str],
}

impl Bug {
    /// The source with the bug; None where the patch does not apply exactly once.
    pub(crate) fn apply(&self, source: &str) -> Option<String> {
        (source.matches(self.find).count() == 1).then(|| source.replacen(self.find, self.replace, 1))
    }

    /// What is wrong with it, as it can be seen without running it: the patch does not apply, or a model is not there.
    pub(crate) fn faults(&self, workspace: &Path) -> io::Result<Vec<String>> {
        let source = fs::read_to_string(workspace.join("src").join(self.source))?;
        let mut faults = Vec::new();
        if self.apply(&source).is_none() {
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

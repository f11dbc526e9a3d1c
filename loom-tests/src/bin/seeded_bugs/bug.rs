//! What a seeded bug is, and how it is put into a source file.

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
}

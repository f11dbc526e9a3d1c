//! What is to be mended: models that miss a bug. A model that finds its bug again is to be taken off this list.

/// The name of a bug, and a model of it that passes with the bug.
pub(crate) const MODELS: &[(&str, &str)] = &[];

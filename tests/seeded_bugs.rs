//! The seeded bugs still apply, each to one place, and their models are there: whoever changes a line that a bug is for
//! changes the bug, too.

#[allow(dead_code, reason = "the bugs are only looked at")]
#[path = "../loom-tests/src/bin/seeded_bugs/all.rs"]
mod all;

use std::path::Path;

#[test]
fn each_patch_applies_and_each_model_is_there() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for bug in all::all() {
        faults.extend(bug.faults(workspace).expect(bug.source));
    }
    assert!(faults.is_empty() && all::all().count() > 200, "{} bugs, {faults:#?}", all::all().count());
}

//! Bugs in a sweeper's cycles over the pages of an allocator.

use super::bug::Bug;

const CYCLE: &str = "raw/slabs/cycle.rs";
const DISCARD: &str = "raw/slabs/discard.rs";
const SPANS: &str = "raw/spans.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a step does not count as withholding pages",
        source: CYCLE,
        find: "self.withholding(|| self.step(cycle, pages, discard))",
        replace: "self.step(cycle, pages, discard)",
        models: &["cycles::cycle_alloc"],
    },
    Bug {
        name: "what is old counts as clean",
        source: DISCARD,
        find: "self.set(at, Entry::OLD);",
        replace: "self.set(at, Entry::DISCARDED);",
        models: &["cycles::old_alloc"],
    },
    Bug {
        name: "pages are discarded that are not taken",
        source: SPANS,
        find: "size >= order && self.states.at(block).absorb(size).is_ok()",
        replace: "size >= order && { _ = self.states.at(block).absorb(size); true }",
        models: &["cycles::cycle_alloc", "cycles::old_alloc", "cycles::cycle_cycle"],
    },
    Bug {
        name: "discarded pages count as dirty",
        source: DISCARD,
        find: "self.resident.dirty.fetch_sub(gone, Ordering::Relaxed);",
        replace: "",
        models: &["cycles::old_alloc"],
    },
    Bug {
        name: "what is released in the middle of a cycle counts as seen by it",
        source: "raw/sweep/steps.rs",
        find: "(!cursor.changed && dropped == 0).then_some(cursor.version)",
        replace: "(!cursor.changed && dropped == 0).then_some(self.version())",
        models: &["cycles::cycle_release"],
    },
    Bug {
        name: "a cycle does not close idle slabs",
        source: CYCLE,
        find: "self.close_idle(from..end);",
        replace: "",
        models: &["cycles::cycle_take"],
    },
];

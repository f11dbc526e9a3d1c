//! Bugs in the set of heaps, and in how a heap is removed from it.

use crate::bug::Bug;

const SEIZE: &str = "raw/seize.rs";
const HEAPS: &str = "heaps/mod.rs";
const RETIRED: &str = "heaps/retired.rs";
const SNAPSHOT: &str = "heaps/snapshot.rs";
const FLUSH: &str = "cache/flush.rs";
const EPOCH: &str = "heaps/epoch.rs";
const REMOVE: &str = "pool/remove.rs";
const WINDOW: &str = "cache/window.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "seize: a block that is not free is passed over",
        source: SEIZE,
        find: "self.publish_range(0..block.get(), Lane::FIRST);\n                return false;",
        replace: "continue;",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "seize: what was taken in vain is not given back",
        source: SEIZE,
        find: "self.publish_range(0..block.get(), Lane::FIRST);",
        replace: "",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "open: no publication",
        source: SEIZE,
        find: "self.note_displaced();",
        replace: "",
        models: &["search::failure_closed"],
    },
    Bug {
        name: "the set is replaced whatever it is",
        source: HEAPS,
        find: "Err(_) => {",
        replace: "Err(_) if { self.current.store(next.as_ptr(), Ordering::Release); true } => Ok(true),\n            Err(_) => {",
        models: &["remove::remove_two"],
    },
    Bug {
        name: "the set is replaced without Release",
        source: HEAPS,
        find: "next.as_ptr(), Ordering::Release, Ordering::Relaxed)",
        replace: "next.as_ptr(), Ordering::Relaxed, Ordering::Relaxed)",
        models: &["remove::add_alloc"],
    },
    Bug {
        name: "the set is read without Acquire",
        source: HEAPS,
        find: "self.current.load(Ordering::Acquire)",
        replace: "self.current.load(Ordering::Relaxed)",
        models: &["remove::add_alloc"],
    },
    Bug {
        name: "a heap is freed while readers may have it",
        source: RETIRED,
        find: "if over && (",
        replace: "if (",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "a heap is freed though a window shows it",
        source: REMOVE,
        find: "cache.window.shows(heap)",
        replace: "{ let _ = cache.window.shows(heap); false }",
        models: &["remove::remove_in_window", "remove::free_window"],
    },
    Bug {
        name: "the set forgets another heap",
        source: SNAPSHOT,
        find: "let others = |pointer: &*mut Heap| !core::ptr::eq(*pointer, heap);",
        replace: "let others = |pointer: &*mut Heap| core::ptr::eq(*pointer, heap);",
        models: &["remove::remove_two"],
    },
    Bug {
        name: "who frees a heap looks at windows without Acquire",
        source: WINDOW,
        find: "ptr::eq(self.heap.load(Ordering::Acquire), heap)",
        replace: "ptr::eq(self.heap.load(Ordering::Relaxed), heap)",
        models: &["remove::leave_window"],
    },
    Bug {
        name: "readers are counted without the fence",
        source: EPOCH,
        find: "fence(Ordering::SeqCst);\n        Guard(",
        replace: "Guard(",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "that readers have left is seen without Acquire",
        source: EPOCH,
        find: "self.counted.load(Ordering::Acquire) == 0",
        replace: "self.counted.load(Ordering::Relaxed) == 0",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "a reader leaves without Release",
        source: EPOCH,
        find: "counted.fetch_add(u32::MAX, Ordering::Release);",
        replace: "counted.fetch_add(u32::MAX, Ordering::Relaxed);",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "what is flushed is looked for in the heaps of when the operation began",
        source: FLUSH,
        find: "pinned.view().numbered(block.0)",
        replace: "self.heaps.numbered(block.0)",
        models: &["remove::add_sweep"],
    },
];

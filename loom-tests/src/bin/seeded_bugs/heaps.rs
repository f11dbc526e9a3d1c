//! Bugs in the set of heaps, and in how a heap is removed from it.

use super::bug::Bug;

const TAKE_ALL: &str = "raw/take_all.rs";
const HEAPS: &str = "heaps/mod.rs";
const RETIRED: &str = "heaps/retired.rs";
const NEXT: &str = "heaps/next.rs";
const GIVEN: &str = "heaps/given.rs";
const FLUSH: &str = "cache/flush.rs";
const READERS: &str = "heaps/readers.rs";
const REMOVE: &str = "pool/remove.rs";
const WINDOW: &str = "cache/window.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "take_all: a block that is not free is passed over",
        source: TAKE_ALL,
        find: "self.publish_range(0..block.get(), shard);\n                return false;",
        replace: "continue;",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "take_all: what was taken in vain is not given back",
        source: TAKE_ALL,
        find: "self.publish_range(0..block.get(), shard);",
        replace: "",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "open: no publication",
        source: TAKE_ALL,
        find: "self.note_displaced();",
        replace: "",
        models: &["search::failure_closed"],
    },
    Bug {
        name: "the set is replaced whatever it is",
        source: HEAPS,
        find: "Err(_) => {",
        replace: "Err(_) if { self.current.store(next, Ordering::Release); true } => true,\n            Err(_) => {",
        models: &["remove::remove_two"],
    },
    Bug {
        name: "the set is replaced without Release",
        source: HEAPS,
        find: "next, Ordering::Release, Ordering::Relaxed)",
        replace: "next, Ordering::Relaxed, Ordering::Relaxed)",
        models: &["remove::add_stats"],
    },
    Bug {
        name: "the set is read without Acquire",
        source: READERS,
        find: "let pointer = current.load(Ordering::Acquire);",
        replace: "let pointer = current.load(Ordering::Relaxed);",
        models: &["remove::add_alloc"],
    },
    Bug {
        name: "a heap is freed while readers may have it",
        source: RETIRED,
        find: "eras.meet(&in_sight)",
        replace: "eras.meet(&in_sight) && false",
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
        source: NEXT,
        find: "filter(|place| !ptr::eq(heap(place), removed))",
        replace: "filter(|place| ptr::eq(heap(place), removed))",
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
        name: "a reader does not look whether its era is over",
        source: READERS,
        find: "if !entered || self.era.load(Ordering::Relaxed) == era {",
        replace: "if !entered || self.era.load(Ordering::Relaxed) >= era {",
        models: &["remove::read_remove_three"],
    },
    Bug {
        name: "a snapshot begins in a later era than the one in which it is published",
        source: READERS,
        find: "pub fn era(&self) -> u64 {\n        // Relaxed: a reader of the published item sees no earlier era, by the Acquire of that.\n        self.era.load(Ordering::Relaxed)",
        replace: "pub fn era(&self) -> u64 {\n        self.era.load(Ordering::Relaxed) + 1",
        models: &["remove::read_remove_three"],
    },
    Bug {
        name: "a reader enters its era without the fence",
        source: READERS,
        find: "fence(Ordering::SeqCst);\n            // Acquire",
        replace: "// Acquire",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "a set is replaced without the fence",
        source: READERS,
        find: "fence(Ordering::SeqCst);\n        // Relaxed: ordered by the fence: no",
        replace: "// Relaxed: no",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "what was replaced ends an era early",
        source: READERS,
        find: "self.era.fetch_add(1, Ordering::Relaxed)",
        replace: "self.era.fetch_add(1, Ordering::Relaxed).saturating_sub(1)",
        models: &["remove::read_remove_three"],
    },
    Bug {
        name: "that readers have left is seen without Acquire",
        source: READERS,
        find: "let seen = word.load(Ordering::Acquire);",
        replace: "let seen = word.load(Ordering::Relaxed);",
        models: &["remove::remove_alloc_release"],
    },
    Bug {
        name: "a reader leaves without Release",
        source: READERS,
        find: "self.word.fetch_sub(1, Ordering::Release);",
        replace: "self.word.fetch_sub(1, Ordering::Relaxed);",
        models: &["remove::read_remove_three"],
    },
    Bug {
        name: "what was retired is taken without Acquire",
        source: RETIRED,
        find: "self.0.swap(ptr::null_mut(), Ordering::Acquire)",
        replace: "self.0.swap(ptr::null_mut(), Ordering::Relaxed)",
        models: &["remove::remove_two"],
    },
    Bug {
        name: "what was replaced is retired without Release",
        source: RETIRED,
        find: "item.as_ptr(), Ordering::Release, Ordering::Relaxed)",
        replace: "item.as_ptr(), Ordering::Relaxed, Ordering::Relaxed)",
        models: &["remove::remove_two"],
    },
    Bug {
        name: "two snapshots lie in one place",
        source: GIVEN,
        find: "self.occupied.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()",
        replace: "{ let seen = self.occupied.load(Ordering::Acquire); self.occupied.store(1, Ordering::Relaxed); seen == 0 }",
        models: &["remove::remove_two"],
    },
    Bug {
        name: "a place is occupied without Acquire",
        source: GIVEN,
        find: "compare_exchange(0, 1, Ordering::Acquire,",
        replace: "compare_exchange(0, 1, Ordering::Relaxed,",
        models: &["remove::remove_two"],
    },
    Bug {
        name: "a place is left without Release",
        source: GIVEN,
        find: "self.occupied.store(0, Ordering::Release);",
        replace: "self.occupied.store(0, Ordering::Relaxed);",
        models: &["remove::remove_given"],
    },
    Bug {
        name: "who frees a heap looks at its places without Acquire",
        source: GIVEN,
        find: "self.occupied.load(Ordering::Acquire) == 0",
        replace: "self.occupied.load(Ordering::Relaxed) == 0",
        models: &["remove::remove_given"],
    },
    Bug {
        name: "a heap is freed though a snapshot lies in its tables",
        source: HEAPS,
        find: "|| !member.places().all(Place::is_free);",
        replace: "|| { let _ = Place::is_free; false };",
        models: &["remove::remove_given"],
    },
    Bug {
        name: "what is flushed is looked for in the heaps of when the operation began",
        source: FLUSH,
        find: "pinned.view().numbered(block.0)",
        replace: "self.heaps.numbered(block.0)",
        models: &["remove::add_sweep"],
    },
];

//! Bugs in the caches of threads: who has one, requests to its owner, depots, blocks that are held.

use crate::bug::Bug;

const CACHES: &str = "cache/caches.rs";
const INDICES: &str = "cache/indices.rs";
const CACHE: &str = "cache/cache.rs";
const USER: &str = "cache/user.rs";
const WINDOW: &str = "cache/window.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a number: taken without a compare-exchange",
        source: INDICES,
        find: "match taken.compare_exchange_weak(seen, seen | 1 << bit, Ordering::Acquire, Ordering::Relaxed) {",
        replace: "match Ok::<u64, u64>(taken.fetch_or(1 << bit, Ordering::Acquire)) {",
        models: &["cache::claim_claim"],
    },
    Bug {
        name: "a number: taken without Acquire",
        source: INDICES,
        find: "seen | 1 << bit, Ordering::Acquire, Ordering::Relaxed)",
        replace: "seen | 1 << bit, Ordering::Relaxed, Ordering::Relaxed)",
        models: &["cache::adopt"],
    },
    Bug {
        name: "a number: given back without Release",
        source: INDICES,
        find: "fetch_and(!index.bit(), Ordering::Release)",
        replace: "fetch_and(!index.bit(), Ordering::Relaxed)",
        models: &["cache::adopt"],
    },
    Bug {
        name: "a term is over: without Release",
        source: INDICES,
        find: "store(self.term(index).0, Ordering::Release)",
        replace: "store(self.term(index).0, Ordering::Relaxed)",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "a term is over: seen without Acquire",
        source: INDICES,
        find: "load(Ordering::Acquire) >= term.0",
        replace: "load(Ordering::Relaxed) >= term.0",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "a drain of a cache whose user is there",
        source: USER,
        find: "is_over(term) && drained().is_ok()",
        replace: "(is_over(term) || true) && drained().is_ok()",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "a drain does not become the user",
        source: USER,
        find: "is_over(term) && drained().is_ok()",
        replace: "is_over(term) && (true || drained().is_ok())",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "a drain ends without Release",
        source: USER,
        find: "self.0.store(NOBODY, Ordering::Release);",
        replace: "self.0.store(NOBODY, Ordering::Relaxed);",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "the user enters without Acquire",
        source: USER,
        find: "compare_exchange(seen, term.get(), Ordering::Acquire, Ordering::Relaxed)",
        replace: "compare_exchange(seen, term.get(), Ordering::Relaxed, Ordering::Relaxed)",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "the table of caches: a store for the compare-exchange",
        source: CACHES,
        find: "segment.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Relaxed);",
        replace: "Ok::<(), ()>(segment.store(new.as_ptr(), Ordering::Release));",
        models: &["cache::claim_claim"],
    },
    Bug {
        name: "a request does not close the window",
        source: CACHE,
        find: "self.window.close();",
        replace: "",
        models: &["cache::request_show"],
    },
    Bug {
        name: "a request: without the fence",
        source: WINDOW,
        find: "fence(Ordering::SeqCst);\n        // Relaxed: ordered by the fence.\n        self.units",
        replace: "self.units",
        models: &["cache::request_show"],
    },
    Bug {
        name: "the owner does not look for a request when it opens the window",
        source: WINDOW,
        find: "} else if self.cache().is_asked() {",
        replace: "} else if false {",
        models: &["cache::request_show"],
    },
    Bug {
        name: "the owner opens the window without the fence",
        source: WINDOW,
        find: "fence(Ordering::SeqCst);\n        if !is_current() {",
        replace: "if !is_current() {",
        models: &["cache::request_show"],
    },
];

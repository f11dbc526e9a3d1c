//! Bugs in how the sweepers of a pool are woken.

use super::bug::Bug;

const WAKERS: &str = "wakers.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a waker: taken without Acquire",
        source: WAKERS,
        find: "compare_exchange(0, TAKING, Ordering::Acquire, Ordering::Relaxed)",
        replace: "compare_exchange(0, TAKING, Ordering::Relaxed, Ordering::Relaxed)",
        models: &["wakers::wake_replace"],
    },
    Bug {
        name: "a waker: taken while somebody looks at it",
        source: WAKERS,
        find: "compare_exchange(0, TAKING, Ordering::Acquire, Ordering::Relaxed)",
        replace: "compare_exchange(self.word.load(Ordering::Relaxed) & !TAKEN, TAKING, Ordering::Acquire, Ordering::Relaxed)",
        models: &["wakers::wake_replace"],
    },
    Bug {
        name: "a waker: taken without a compare-exchange",
        source: WAKERS,
        find: "self.word.compare_exchange(0, TAKING, Ordering::Acquire, Ordering::Relaxed).is_ok()",
        replace: "self.word.load(Ordering::Acquire) == 0 && self.word.swap(TAKING, Ordering::Acquire) < TAKEN",
        models: &["wakers::enter_enter"],
    },
    Bug {
        name: "a waker: had without Release",
        source: WAKERS,
        find: "fetch_xor(TAKING | TAKEN, Ordering::Release)",
        replace: "fetch_xor(TAKING | TAKEN, Ordering::Relaxed)",
        models: &["wakers::wake_replace"],
    },
    Bug {
        name: "a waker: seen without Acquire",
        source: WAKERS,
        find: "self.word.fetch_add(1, Ordering::Acquire)",
        replace: "self.word.fetch_add(1, Ordering::Relaxed)",
        models: &["wakers::wake_replace"],
    },
    Bug {
        name: "a waker: looked at without being counted",
        source: WAKERS,
        find: "self.word.fetch_add(1, Ordering::Acquire)",
        replace: "self.word.fetch_or(0, Ordering::Acquire)",
        models: &["wakers::wake_replace"],
    },
    Bug {
        name: "a waker: done with without Release",
        source: WAKERS,
        find: "fetch_sub(1, Ordering::Release)",
        replace: "fetch_sub(1, Ordering::Relaxed)",
        models: &["wakers::wake_replace"],
    },
    Bug {
        name: "a waker: added by a plain store",
        source: WAKERS,
        find: "self.first.compare_exchange(place.next, place.as_ptr(), Ordering::Release, Ordering::Relaxed).is_ok()",
        replace: "{ self.first.store(place.as_ptr(), Ordering::Release); true }",
        models: &["wakers::add_add"],
    },
    Bug {
        name: "a waker: not woken",
        source: WAKERS,
        find: "thread.unpark();",
        replace: "_ = thread;",
        models: &["wakers::wake_park"],
    },
];

//! What the companion atomics of the shim are for: a schedule that loom misses without them.
//!
//! One thread reads a word and changes it by compare-exchange; the other reads it. In truth the other may see the word
//! before the change or after it.
#![cfg(loom)]
#![allow(clippy::disallowed_types, reason = "the atomics without companion are what this is about")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicU64, Ordering};
use loom_tests::{Pool, Stack, join, model, start};

fn outcomes(name: &str, bound: Option<usize>, execution: impl Fn() -> u64 + Send + Sync + 'static) -> Vec<u64> {
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&outcomes);
    model(name, bound, move || {
        let outcome = execution();
        seen.lock().expect("nobody panics with it").insert(outcome);
    });
    let outcomes = outcomes.lock().expect("nobody panics with it");
    outcomes.iter().copied().collect()
}

/// loom's own atomics: the thread's load before its compare-exchange hides the other thread's load. When this fails,
/// loom has mended it, and the shim can do without companions.
#[test]
fn missed_by_loom() {
    let outcomes = outcomes("missed_by_loom", None, || {
        let word = Arc::new(AtomicU64::new(0));
        let other = start(&word, |word| {
            let seen = word.load(Ordering::Relaxed);
            word.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed).expect("the only writer");
        });
        let seen = word.load(Ordering::Relaxed);
        join(other);
        seen
    });
    assert_eq!(outcomes.len(), 1, "loom finds both outcomes now");
}

/// The same accesses through the shim, by the free stack: a push against a count of the pushes.
///
/// Seeded bug: the shim does not touch the companion.
#[test]
fn found_through_the_shim() {
    let outcomes = outcomes("found_through_the_shim", None, || {
        let stack = Stack::owned(1);
        let other = start(&stack, |stack| stack.push(&[0]));
        let seen = stack.pushes();
        join(other);
        seen
    });
    assert_eq!(outcomes, [0, 1]);
}

/// A pointer through the shim, by the table of caches, whose owner looks whether it has one before it makes one: a
/// cache that comes into being against a count of them.
///
/// Seeded bug: the shim does not touch the companions of pointers.
#[test]
fn found_through_pointers() {
    let outcomes = outcomes("found_through_pointers", Some(2), || {
        let pool = Pool::new(&[2], 2);
        pool.raw.flush_thread_cache();
        let other = start(&pool, |pool| pool.raw.flush_thread_cache());
        let seen = pool.raw.stats().caches;
        join(other);
        seen as u64
    });
    assert_eq!(outcomes, [1, 2]);
}

//! What the companion atomics of the shim are for: a schedule that loom misses without them.
//!
//! One thread reads a word and changes it by compare-exchange; the other reads it. In truth the other may see the word
//! before the change or after it.
#![cfg(loom)]
#![allow(clippy::disallowed_types, reason = "the atomics without companion are what this is about")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicU64, Ordering};
use loom_tests::{Stack, join, model, start};

fn outcomes(name: &str, execution: impl Fn() -> u64 + Send + Sync + 'static) -> Vec<u64> {
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&outcomes);
    model(name, None, move || {
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
    let outcomes = outcomes("missed_by_loom", || {
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
    let outcomes = outcomes("found_through_the_shim", || {
        let stack = Stack::in_hand(1);
        let other = start(&stack, |stack| stack.push(&[0]));
        let seen = stack.pushes();
        join(other);
        seen
    });
    assert_eq!(outcomes, [0, 1]);
}

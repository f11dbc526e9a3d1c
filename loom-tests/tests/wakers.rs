//! Models of how an allocation that had to sweep wakes the sweepers of its pool.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{join, model, start};
use mempool::wakers::Wakers;

/// A thread is woken while it leaves its place and another one, here the same, moves in.
///
/// Seeded bugs: a place is taken without Acquire, or while somebody looks at who has it; it is had without Release,
/// seen without Acquire, looked at without being counted, or done with without Release.
#[test]
fn wake_replace() {
    model("wake_replace", None, || {
        let wakers = Arc::new(Wakers::new());
        let other = start(&wakers, Wakers::wake);
        // It wakes itself: loom can't wake a thread that waits for another to end.
        for _ in 0..2 {
            let seat = wakers.enter(other.thread().clone()).expect("a few bytes");
            wakers.leave(seat);
        }
        join(other);
    });
}

/// Two threads want the place that there is at the same time, while one calls.
///
/// Seeded bug: a place is taken without a compare-exchange.
#[test]
fn enter_enter() {
    model("enter_enter", Some(3), || {
        let wakers = Arc::new(Wakers::new());
        let first = wakers.enter(thread::current()).expect("a few bytes");
        wakers.leave(first);
        let enter = |wakers: &Wakers| wakers.enter(thread::current()).expect("a few bytes");
        let others = [(); 2].map(|()| start(&wakers, enter));
        wakers.wake();
        let [one, two] = others.map(join);
        assert_ne!(one, two, "two threads have one place");
        assert_eq!(wakers.taken().count(), 2);
    });
}

/// Two threads add a place at the same time.
///
/// Seeded bug: a place is added by a plain store.
#[test]
fn add_add() {
    model("add_add", None, || {
        let wakers = Arc::new(Wakers::new());
        let enter = |wakers: &Wakers| wakers.enter(thread::current()).expect("a few bytes");
        let other = start(&wakers, enter);
        let mine = enter(&wakers);
        assert_ne!(mine, join(other), "two threads have one place");
        assert_eq!(wakers.taken().count(), 2);
    });
}

/// Who waits for a call is woken by it.
///
/// Seeded bug: the thread of a place is not woken.
#[test]
fn wake_park() {
    model("wake_park", None, || {
        let wakers = Arc::new(Wakers::new());
        let seat = wakers.enter(thread::current()).expect("a few bytes");
        let other = start(&wakers, Wakers::wake);
        thread::park();
        assert_eq!(wakers.calls(), 1);
        join(other);
        wakers.leave(seat);
    });
}

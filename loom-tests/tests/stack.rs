//! Models of the free stack by itself: a node that comes out twice, or never, or without what its pusher wrote.
#![cfg(loom)]

use loom_tests::{Stack, join, model, start};

/// Pop against pop, pop, push: the top is the same again, what follows it is not (ABA).
///
/// Seeded bug: a tag of width 0.
#[test]
fn pop_aba() {
    model("pop_aba", None, || {
        let stack = Stack::of(2);
        let other = start(&stack, |stack| {
            let mut owned = Vec::from_iter([stack.pop(), stack.pop()].into_iter().flatten());
            if !owned.is_empty() {
                let first = owned.remove(0);
                stack.push(&[first]);
            }
            owned
        });
        let mut owned = Vec::from_iter(stack.pop());
        owned.extend(join(other));
        stack.end(owned);
    });
}

/// Batch pop against pop, pop, push. The other thread pops one more than it returns; else the batch would be right
/// even without a tag.
///
/// Seeded bug: a tag of width 0.
#[test]
fn batch_pop_aba() {
    model("batch_pop_aba", Some(3), || {
        let stack = Stack::of(3);
        let other = start(&stack, |stack| {
            let mut owned = Vec::from_iter([stack.pop(), stack.pop()].into_iter().flatten());
            if !owned.is_empty() {
                let first = owned.remove(0);
                stack.push(&[first]);
            }
            owned
        });
        let mut owned = stack.pop_batch(2);
        owned.extend(join(other));
        stack.end(owned);
    });
}

/// Push against push against pop: nothing is lost, and a popped node comes with what was written before its push.
///
/// Seeded bugs: the push Relaxed, the head load of the pop Relaxed, or its reload after a failure; the link not set
/// again.
#[test]
fn push_push_pop() {
    model("push_push_pop", None, || {
        let stack = Stack::owned(3);
        stack.push(&[2]);
        let other = start(&stack, |stack| stack.push(&[0]));
        stack.push(&[1]);
        let owned = Vec::from_iter(stack.pop());
        join(other);
        stack.end(owned);
    });
}

/// A chain is pushed whole, against a batch pop.
///
/// Seeded bug: the chain is pushed with one link missing.
#[test]
fn push_chain_pop_batch() {
    model("push_chain_pop_batch", None, || {
        let stack = Stack::owned(3);
        stack.push(&[2]);
        let other = start(&stack, |stack| stack.push(&[0, 1]));
        let owned = stack.pop_batch(2);
        join(other);
        stack.end(owned);
    });
}

/// Detach, as a sweep does, against push and pop.
///
/// Seeded bug: the detached nodes stay in the stack.
#[test]
fn detach_push_pop() {
    model("detach_push_pop", None, || {
        let stack = Stack::of(2);
        let other = start(&stack, |stack| {
            let node = stack.pop();
            stack.push(&Vec::from_iter(node));
            stack.pop()
        });
        let mut owned = stack.detach();
        owned.extend(join(other));
        stack.end(owned);
    });
}

/// A sweep gathers all but the top, on several paths, against a thread that owns the node that one of them
/// begins at, or has put it back: what is read along that path is worth nothing.
///
/// Seeded bugs: paths that are not proven count, or do so when they have ended; the rest is not detached; the chain
/// that stays is pushed Relaxed, or the one that goes is taken so.
#[test]
fn walk_pop_push() {
    model("walk_pop_push", Some(3), || {
        let stack = Stack::of(4);
        let other = start(&stack, |stack| {
            let owned = Vec::from_iter([stack.pop(), stack.pop()].into_iter().flatten());
            let (back, kept) = owned.split_at(owned.len().min(1));
            stack.push(back);
            kept.to_vec()
        });
        let mut owned = stack.walk();
        owned.extend(join(other));
        stack.end(owned);
    });
}

/// Who counts a push sees what was written before it: the rule that a failing allocation relies upon.
///
/// Seeded bug: the head load of the count Relaxed.
#[test]
fn count_of_pushes() {
    model("count_of_pushes", None, || {
        let stack = Stack::owned(1);
        let other = start(&stack, |stack| stack.push(&[0]));
        if stack.pushes() == 1 {
            assert!(!stack.peek(0));
        }
        join(other);
        assert_eq!(stack.pushes(), 1);
        stack.end(Vec::new());
    });
}

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
            let mut hand = Vec::from_iter([stack.pop(), stack.pop()].into_iter().flatten());
            if !hand.is_empty() {
                let first = hand.remove(0);
                stack.push(&[first]);
            }
            hand
        });
        let mut hand = Vec::from_iter(stack.pop());
        hand.extend(join(other));
        stack.end(hand);
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
            let mut hand = Vec::from_iter([stack.pop(), stack.pop()].into_iter().flatten());
            if !hand.is_empty() {
                let first = hand.remove(0);
                stack.push(&[first]);
            }
            hand
        });
        let mut hand = stack.pop_batch(2);
        hand.extend(join(other));
        stack.end(hand);
    });
}

/// Push against push against pop: nothing is lost, and a popped node comes with what was written before its push.
///
/// Seeded bugs: the push Relaxed, the head load of the pop Relaxed, or its reload after a failure; the link not set again.
#[test]
fn push_push_pop() {
    model("push_push_pop", None, || {
        let stack = Stack::in_hand(3);
        stack.push(&[2]);
        let other = start(&stack, |stack| stack.push(&[0]));
        stack.push(&[1]);
        let hand = Vec::from_iter(stack.pop());
        join(other);
        stack.end(hand);
    });
}

/// A chain is pushed whole, against a batch pop.
///
/// Seeded bug: the chain is pushed with one link missing.
#[test]
fn push_chain_pop_batch() {
    model("push_chain_pop_batch", None, || {
        let stack = Stack::in_hand(3);
        stack.push(&[2]);
        let other = start(&stack, |stack| stack.push(&[0, 1]));
        let hand = stack.pop_batch(2);
        join(other);
        stack.end(hand);
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
        let mut hand = stack.detach();
        hand.extend(join(other));
        stack.end(hand);
    });
}

/// A sweep takes all but the top in hand, on several paths, against a thread that has the node in its own hand that one of them
/// begins at, or has put it back: what is read along that path is worth nothing.
///
/// Seeded bugs: paths that are not proven count, or do so when they have ended; the rest is not detached; the chain that stays is
/// pushed Relaxed, or the one that goes is taken so.
#[test]
fn walk_pop_push() {
    model("walk_pop_push", Some(3), || {
        let stack = Stack::of(4);
        let other = start(&stack, |stack| {
            let hand = Vec::from_iter([stack.pop(), stack.pop()].into_iter().flatten());
            let (back, kept) = hand.split_at(hand.len().min(1));
            stack.push(back);
            kept.to_vec()
        });
        let mut hand = stack.walk();
        hand.extend(join(other));
        stack.end(hand);
    });
}

/// Who counts a push sees what was written before it: the rule that a failing allocation relies upon.
///
/// Seeded bug: the head load of the count Relaxed.
#[test]
fn count_of_pushes() {
    model("count_of_pushes", None, || {
        let stack = Stack::in_hand(1);
        let other = start(&stack, |stack| stack.push(&[0]));
        if stack.pushes() == 1 {
            assert!(!stack.peek(0));
        }
        join(other);
        assert_eq!(stack.pushes(), 1);
        stack.end(Vec::new());
    });
}

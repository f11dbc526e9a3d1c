//! Models of biased releases: the owner releases by plain stores, and others make it stop.
#![cfg(loom)]

use loom_tests::{Biased, By, join, model, start};

/// The owner of the blocks.
const OWNER: By = By::Cache(0);
/// A thread with a cache of its own.
const OTHER: By = By::Cache(1);
/// A thread without a cache.
const GUEST: By = By::Guest;

/// How many of these releases succeeded.
fn count(released: &[bool]) -> usize {
    released.iter().filter(|released| **released).count()
}

/// The owner and another thread release a block: one succeeds.
///
/// Seeded bugs:
///
/// - There is no light fence, or no heavy one.
/// - The owner looks at the order before it tells its intent.
/// - The other thread does not look at the intent.
/// - The owner releases by a store though the order is revoked.
#[test]
fn owner_other() {
    model("owner_other", Some(3), || {
        let blocks = Biased::new(&[0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        let mine = blocks.release(OWNER, 0);
        assert_eq!(count(&[mine, join(other)]), 1);
        blocks.end(0);
    });
}

/// The same, and the owner hands the block out again, and releases it again.
#[test]
fn owner_again() {
    model("owner_again", Some(3), || {
        let blocks = Biased::new(&[0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        let (mut out, mut released) = (1, usize::from(blocks.release(OWNER, 0)));
        if blocks.pop(0).is_some() {
            out += 1;
            released += usize::from(blocks.release(OWNER, 0));
        }
        assert_eq!(released + usize::from(join(other)), out);
        blocks.end(0);
    });
}

/// Another thread settled the order when the owner was releasing a block. The block is handed out again, and then
/// anybody may release it.
///
/// Seeded bugs: the settled word is believed for ever; an intent stays.
#[test]
fn settled_is_not_for_ever() {
    model("settled_is_not_for_ever", Some(3), || {
        let blocks = Biased::new(&[0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        let mine = blocks.release(OWNER, 0);
        let out = 1 + usize::from(blocks.pop(0).is_some());
        let is_live = count(&[mine, join(other)]) < out;
        assert_eq!(blocks.release(GUEST, 0), is_live);
        blocks.end(0);
    });
}

/// The owner releases two blocks, and another thread the first of them: it may see the second release under way, and
/// then sees the first one done.
#[test]
fn owner_goes_on() {
    model("owner_goes_on", Some(3), || {
        let blocks = Biased::new(&[0, 0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        let mine = blocks.release(OWNER, 0);
        assert!(blocks.release(OWNER, 1));
        assert_eq!(count(&[mine, join(other)]), 1);
        blocks.end(0);
    });
}

/// The owner and two others.
///
/// Seeded bug: an order that is revoked counts as settled.
#[test]
fn owner_two_others() {
    model("owner_two_others", Some(2), || {
        let blocks = Biased::new(&[0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        let guest = start(&blocks, |blocks| blocks.release(GUEST, 0));
        let mine = blocks.release(OWNER, 0);
        assert_eq!(count(&[mine, join(other), join(guest)]), 1);
        blocks.end(0);
    });
}

/// Another thread settles the order for one block, and then releases the one that the owner was releasing.
///
/// Seeded bug: an order is settled without a word of the release under way.
#[test]
fn settled_before() {
    model("settled_before", Some(3), || {
        let blocks = Biased::new(&[0, 0]);
        let other = start(&blocks, |blocks| blocks.release_batch(OTHER, &[1, 0]));
        let mine = blocks.release(OWNER, 0);
        assert_eq!(usize::from(mine) + join(other), 2);
        blocks.end(0);
    });
}

/// One thread settles the order, another one relies on it, and has no fence of its own.
///
/// Seeded bugs: an order is seen settled without Acquire, at first, or by an exchange that fails.
#[test]
fn settled_by_another() {
    model("settled_by_another", Some(2), || {
        let blocks = Biased::new(&[0, 0]);
        let owner = start(&blocks, |blocks| blocks.release(OWNER, 0));
        let other = start(&blocks, |blocks| blocks.release(OTHER, 1));
        let released = blocks.release(GUEST, 0);
        assert!(join(other));
        assert_eq!(count(&[released, join(owner)]), 1);
        blocks.end(0);
    });
}

/// The owner's window is closed, so that it releases by exchange and tells no intent.
#[test]
fn closed_window_other() {
    model("closed_window_other", Some(3), || {
        let blocks = Biased::new(&[0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        let mine = blocks.release_slow(OWNER, 0);
        assert_eq!(count(&[mine, join(other)]), 1);
        blocks.end(0);
    });
}

/// No heavy fences: nothing is ever biased.
///
/// Seeded bug: an order without bias counts as biased.
#[test]
fn unbiased_release_release() {
    model("unbiased_release_release", Some(3), || {
        let blocks = Biased::unbiased(&[0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        let mine = blocks.release(OWNER, 0);
        assert_eq!(count(&[mine, join(other)]), 1);
        blocks.end(0);
    });
}

/// The owner takes a bias back, and releases a block, against another thread's release of that block.
///
/// Seeded bugs:
///
/// - There is no heavy fence, or no light one.
/// - The owner does not look for visits, or keeps the bias though it is visited.
/// - A visit ends without Release, is seen ended without Acquire, or ends before the exchange.
#[test]
fn restore_other() {
    model("restore_other", Some(3), || {
        let blocks = Biased::unbiased(&[0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        blocks.restore(0);
        let mine = blocks.release(OWNER, 0);
        assert_eq!(count(&[mine, join(other)]), 1);
        blocks.end(0);
    });
}

/// The same against a thread without a cache.
///
/// Seeded bugs: no light fence; the visit is not counted, or ends without Release, or is seen ended without Acquire.
#[test]
fn restore_guest() {
    model("restore_guest", Some(3), || {
        let blocks = Biased::unbiased(&[0]);
        let guest = start(&blocks, |blocks| blocks.release(GUEST, 0));
        blocks.restore(0);
        let mine = blocks.release(OWNER, 0);
        assert_eq!(count(&[mine, join(guest)]), 1);
        blocks.end(0);
    });
}

/// The other thread goes on to another owner: its visit to the first one is seen ended.
///
/// Seeded bug: a visit begins without Release.
#[test]
fn restore_after_visit() {
    model("restore_after_visit", Some(3), || {
        let blocks = Biased::unbiased(&[0, 2]);
        let other = start(&blocks, |blocks| blocks.release_batch(OTHER, &[0, 1]));
        blocks.restore(0);
        let mine = blocks.release(OWNER, 0);
        assert_eq!(usize::from(mine) + join(other), 2);
        blocks.end(0);
    });
}

/// The owner tries to take the bias back until it has it, and hands the block out again.
#[test]
fn restore_again() {
    model("restore_again", Some(2), || {
        let blocks = Biased::new(&[0, 0]);
        let other = start(&blocks, |blocks| blocks.release_batch(OTHER, &[1, 0]));
        let _ = blocks.restore(0) || blocks.restore(0);
        let (mut out, mut released) = (2, usize::from(blocks.release(OWNER, 0)));
        if blocks.pop(0).is_some() {
            out += 1;
            released += usize::from(blocks.release(OWNER, 0));
        }
        assert_eq!(released + join(other), out);
        blocks.end(0);
    });
}

/// The owner takes a bias back while two others release: the one that came first may have settled the order.
#[test]
fn restore_two_others() {
    model("restore_two_others", Some(2), || {
        let blocks = Biased::unbiased(&[0]);
        let other = start(&blocks, |blocks| blocks.release(OTHER, 0));
        let guest = start(&blocks, |blocks| blocks.release(GUEST, 0));
        blocks.restore(0);
        let mine = blocks.release(OWNER, 0);
        assert_eq!(count(&[mine, join(other), join(guest)]), 1);
        blocks.end(0);
    });
}

/// Another thread gives a block another order, and releases it, while the owner releases it.
#[test]
fn resize_other() {
    model("resize_other", Some(3), || {
        let blocks = Biased::new(&[0]);
        let other = start(&blocks, |blocks| blocks.resize(OTHER, 0, 1) && blocks.release_slow(OTHER, 0));
        let mine = blocks.release(OWNER, 0);
        assert_eq!(count(&[mine, join(other)]), 1);
        blocks.end(0);
    });
}

/// The owner's thread ends, and another one adopts the cache, and its bias with it.
#[test]
fn adopt_other() {
    model("adopt_other", Some(2), || {
        let blocks = Biased::new(&[0, 0]);
        assert!(blocks.adopt(0));
        let heir = start(&blocks, |blocks| {
            let by = if blocks.adopt(0) { OWNER } else { GUEST };
            blocks.release(by, 1)
        });
        let other = start(&blocks, |blocks| blocks.release(OTHER, 1));
        assert!(blocks.release(OWNER, 0));
        blocks.leave(0);
        assert_eq!(count(&[join(heir), join(other)]), 1);
        blocks.end(0);
    });
}

/// A thread drains the cache of an ended thread, while another one releases what that one had handed out.
#[test]
fn drain_other() {
    model("drain_other", Some(2), || {
        let blocks = Biased::new(&[0, 0]);
        assert!(blocks.adopt(0));
        let drain = start(&blocks, |blocks| {
            if blocks.adopt(0) {
                blocks.flush(0);
                blocks.leave(0);
            }
        });
        let other = start(&blocks, |blocks| blocks.release_batch(OTHER, &[1, 0]));
        let mine = blocks.release(OWNER, 0);
        blocks.leave(0);
        join(drain);
        assert_eq!(usize::from(mine) + join(other), 2);
        blocks.end(0);
    });
}

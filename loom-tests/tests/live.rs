//! Models of checked releases: who claims a block has it, and nobody else, whatever became of its page meanwhile.
#![cfg(loom)]

use std::sync::Arc;

use loom_tests::{Checked, PAIR, Span, TRIPLE, join, model, start};

/// Two threads release one block.
///
/// Seeded bugs: both have it; nobody has it.
#[test]
fn claim_claim() {
    model("claim_claim", None, || {
        let checked = Checked::new(1);
        let (mine, rest) = checked.take(TRIPLE, 3).split(1);
        checked.hand_out(mine);
        let other = start(&checked, move |checked| checked.release(mine, None));
        let won = checked.release(mine, None);
        assert_ne!(won, join(other), "one of them has it");
        checked.end(&[rest]);
    });
}

/// A block is released while another thread takes it for one of another class, and is refused.
///
/// Seeded bugs: what is there is taken, and looked at afterwards, and put back.
#[test]
fn claim_wrong_class() {
    model("claim_wrong_class", None, || {
        let checked = Checked::new(1);
        let (pair, rest) = checked.take(PAIR, 2).split(1);
        checked.hand_out(pair);
        let other = start(&checked, move |checked| checked.release(pair, Some(TRIPLE)));
        assert!(checked.release(pair, Some(PAIR)), "it is live");
        assert!(!join(other));
        checked.end(&[rest]);
    });
}

/// A block is released, its slab closed, and its page opened for another class, of which a block at the same address is
/// handed out. Another thread releases the address, whatever is there: it has the one block or the other.
///
/// Seeded bugs: a block is handed out without Release; claimed without Acquire.
#[test]
fn claim_reopen() {
    model("claim_reopen", Some(3), || {
        let checked = Checked::new(1);
        let pair = last_of_pair(&checked);
        let other = start(&checked, move |checked| checked.release(pair, None));
        let mut live = Vec::new();
        if checked.release(pair, None) {
            let triple = checked.take(TRIPLE, 1);
            checked.hand_out(triple);
            live.push(triple);
        }
        if join(other) && !live.is_empty() {
            let triple = live.remove(0);
            assert!(!checked.release(triple, None), "the other one has it");
        }
        live.iter().for_each(|live| assert!(checked.claim(*live, None).is_some(), "it is live"));
        checked.end(&live);
    });
}

/// The same, and the other thread says what it means: the block that was there first. While it is refused, the one that
/// is there by now can be released at each moment.
///
/// Seeded bugs: what is there is taken, and looked at afterwards, and put back; whatever is there is what was meant.
#[test]
fn claim_what_was_meant() {
    model("claim_what_was_meant", Some(3), || {
        let checked = Checked::new(1);
        let pair = last_of_pair(&checked);
        let other = start(&checked, move |checked| checked.release(pair, Some(PAIR)));
        let mine = checked.release(pair, Some(PAIR));
        if mine {
            let triple = checked.take(TRIPLE, 1);
            checked.hand_out(triple);
            assert!(checked.release(triple, Some(TRIPLE)), "it is live, and nobody else's");
        }
        assert_ne!(join(other), mine, "one of them has the block");
        checked.end(&[]);
    });
}

/// A slab is closed, and its page handed out as a span. Another thread releases the address as that span: it is
/// refused, or sees the page as that of the span.
///
/// Seeded bugs: a span is handed out without Release; claimed without Acquire.
#[test]
fn claim_span() {
    model("claim_span", Some(3), || {
        let checked = Checked::new(1);
        let pair = checked.take(PAIR, 2);
        let span = Span { head: pair.part.head, pages: 1 };
        let other = start(&checked, move |checked| checked.release_span(span));
        checked.pages.give(pair);
        assert_eq!(checked.pages.alloc(1), Some(span));
        checked.hand_out_span(span);
        let mine = checked.release_span(span);
        assert_ne!(join(other), mine, "one of them has it");
        checked.end(&[]);
    });
}

/// A live block that is the last one of its slab, at the beginning of the page.
fn last_of_pair(checked: &Arc<Checked>) -> loom_tests::Hold {
    let (pair, free) = checked.take(PAIR, 2).split(1);
    checked.pages.give(free);
    checked.hand_out(pair);
    pair
}

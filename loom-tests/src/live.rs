//! A heap of pages that knows which of its slots are live, so that it can be told to release any address.

use std::sync::Arc;

use mempool::raw::Slots;
use mempool::raw::slabs::live::{Kind, Live, LivePlace};
use mempool::raw::slabs::{BitmapId, Found};

use crate::{Hold, Pages, Span};

/// A heap of pages, and where its live blocks begin.
#[derive(Debug)]
pub struct Checked {
    /// The heap.
    pub pages: Arc<Pages>,
    live: Live,
}

impl Checked {
    /// A heap that may grow to `pages` pages.
    ///
    /// # Panics
    ///
    /// When there is no memory for its tables.
    pub fn new(pages: u32) -> Arc<Self> {
        Arc::new(Self { pages: Pages::new(pages), live: Live::new(pages).expect("a few bytes") })
    }

    /// Takes `count` slots of one bitmap, the first of its page among them.
    pub fn take(&self, class: usize, count: u32) -> Hold {
        let hold = self.pages.take_in_one(class, count);
        assert_eq!(hold.slots.lowest(1), Slots::one(0));
        hold
    }

    /// Hands out the first slot of a page. All others are not what these models are about.
    pub fn hand_out(&self, slot: Hold) {
        self.live.begin(Self::place(slot), Kind::Slot(slot.class));
    }

    /// Takes what is live at an address, if it is of this class, or of any.
    ///
    /// # Panics
    ///
    /// When the page is not of a slab of that class.
    pub fn claim(&self, at: Hold, class: Option<usize>) -> Option<Hold> {
        let place = Self::place(at);
        if !class.map_or_else(|| self.live.claim_any(place), |class| self.live.claim(place, Kind::Slot(class))) {
            return None;
        }
        let Found::Slab { class: found, head } = self.pages.raw.find(at.part.head) else { panic!("there is a slot") };
        assert!(class.is_none_or(|class| class == found), "the page is seen as it is");
        Some(Hold { class: found, part: BitmapId { head, nth: 0 }, slots: Slots::one(0) })
    }

    /// Claims what is live at an address and gives it back; false, if there was nothing.
    pub fn release(&self, at: Hold, class: Option<usize>) -> bool {
        let claimed = self.claim(at, class);
        claimed.into_iter().for_each(|hold| self.pages.give(hold));
        claimed.is_some()
    }

    /// Hands out a span.
    pub fn hand_out_span(&self, span: Span) {
        self.live.begin(Self::place_of(span), Kind::Span(span.pages));
    }

    /// Claims a span, if it is live, and releases it; false, if it is not.
    ///
    /// # Panics
    ///
    /// When its page is not seen as the span's.
    pub fn release_span(&self, span: Span) -> bool {
        let claimed = self.live.claim(Self::place_of(span), Kind::Span(span.pages));
        if claimed {
            let found = self.pages.raw.find(span.head);
            assert_eq!(found, Found::Span { pages: span.pages }, "the page is seen as it is");
            self.pages.release(span);
        }
        claimed
    }

    /// The end of a model; see [`Pages::end`].
    pub fn end(&self, out: &[Hold]) {
        self.pages.end(out, &[]);
    }

    fn place_of(span: Span) -> LivePlace {
        LivePlace { page: span.head, number: 0 }
    }

    fn place(hold: Hold) -> LivePlace {
        LivePlace { page: hold.part.head, number: 0 }
    }
}

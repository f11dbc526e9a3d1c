//! Where live blocks begin, for an allocator that checks what it is asked to release: what its user may call the block that begins at each
//! place where one may.
//!
//! A release *claims* the block by one exchange, of what the block is said to be for nothing. So it takes what was meant or nothing: a release
//! that is refused has had nobody's block, not for a moment, and the one that is right finds its block there, whatever others try meanwhile.
//! What the page is can be asked afterwards, when nobody can change it any more.
//!
//! It would not do to look at the page first, and then to take whatever begins there: the slab may be closed in between, and the page be opened
//! for another class. What was taken by mistake can be put back, but its owner may come in between, and is told that it is not live. Of a class,
//! or a span of so many pages, that is live at the same address again, nobody can tell whether it was meant: it is that one's release then.

#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU8, AtomicU32, Ordering, model_or};

use super::lists::Class;

/// Places of a page: blocks begin at multiples of a page by so many.
/// Under loom one: each is two tracked objects.
pub const PLACES: u32 = model_or(1, 256);

/// A place where a block may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePlace {
    /// The page.
    pub page: u32,
    /// Which of its [`PLACES`].
    pub number: u32,
}

/// What a block is to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of a class, which is below 255.
    Slot(Class),
    /// A span of so many pages, at least one.
    Span(u32),
}

/// Nothing is live.
const NOTHING: u8 = 0;

/// How a class is written.
const fn tag(class: Class) -> u8 {
    class as u8 + 1
}

/// Where live blocks begin.
#[derive(Debug)]
pub struct Live {
    /// The [`tag`] of the slot that begins at each place, or [`NOTHING`].
    slots: Table<AtomicU8>,
    /// How many pages the span has that begins at each page, or 0.
    spans: Table<AtomicU32>,
}

impl Live {
    /// Bytes that its tables for so many pages take in an area.
    #[cfg(not(modelled))]
    pub(crate) const fn room(pages: usize) -> usize {
        room::<AtomicU8>(pages * PLACES as usize) + room::<AtomicU32>(pages)
    }

    /// Bytes of its tables for so many pages.
    #[cfg(not(modelled))]
    pub(crate) const fn bytes(pages: usize) -> usize {
        pages * (PLACES as usize * size_of::<AtomicU8>() + size_of::<AtomicU32>())
    }

    /// No live blocks in so many pages. For models.
    ///
    /// # Errors
    ///
    /// When the tables were not to be had.
    #[cfg(modelled)]
    pub fn new(pages: u32) -> Result<Self, Unavailable> {
        Self::in_source(pages, &mut Source::Global)
    }

    pub(crate) fn in_source(pages: u32, source: &mut Source) -> Result<Self, Unavailable> {
        let pages = pages as usize;
        Ok(Self { slots: source.table(pages * PLACES as usize)?, spans: source.table(pages)? })
    }

    fn slot(&self, LivePlace { page, number }: LivePlace) -> Option<&AtomicU8> {
        self.slots.get(page as usize * PLACES as usize + number as usize)
    }

    /// What says which slots are live in so many pages: all zeroes, if these are the caller's, and free.
    #[cfg(not(modelled))]
    pub(crate) fn slots_of(&self, page: u32, pages: u32) -> &[AtomicU8] {
        let (first, count) = (page as usize * PLACES as usize, pages as usize * PLACES as usize);
        self.slots.get(first..first + count).unwrap_or_default()
    }

    /// A span begins where its first page does.
    fn span(&self, LivePlace { page, number }: LivePlace) -> Option<&AtomicU32> {
        self.spans.get(page as usize).filter(|_| number == 0)
    }

    /// A block that is the caller's is handed out as what it is to its user from now on.
    pub fn begin(&self, place: LivePlace, kind: Kind) {
        // Release, both: pairs with the Acquire in `claim`; makes visible what the pages of the block are.
        match kind {
            Kind::Slot(class) => {
                if let Some(slot) = self.slot(place) {
                    slot.store(tag(class), Ordering::Release);
                }
            }
            Kind::Span(pages) => {
                if let Some(span) = self.span(place) {
                    span.store(pages, Ordering::Release);
                }
            }
        }
    }

    /// Takes the block that begins there out of the hands of its user, if one is live that is of this kind: it is the caller's then. If not,
    /// nothing has changed. Of several callers, also racing ones, one has it. Wait-free.
    pub fn claim(&self, place: LivePlace, kind: Kind) -> bool {
        // Acquire, both: pairs with the Release in `begin`; what the pages of the block are is seen, also by who was told of the address when
        // another block began there. Relaxed on failure: nothing is done.
        match kind {
            Kind::Slot(class) => self.slot(place).is_some_and(|slot| {
                slot.compare_exchange(tag(class), NOTHING, Ordering::Acquire, Ordering::Relaxed).is_ok()
            }),
            Kind::Span(pages) => self
                .span(place)
                .is_some_and(|span| span.compare_exchange(pages, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()),
        }
    }

    /// The same, of whatever kind it is; false, if none is live. Lock-free: another thread has claimed a block each time that this looks again.
    pub fn claim_any(&self, place: LivePlace) -> bool {
        while let Some(kind) = self.find(place) {
            if self.claim(place, kind) {
                return true;
            }
        }
        false
    }

    /// What is live there. A hint.
    pub fn find(&self, place: LivePlace) -> Option<Kind> {
        // Relaxed, both: a hint.
        if let Some(class) = self.slot(place)?.load(Ordering::Relaxed).checked_sub(1) {
            return Some(Kind::Slot(class.into()));
        }
        let pages = self.span(place)?.load(Ordering::Relaxed);
        (pages > 0).then_some(Kind::Span(pages))
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_claimed_once_and_as_what_it_is() {
        let live = Live::in_source(3, &mut Source::Global).expect("a few bytes");
        let places = || (0..3).flat_map(|page| (0..PLACES).map(move |number| LivePlace { page, number }));
        let kinds = |place: LivePlace| {
            let slots = [0, 1, 55, 254].map(Kind::Slot).into_iter();
            slots.chain([1, 56, 1 << 28].map(Kind::Span).into_iter().filter(move |_| place.number == 0))
        };
        assert!(places().all(|place| !live.claim_any(place) && kinds(place).all(|kind| !live.claim(place, kind))));
        for (place, kind) in places().flat_map(|place| kinds(place).map(move |kind| (place, kind))) {
            live.begin(place, kind);
            assert!(places().all(|other| live.find(other) == (other == place).then_some(kind)));
            assert!(kinds(place).filter(|other| *other != kind).all(|other| !live.claim(place, other)), "{kind:?}");
            assert!(live.claim(place, kind) && !live.claim(place, kind), "{kind:?}");
            live.begin(place, kind);
            assert!(live.claim_any(place) && !live.claim_any(place), "{kind:?}");
        }
        let outside = LivePlace { page: 3, number: 0 };
        for kind in kinds(outside) {
            live.begin(outside, kind);
            assert!(live.find(outside).is_none() && !live.claim(outside, kind) && !live.claim_any(outside));
        }
    }
}

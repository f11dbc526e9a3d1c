//! Where live blocks begin, and what each is to its user, for an allocator that checks releases.
//!
//! A release *claims* the block: one compare-exchange replaces the kind that the caller says by nothing. So it takes
//! the block that was meant, or none. A refused release never had anybody's block, not for a moment, and a right one
//! finds its block whatever others try meanwhile. The meaning of the page is looked up afterwards, when nobody can
//! change it any more.
//!
//! The reverse order would be wrong. Between a look at the page and the claim, the slab may be closed and the page
//! opened for another class; the release would then claim another thread's block. It could give the claim back, but
//! that block's own release might be refused in between.
//!
//! If a block of the same kind is live at the same address again, nobody can tell whether it was meant: the release is
//! that block's.

#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU8, AtomicU32, Ordering, model_or};

use super::lists::Class;

/// Places of a page where a block may begin.
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

/// The kind of a block, as its user knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A block of a class, which is below 255.
    Slot(Class),
    /// A span of this many pages, at least one.
    Span(u32),
}

/// Nothing is live.
const NOTHING: u8 = 0;

/// A class as [`Live`] stores it.
const fn tag(class: Class) -> u8 {
    class as u8 + 1
}

/// Where live blocks begin.
#[derive(Debug)]
pub struct Live {
    /// The [`tag`] of the slot that begins at each place, or [`NOTHING`].
    slots: Table<AtomicU8>,
    /// Pages of the live span that begins at each page, or 0.
    spans: Table<AtomicU32>,
}

impl Live {
    /// Bytes that its tables for `pages` pages take in an area.
    #[cfg(not(modelled))]
    pub(crate) const fn room(pages: usize) -> usize {
        room::<AtomicU8>(pages * PLACES as usize) + room::<AtomicU32>(pages)
    }

    /// Bytes of its tables for `pages` pages.
    #[cfg(not(modelled))]
    pub(crate) const fn bytes(pages: usize) -> usize {
        pages * (PLACES as usize * size_of::<AtomicU8>() + size_of::<AtomicU32>())
    }

    /// `pages` pages without live blocks. For models.
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

    /// The part of the table for the slots of these pages: all zeroes, if the pages are free and the caller's.
    #[cfg(not(modelled))]
    pub(crate) fn slots_of(&self, page: u32, pages: u32) -> &[AtomicU8] {
        let (first, count) = (page as usize * PLACES as usize, pages as usize * PLACES as usize);
        self.slots.get(first..first + count).unwrap_or_default()
    }

    /// A span begins at the first place of its first page.
    fn span(&self, LivePlace { page, number }: LivePlace) -> Option<&AtomicU32> {
        self.spans.get(page as usize).filter(|_| number == 0)
    }

    /// Makes a block of the caller live, as this kind.
    pub fn begin(&self, place: LivePlace, kind: Kind) {
        match kind {
            Kind::Slot(class) => {
                if let Some(slot) = self.slot(place) {
                    // Release: pairs with the Acquire in `claim`; makes visible the page map's entries of the block.
                    slot.store(tag(class), Ordering::Release);
                }
            }
            Kind::Span(pages) => {
                if let Some(span) = self.span(place) {
                    // Release: as above.
                    span.store(pages, Ordering::Release);
                }
            }
        }
    }

    /// Claims the block that begins there, if one of this kind is live: it is the caller's then. If not, nothing has
    /// changed. Of several callers, also racing ones, one has it. Wait-free.
    pub fn claim(&self, place: LivePlace, kind: Kind) -> bool {
        // Acquire, both: pairs with the Release in `begin`; the caller sees the page map's entries of the block, even
        // if it knows the address from an earlier block. Relaxed on failure: nothing is done.
        match kind {
            Kind::Slot(class) => self.slot(place).is_some_and(|slot| {
                slot.compare_exchange(tag(class), NOTHING, Ordering::Acquire, Ordering::Relaxed).is_ok()
            }),
            Kind::Span(pages) => self
                .span(place)
                .is_some_and(|span| span.compare_exchange(pages, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()),
        }
    }

    /// Claims the live block there, whatever its kind; false, if none is live. Lock-free: each time that this looks
    /// again, another thread has claimed a block.
    pub fn claim_any(&self, place: LivePlace) -> bool {
        while let Some(kind) = self.find(place) {
            if self.claim(place, kind) {
                return true;
            }
        }
        false
    }

    /// The kind of the live block there. A hint.
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

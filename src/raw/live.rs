//! Where live blocks begin, for an allocator that checks what it is asked to release: a bit for each place where one may.
//!
//! A bit belongs to an address, and not to a slot of a run. So whoever clears it has the block that begins at the address now,
//! whatever that is; what the page is can be asked afterwards, when nobody can change it any more. Who asks first what slot an
//! address is, and then clears a bit of the slot, may clear that of another block, because the run was closed in between and its page
//! opened for another class.

use super::runs::Found;
#[cfg(not(all(loom, feature = "loom")))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU64, Ordering};

/// Words of a page.
#[cfg(not(all(loom, feature = "loom")))]
const WORDS: u32 = 4;
/// Under loom one: each is two tracked objects.
#[cfg(all(loom, feature = "loom"))]
const WORDS: u32 = 1;
/// Places of a page: blocks begin at multiples of a page by so many.
pub const PLACES: u32 = WORDS * u64::BITS;

/// A place where a block may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The page.
    pub page: u32,
    /// Which of its [`PLACES`].
    pub number: u32,
}

/// Where live blocks begin.
#[derive(Debug)]
pub struct Live(Table<AtomicU64>);

impl Live {
    /// Bytes that its table for so many pages takes in an area.
    #[cfg(not(all(loom, feature = "loom")))]
    pub(crate) const fn room(pages: usize) -> usize {
        room::<AtomicU64>(pages * WORDS as usize)
    }

    /// Bytes of its table for so many pages.
    #[cfg(not(all(loom, feature = "loom")))]
    pub(crate) const fn bytes(pages: usize) -> usize {
        pages * WORDS as usize * size_of::<AtomicU64>()
    }

    /// No live blocks in so many pages. For models.
    ///
    /// # Errors
    ///
    /// When the table was not to be had.
    #[cfg(all(loom, feature = "loom"))]
    pub fn new(pages: u32) -> Result<Self, Unavailable> {
        Self::in_source(pages, &mut Source::Global)
    }

    pub(crate) fn in_source(pages: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self(source.table(pages as usize * WORDS as usize)?))
    }

    fn bit(&self, Place { page, number }: Place) -> Option<(&AtomicU64, u64)> {
        let word = page as usize * WORDS as usize + (number / u64::BITS) as usize;
        Some((self.0.get(word)?, 1 << (number % u64::BITS)))
    }

    /// A block that is the caller's is handed out.
    pub fn begin(&self, place: Place) {
        if let Some((word, bit)) = self.bit(place) {
            // Release: pairs with the Acquire in `end`; makes visible what the pages of the block are.
            word.fetch_or(bit, Ordering::Release);
        }
    }

    /// The block that begins there is live no more, but the caller's; false, if none is live there. Of several callers, also racing
    /// ones, one has it.
    fn end(&self, place: Place) -> bool {
        self.bit(place).is_some_and(|(word, bit)| {
            // Acquire: pairs with the Release in `begin`; what the pages of the block are is seen, also by who was told of
            // the address when another block began there.
            word.fetch_and(!bit, Ordering::Acquire) & bit != 0
        })
    }

    /// Does a live block begin there? A hint.
    pub fn is_live(&self, place: Place) -> bool {
        // Relaxed: a hint.
        self.bit(place).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Takes a block out of the hands of its user, if it is live and what `find` finds it to be `fits`: then it is the caller's,
    /// and is that. `None`: nothing has changed. Of several callers, also racing ones, one has it. Wait-free.
    pub fn claim(&self, place: Place, find: impl Fn() -> Found, fits: impl Fn(Found) -> bool) -> Option<Found> {
        // Certain for who has the block, so that who comes with a wrong layout leaves it alone; a guess for all others.
        if !fits(find()) || !self.end(place) {
            return None;
        }
        let found = find();
        if fits(found) {
            return Some(found);
        }
        // Another block has come to begin there meanwhile, and was taken from its user for this moment.
        self.begin(place);
        None
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_claimed_once() {
        let live = Live::in_source(3, &mut Source::Global).expect("a few bytes");
        let places = || (0..3).flat_map(|page| (0..PLACES).map(move |number| Place { page, number }));
        let (any, span) = (|_| true, || Found::Span { pages: 1 });
        assert!(places().all(|place| live.claim(place, span, any).is_none()));
        for place in places() {
            live.begin(place);
            assert_eq!(places().filter(|place| live.is_live(*place)).collect::<alloc::vec::Vec<_>>(), [place]);
            assert_eq!(live.claim(place, span, |found| found == Found::Nothing), None, "it is not what was meant");
            assert_eq!(live.claim(place, span, any), Some(Found::Span { pages: 1 }));
            assert_eq!(live.claim(place, span, any), None);
        }
        let outside = Place { page: 3, number: 0 };
        live.begin(outside);
        assert!(!live.is_live(outside) && live.claim(outside, span, any).is_none());
    }
}

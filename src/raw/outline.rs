//! Outlines: what a search for a span has seen of 64 consecutive units, so that the next one passes over them at once.
//!
//! An outline never hides a row: a search looks at the states again wherever outlines say that there may be one that is
//! long enough. Allocations leave outlines as they are, so a row may be shorter than its outline says. Releases count:
//! an outline is valid only as long as nothing was freed there since its drawing began. A unit in transit may become
//! free without a release, so a search that sees one draws no outline.

use super::state::{Kind, State};
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU64, Ordering, model_or};
use core::ops::Range;

/// Units of an outline, a power of two.
/// Under loom few: no model has more.
const UNITS: u32 = model_or(4, 64);

/// Bits of each length in an outline.
const BITS: u32 = 8;
const _: () = assert!(UNITS < 1 << BITS && 4 * BITS == u32::BITS);

/// The outlines of a heap.
#[derive(Debug)]
pub struct Outlines {
    /// For each outline two words: how often something was freed there, and the outline, with that number when its
    /// drawing began.
    ///
    /// | bits of the second word | meaning |
    /// |---|---|
    /// | 0 to 31 | the [`Outline`]; 0, if there is none |
    /// | 32 to 63 | the lowest bits of the number |
    words: Table<AtomicU64>,
    /// Units by which the heap begins behind a place where an outline would.
    lead: u32,
}

/// The free rows among the units of an outline.
///
/// | bits | meaning |
/// |---|---|
/// | 0 to 7 | units of the row with which it begins |
/// | 8 to 15 | units of the row with which it ends |
/// | 16 to 23 | units of the longest row |
/// | 24 | 1 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Units of the row with which it begins.
    pub first: u32,
    /// Units of the row with which it ends.
    pub last: u32,
    /// Units of the longest row.
    pub longest: u32,
}

/// An outline that is being drawn.
#[derive(Debug)]
pub struct Drawing<'a> {
    outlines: &'a Outlines,
    place: usize,
    freed: u64,
    /// Units that were seen.
    seen: u32,
    outline: Outline,
}

impl Outline {
    /// Units that an outline is about.
    pub const UNITS: u32 = UNITS;

    const fn word(self) -> u32 {
        self.first | self.last << BITS | self.longest << (2 * BITS) | 1 << (3 * BITS)
    }

    const fn of(word: u32) -> Self {
        let [first, last, longest, _] = word.to_le_bytes();
        Self { first: first as u32, last: last as u32, longest: longest as u32 }
    }
}

impl Outlines {
    /// Outlines of a heap of `units` units whose first one has this absolute number. There is none yet.
    ///
    /// # Errors
    ///
    /// When there is no memory for them: 16 bytes for each 64 units.
    #[cfg(modelled)]
    pub fn new(units: u32, first_unit: u64) -> Result<Self, Unavailable> {
        Self::in_source(units, first_unit as u32, &mut Source::Global)
    }

    /// The same; `lead` are the lowest bits of that number.
    pub(super) fn in_source(units: u32, lead: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self { words: source.table(Self::words(units as usize))?, lead: lead % UNITS })
    }

    /// Words for `units` units. One for those before the first place and one for those behind the last.
    const fn words(units: usize) -> usize {
        2 * (units / UNITS as usize + 2)
    }

    /// Bytes that they take in an area, for a heap of `units` units.
    #[cfg(not(modelled))]
    pub(super) const fn room(units: usize) -> usize {
        crate::metadata::room::<AtomicU64>(Self::words(units))
    }

    /// Where the first word of the outline is that a unit is in.
    fn place(&self, unit: u32) -> usize {
        2 * ((u64::from(unit) + u64::from(self.lead)) / u64::from(UNITS)) as usize
    }

    /// The first unit of the outline that a unit is in; 0, if that lies before the heap.
    pub(super) fn start(&self, unit: u32) -> u32 {
        unit.saturating_sub(unit.wrapping_add(self.lead) % UNITS)
    }

    /// Does an outline begin at a unit?
    #[inline]
    pub fn has(&self, unit: u32) -> bool {
        unit.wrapping_add(self.lead).is_multiple_of(UNITS)
    }

    /// Notes that some of these units were published as free, after that.
    pub fn note_freed(&self, units: Range<u32>) {
        let places = self.place(units.start)..=self.place(units.end.saturating_sub(1));
        for word in places.step_by(2).filter_map(|place| self.words.get(place)) {
            // Release: pairs with the Acquire in `draw`; a search whose drawing counts this release sees the units
            // free.
            word.fetch_add(1, Ordering::Release);
        }
    }

    /// The outlines from the one that begins at a unit on, as far as there are some.
    #[inline]
    pub fn from(&self, unit: u32) -> impl Iterator<Item = Option<Outline>> {
        let words = self.words.get(self.place(unit)..).unwrap_or(&[]);
        words.as_chunks().0.iter().map(|[freed, word]| {
            // Relaxed, both: a hint. An outline publishes nothing.
            let (freed, word) = (freed.load(Ordering::Relaxed), word.load(Ordering::Relaxed));
            (word as u32 != 0 && (word >> u32::BITS) as u32 == freed as u32).then(|| Outline::of(word as u32))
        })
    }

    /// The outline that begins at a unit, if there is one.
    #[cfg(any(test, modelled))]
    pub fn get(&self, unit: u32) -> Option<Outline> {
        self.from(unit).next()?
    }

    /// Begins to draw the outline that begins at a unit.
    pub fn draw(&self, unit: u32) -> Option<Drawing<'_>> {
        let place = self.place(unit);
        // Acquire: pairs with the Release in `note_freed`; what is counted is seen.
        let freed = self.words.get(place)?.load(Ordering::Acquire);
        Some(Drawing { outlines: self, place, freed, seen: 0, outline: Outline::default() })
    }
}

impl Drawing<'_> {
    /// Adds the next block. `None`: the drawing has ended, with an outline or without.
    pub fn with(mut self, seen: State) -> Option<Self> {
        let units = seen.extent().units();
        self.seen += units;
        if seen.kind() == Kind::Inner || self.seen > UNITS {
            return None;
        }
        let Outline { first, last, longest } = &mut self.outline;
        *last = if seen.kind() == Kind::Free { *last + units } else { 0 };
        *longest = (*longest).max(*last);
        if *last == self.seen {
            *first = *last;
        }
        if self.seen < UNITS {
            return Some(self);
        }
        let word = self.freed << u32::BITS | u64::from(self.outline.word());
        // The place behind the number's.
        if let Some(place) = self.outlines.words.get(self.place + 1) {
            // Relaxed: a hint, which tells of itself whether it counts.
            place.store(word, Ordering::Relaxed);
        }
        None
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;
    use crate::raw::order::Order;

    const PAGE: Order = Order::ZERO;

    fn outlines() -> Outlines {
        Outlines::in_source(1000, 3, &mut Source::Global).expect("some bytes")
    }

    /// Draws the outline at `unit` of these blocks.
    fn draw(outlines: &Outlines, unit: u32, blocks: impl IntoIterator<Item = State>) {
        let drawing = outlines.draw(unit).expect("there is a place");
        _ = blocks.into_iter().try_fold(drawing, Drawing::with);
    }

    #[test]
    fn rows_are_told() {
        let (outlines, [free, live]) = (outlines(), [State::free(PAGE), State::live(PAGE.into())]);
        let pair = State::free(Order::covering(2).expect("an order"));
        assert!(outlines.has(61) && !outlines.has(60) && !outlines.has(0));
        assert_eq!([0, 60, 61, 124, 125].map(|unit| outlines.start(unit)), [0, 0, 61, 61, 125]);
        assert_eq!(outlines.get(61), None);
        draw(&outlines, 61, [free, live, live, pair, free, live].into_iter().chain([free; 57]));
        assert_eq!(outlines.get(61), Some(Outline { first: 1, last: 57, longest: 57 }));
        draw(&outlines, 125, [free; 64]);
        assert_eq!(outlines.get(125), Some(Outline { first: 64, last: 64, longest: 64 }));
        draw(&outlines, 189, [live; 64]);
        assert_eq!(outlines.get(189), Some(Outline::default()));
    }

    #[test]
    fn one_that_is_no_more_true_does_not_count() {
        let outlines = outlines();
        let is_there = || [61, 125, 189].map(|unit| outlines.get(unit).is_some());
        let draw_all =
            || [61, 125, 189].into_iter().for_each(|unit| draw(&outlines, unit, [State::live(PAGE.into()); 64]));
        draw_all();
        assert_eq!(is_there(), [true; 3]);
        outlines.note_freed(61..125);
        assert_eq!(is_there(), [false, true, true]);
        draw_all();
        outlines.note_freed(124..190);
        assert_eq!(is_there(), [false; 3]);
        // Freed while it is drawn.
        let drawing = outlines.draw(61).expect("there is a place");
        outlines.note_freed(70..71);
        _ = [State::live(PAGE.into()); 64].into_iter().try_fold(drawing, Drawing::with);
        assert_eq!(outlines.get(61), None);
        // In transit, and beyond the end.
        draw(&outlines, 125, [State::from_bits(0)].into_iter().chain([State::live(PAGE.into()); 63]));
        draw(&outlines, 189, [State::live(PAGE.into()); 63].into_iter().chain([State::live(Order::MAX.into())]));
        assert_eq!(is_there(), [false; 3]);
    }
}

//! Spares: the spans that were released last in each shard stay whole, for the next ones of as many pages.
//!
//! A spare is free. A thread that finds no other place for a span, or sweeps, gives all spares back. So spares withhold
//! nothing, and a thread that releases and allocates in turn has one exchange each time.

use crossbeam_utils::CachePadded;

use crate::raw::shards::Shard;
use crate::sync::{AtomicU32, AtomicU64, Ordering, model_or};

/// Most spares of a shard, a power of two: sizes that alternate are few.
/// Under loom one: no model has more spans.
const MOST: usize = model_or(1, 4);

/// A span: its first page, and its number of pages.
pub type Span = (u32, u32);

/// For each shard some spans.
#[derive(Debug, Default)]
pub struct Spares {
    shards: [CachePadded<Places>; Shard::COUNT],
}

/// The spans of a shard, or none.
///
/// | bits | of a span | of none |
/// |---|---|---|
/// | 0 to 31 | its number of pages | 0 |
/// | 32 to 63 | the first page | 0 |
#[derive(Debug, Default)]
struct Places {
    spans: [AtomicU64; MOST],
    /// How many spans were given back to make place for others.
    turns: AtomicU32,
}

const fn span(word: u64) -> Option<Span> {
    if word as u32 == 0 { None } else { Some(((word >> u32::BITS) as u32, word as u32)) }
}

/// Takes the span of a place, if it is `wanted`.
fn take(place: &AtomicU64, wanted: impl Fn(Span) -> bool) -> Option<Span> {
    // Relaxed: a guess, which the exchange checks. If the span was taken and put back meanwhile, it is the same one.
    let word = place.load(Ordering::Relaxed);
    let found = span(word).filter(|found| wanted(*found))?;
    // Acquire: pairs with the Release in `put`. Relaxed on failure: nothing was taken.
    place.compare_exchange(word, 0, Ordering::Acquire, Ordering::Relaxed).is_ok().then_some(found)
}

impl Spares {
    /// Keeps a span of the caller, if the shard has a place for it; false, if not.
    pub fn put(&self, shard: Shard, (head, pages): Span) -> bool {
        let word = u64::from(head) << u32::BITS | u64::from(pages);
        // Release: pairs with the Acquire in `take`; the taker finds the span as it was left. Relaxed on failure:
        // nothing was kept.
        let put = |place: &AtomicU64| place.compare_exchange(0, word, Ordering::Release, Ordering::Relaxed).is_ok();
        self.places(shard).spans.iter().any(put)
    }

    /// Takes a span of a shard that is `wanted`.
    pub fn take(&self, shard: Shard, wanted: impl Fn(Span) -> bool) -> Option<Span> {
        self.places(shard).spans.iter().find_map(|place| take(place, &wanted))
    }

    /// Takes the next span of a shard, each time another one.
    #[cfg_attr(modelled, allow(clippy::modulo_one, reason = "a shard has one place there"))]
    pub fn take_next(&self, shard: Shard) -> Option<Span> {
        let places = self.places(shard);
        // Relaxed: a number.
        let turn = places.turns.fetch_add(1, Ordering::Relaxed) as usize;
        (turn..turn + MOST).find_map(|turn| take(places.spans.get(turn % MOST)?, |_| true))
    }

    /// Has a shard no place left, or more than `most` pages? A hint.
    pub fn is_full(&self, shard: Shard, most: u32) -> bool {
        let spans = self.spans_of(shard).fold((0, 0), |(count, pages), (_, more)| (count + 1, pages + more));
        spans.0 == MOST || spans.1 > most
    }

    /// Has a shard a spare? A hint.
    pub fn has(&self, shard: Shard) -> bool {
        self.spans_of(shard).next().is_some()
    }

    fn places(&self, shard: Shard) -> &Places {
        &self.shards[shard.number()]
    }

    fn spans_of(&self, shard: Shard) -> impl Iterator<Item = Span> {
        // Relaxed: a hint.
        self.places(shard).spans.iter().filter_map(|place| span(place.load(Ordering::Relaxed)))
    }

    /// All spares. A hint, while others allocate.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        Shard::all().flat_map(|shard| self.spans_of(shard))
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_shard_keeps_some_spans() {
        let (spares, [here, there]) = (Spares::default(), [1, 2].map(Shard::of));
        let of = |pages| move |(_, has)| has == pages;
        let spans = [(0, 17), (40, 20), (80, 30), (200, 17)];
        assert!(spans.into_iter().all(|span| spares.put(here, span)));
        assert_eq!([spares.take(here, of(18)), spares.take(there, of(17))], [None; 2]);
        assert!(!spares.put(here, (300, 20)));
        assert!(spares.put(there, (u32::MAX, 1)));
        assert!(spares.spans().eq(spans.into_iter().chain([(u32::MAX, 1)])));
        assert_eq!([(); 3].map(|()| spares.take(here, of(17))), [Some(spans[0]), Some(spans[3]), None]);
        assert_eq!([49, 50].map(|most| spares.is_full(here, most)), [true, false], "two of 50 pages together");
        assert!(spans[2..].iter().all(|span| spares.put(here, *span)) && spares.is_full(here, u32::MAX));
        let next = || spares.take_next(here).filter(|span| spares.put(here, *span));
        assert_eq!([(); 4].map(|()| next()).map(Option::unwrap_or_default).iter().collect::<BTreeSet<_>>().len(), 3);
        while spares.take(here, |_| true).is_some() {}
        assert!(!spares.has(here) && spares.take_next(here).is_none());
        assert_eq!(spares.take(there, |_| true), Some((u32::MAX, 1)));
        assert_eq!(spares.spans().count(), 0);
    }
}

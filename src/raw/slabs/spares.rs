//! Spares: the span that was released last in each shard stays whole, for the next span of as many pages.
//!
//! A spare is free. A thread that takes another span gives the spare of its shard back before; one that would let the
//! heap grow, sweep, or fail gives all of them back. So spares withhold nothing, and a thread that releases and
//! allocates in turn has one exchange each time.

use crossbeam_utils::CachePadded;

use crate::raw::shards::Shard;
use crate::sync::{AtomicU64, Ordering};

/// A span: its first page, and its number of pages.
pub type Span = (u32, u32);

/// For each shard a span, or none.
///
/// | bits | of a span | of none |
/// |---|---|---|
/// | 0 to 31 | its number of pages | 0 |
/// | 32 to 63 | the first page | 0 |
#[derive(Debug, Default)]
pub struct Spares {
    shards: [CachePadded<AtomicU64>; Shard::COUNT],
}

const fn span(word: u64) -> Option<Span> {
    if word as u32 == 0 { None } else { Some(((word >> u32::BITS) as u32, word as u32)) }
}

impl Spares {
    /// Keeps a span of the caller, if the shard has none; false, if it has.
    pub fn put(&self, shard: Shard, (head, pages): Span) -> bool {
        let word = u64::from(head) << u32::BITS | u64::from(pages);
        // Release: pairs with the Acquire in `take`; the taker finds the span as it was left. Relaxed on failure:
        // nothing was kept.
        self.shards[shard.number()].compare_exchange(0, word, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Takes the span of a shard, if it is `wanted`.
    pub fn take(&self, shard: Shard, wanted: impl Fn(Span) -> bool) -> Option<Span> {
        let place = &self.shards[shard.number()];
        // Relaxed: a guess, which the exchange checks. If the span was taken and put back meanwhile, it is the same
        // one.
        let word = place.load(Ordering::Relaxed);
        let found = span(word).filter(|found| wanted(*found))?;
        // Acquire: pairs with the Release in `put`. Relaxed on failure: nothing was taken.
        place.compare_exchange(word, 0, Ordering::Acquire, Ordering::Relaxed).is_ok().then_some(found)
    }

    /// Has a shard a spare? A hint.
    pub fn has(&self, shard: Shard) -> bool {
        // Relaxed: a hint.
        self.shards[shard.number()].load(Ordering::Relaxed) != 0
    }

    /// All spares. A hint, while others allocate.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        // Relaxed: a hint.
        self.shards.iter().filter_map(|place| span(place.load(Ordering::Relaxed)))
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;

    #[test]
    fn each_shard_keeps_one_span() {
        let (spares, [here, there]) = (Spares::default(), [1, 2].map(Shard::of));
        let of = |pages| move |(_, has)| has == pages;
        assert!(spares.put(here, (0, 17)));
        assert_eq!([spares.take(here, of(18)), spares.take(there, of(17))], [None; 2]);
        assert!(!spares.put(here, (40, 20)));
        assert!(spares.put(there, (u32::MAX, 1)));
        assert!(spares.spans().eq([(0, 17), (u32::MAX, 1)]));
        assert_eq!(spares.take(here, of(17)), Some((0, 17)));
        assert_eq!(spares.take(here, |_| true), None);
        assert_eq!(spares.take(there, |_| true), Some((u32::MAX, 1)));
        assert_eq!(spares.spans().count(), 0);
    }
}

//! How much a cache may hold: by the configuration, and by the size of the pool.

use crate::raw::{Class, Sizes};
use crate::sync::model_or;

use super::layout::{BIN_ENTRIES, MAGAZINE, MAGAZINE_ENTRIES};

/// Most blocks of one class in a cache.
pub const MOST_BLOCKS: usize = 2048;
/// Blocks of this many bytes are *big*: the pool's size bounds what a cache may hold of them. A MiB is plenty for
/// smaller ones.
const BIG: usize = 64 << 10;
/// Least entries that the bin of each class of big blocks has.
const FEWEST_BIG: usize = 64;
/// Least entries that a magazine of each class of big blocks has.
/// Under loom as many as any magazine.
const FEWEST_BIG_IN_MAGAZINE: usize = model_or(MAGAZINE, 4);
/// Blocks that a bin may hold when it comes into use.
const FIRST_BLOCKS: usize = 64;
/// The first blocks of a bin are at most this part of what the cache may hold.
const FIRST_PART: usize = 8;
/// A cache holds at most this part of the pool.
/// Under loom all of it: no model has 64 blocks.
const PART_OF_POOL: usize = model_or(1, 64);
/// Outboxes hold at most this part of what a cache may hold.
/// Under loom half of it: a cache of two blocks can have one in a bin and one in an outbox.
const OUTBOXES_PART: usize = model_or(2, 4);
/// A magazine is at most this part of what a cache may hold, so that there can be eight outboxes at least.
/// Under loom all that outboxes may hold: a cache holds a few blocks.
const MAGAZINE_PART: usize = model_or(OUTBOXES_PART, 32);
// An outbox can be opened, if all others are closed.
const _: () = assert!(MAGAZINE_PART >= OUTBOXES_PART);
/// Blocks from this order on are large.
const LARGE: u32 = 6;
/// Large blocks of one class are at most this part of what the bins may hold.
const LARGE_PART: usize = 2;

/// Bytes that the blocks of a cache may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Of blocks that are not big.
    pub(super) small: usize,
    /// Of all blocks.
    pub(super) all: usize,
}

impl Allowance {
    /// A MiB; and of big blocks as much as the pool allows.
    pub const DEFAULT: Self = Self { small: 1 << 20, all: usize::MAX };

    /// This many bytes, of whatever blocks; 0 for no caches.
    pub const fn of(bytes: usize) -> Self {
        Self { small: bytes, all: bytes }
    }

    /// Is there to be no cache?
    pub const fn is_none(self) -> bool {
        self.all == 0
    }

    /// No more than this many bytes.
    fn at_most(self, bytes: usize) -> Self {
        Self { small: self.small.min(bytes), all: self.all.min(bytes) }
    }

    /// A part of it.
    fn part(self, part: usize) -> Self {
        Self { small: self.small / part, all: self.all / part }
    }

    /// The bins' part of it; the rest is for the outboxes.
    fn of_bins(self) -> Self {
        let outboxes = self.part(OUTBOXES_PART);
        Self { small: self.small - outboxes.small, all: self.all - outboxes.all }
    }
}

/// What a cache of this pool may hold now.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// By the configuration and the size of the pool.
    allowed: Allowance,
    /// By the configuration, however large the pool is going to be.
    configured: Allowance,
    min_shift: u32,
    sizes: Sizes,
}

impl Limit {
    /// The limit of a cache in a pool of `capacity` bytes with blocks from 2^`min_shift` bytes on.
    pub fn new(configured: Allowance, capacity: usize, min_shift: u32, sizes: Sizes) -> Self {
        Self { allowed: configured.at_most(capacity / PART_OF_POOL), configured, min_shift, sizes }
    }

    /// The sizes of the blocks.
    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// May a cache hold one block at least?
    pub fn holds_any(&self) -> bool {
        self.bytes(self.of_bins(), Class::UNIT) >= self.size(Class::UNIT)
    }

    /// What all bins may hold.
    pub(super) fn of_bins(&self) -> Allowance {
        self.allowed.of_bins()
    }

    /// What all outboxes may hold.
    pub(super) fn of_outboxes(&self) -> Allowance {
        self.allowed.part(OUTBOXES_PART)
    }

    pub(super) fn is_big(&self, class: Class) -> bool {
        self.size(class) >= BIG
    }

    /// Is it worth while to cache blocks of this class? Big ones between the powers of two go back to the heaps, where
    /// they fit into rows.
    fn is_cached(&self, class: Class) -> bool {
        class.is_order() || !self.is_big(class)
    }

    /// Bytes of an allowance that blocks of `class` may have.
    fn bytes(&self, allowance: Allowance, class: Class) -> usize {
        if self.is_big(class) { allowance.all } else { allowance.small }
    }

    /// Bytes of a block.
    pub(super) fn size(&self, class: Class) -> usize {
        // An index has 32 bits, and so has the count of units.
        let units = class.units() as usize;
        if self.min_shift <= units.leading_zeros() { units << self.min_shift } else { usize::MAX }
    }

    /// Bytes of `blocks` blocks of `class`.
    pub fn bytes_of(&self, class: Class, blocks: usize) -> usize {
        self.size(class).saturating_mul(blocks)
    }

    /// Most blocks of `class` in a bin.
    pub(super) fn most(&self, class: Class) -> usize {
        self.most_of(self.allowed, class)
    }

    /// Blocks of `class` that a bin may hold when it comes into use.
    pub(super) fn first(&self, class: Class) -> usize {
        FIRST_BLOCKS.min(self.most_of(self.allowed.part(FIRST_PART), class)).max(1)
    }

    /// Most blocks of `class` in a cache of such an allowance. Small blocks may have all of it, large ones a part, but
    /// one block at least if there is room.
    fn most_of(&self, allowance: Allowance, class: Class) -> usize {
        if !self.is_cached(class) {
            return 0;
        }
        let (size, bins) = (self.size(class), self.bytes(allowance.of_bins(), class));
        let part = if class.order().get() < LARGE { bins } else { bins / LARGE_PART };
        (part / size).max(usize::from(size <= bins)).min(MOST_BLOCKS)
    }

    /// Blocks of a magazine of `class`, as far as the depot has entries for them; 0 where one block is too much.
    pub(super) fn magazine(&self, class: Class) -> usize {
        self.magazine_of(self.allowed, class)
    }

    fn magazine_of(&self, allowance: Allowance, class: Class) -> usize {
        let most = if self.is_cached(class) { MAGAZINE } else { 0 };
        (self.bytes(allowance, class) / MAGAZINE_PART / self.size(class)).min(most)
    }

    /// How many entries the bin of each class has.
    pub fn bin_entries(self) -> impl Iterator<Item = (Class, usize)> {
        let most = move |class| self.most_of(self.configured, class);
        self.shares(BIN_ENTRIES - self.sizes.classes().count(), most, MOST_BLOCKS, FEWEST_BIG)
    }

    /// How many entries the magazines of each class have.
    pub fn magazine_entries(self) -> impl Iterator<Item = (Class, usize)> {
        let most = move |class| self.magazine_of(self.configured, class);
        self.shares(MAGAZINE_ENTRIES, most, MAGAZINE, FEWEST_BIG_IN_MAGAZINE)
    }

    /// Shares `entries` out to the classes, whatever the size of the pool is going to be. Each class gets as many as it
    /// can use at `most`, up to a bound for classes of small blocks and another one for those of big blocks. The bound
    /// for small ones is the first of `bound`, a half of that, and so on that leaves `fewest_big` for each class of big
    /// blocks.
    fn shares(
        self,
        entries: usize,
        most: impl Fn(Class) -> usize + Copy,
        bound: usize,
        fewest_big: usize,
    ) -> impl Iterator<Item = (Class, usize)> {
        let classes = move || self.sizes.classes();
        let big = classes().filter(|class| self.is_big(*class) && self.is_cached(*class)).count();
        let small = move |bound: usize| {
            let small = classes().filter(move |class| !self.is_big(*class));
            small.map(move |class| most(class).min(bound)).sum::<usize>()
        };
        let halves = core::iter::successors(Some(bound), |bound| Some(bound / 2)).take_while(|bound| *bound > 0);
        let of_small = halves.into_iter().find(|bound| small(*bound) + big * fewest_big <= entries).unwrap_or(0);
        let of_big = (entries - small(of_small)).checked_div(big).unwrap_or(0);
        classes().map(move |class| (class, most(class).min(if self.is_big(class) { of_big } else { of_small })))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn all_bins_have_entries() {
        for (allowance, min_shift, small, big) in [
            (Allowance::DEFAULT, 4, 1024, 128),
            (Allowance::DEFAULT, 6, 2048, 128),
            (Allowance::DEFAULT, 12, 192, 128),
            (Allowance::DEFAULT, 21, 0, 128),
            (Allowance::of(1 << 30), 6, 1024, 64),
            (Allowance::of(1 << 20), 6, 2048, 6),
        ] {
            let limit = Limit::new(allowance, 0, min_shift, Sizes::PowersOfTwo);
            let rooms: alloc::vec::Vec<(Class, usize)> = limit.bin_entries().collect();
            assert!(rooms.iter().map(|(_, room)| room).sum::<usize>() <= BIN_ENTRIES);
            let first_big = rooms.iter().find(|(class, _)| limit.is_big(*class)).expect("there are big ones");
            assert!(first_big.1 >= big, "{allowance:?} {min_shift}: {first_big:?}");
            assert!(limit.is_big(rooms[0].0) || rooms[0].1 >= small, "{allowance:?} {min_shift}: {:?}", rooms[0]);
        }
    }

    #[test]
    fn bins_and_magazines_between_the_powers_of_two_have_entries() {
        let limit = Limit::new(Allowance::DEFAULT, 0, 6, Sizes::Eighths);
        let (bins, magazines) = (|| limit.bin_entries(), || limit.magazine_entries());
        let gaps = limit.bin_entries().count();
        assert!(bins().map(|(_, entries)| entries).sum::<usize>() + gaps <= BIN_ENTRIES);
        assert!(magazines().map(|(_, entries)| entries).sum::<usize>() <= MAGAZINE_ENTRIES);
        assert!(bins().all(|(class, entries)| entries >= limit.most_of(limit.configured, class).min(64)));
        assert!(magazines().all(|(class, entries)| entries >= limit.magazine_of(limit.configured, class).min(4)));
    }

    #[test]
    fn all_magazines_have_entries() {
        for (allowance, min_shift, small, big) in [
            (Allowance::DEFAULT, 4, MAGAZINE, 12),
            (Allowance::DEFAULT, 6, MAGAZINE, 23),
            (Allowance::DEFAULT, 12, 8, 36),
            (Allowance::DEFAULT, 21, 0, 32),
            (Allowance::of(8 << 20), 6, MAGAZINE, 4),
            (Allowance::of(1 << 30), 6, MAGAZINE / 2, 17),
        ] {
            let limit = Limit::new(allowance, 0, min_shift, Sizes::PowersOfTwo);
            let entries: alloc::vec::Vec<(Class, usize)> = limit.magazine_entries().collect();
            assert!(entries.iter().map(|(_, entries)| entries).sum::<usize>() <= MAGAZINE_ENTRIES);
            let first_big = entries.iter().find(|(class, _)| limit.is_big(*class)).expect("there are big ones");
            assert!(first_big.1 >= big, "{allowance:?} {min_shift}: {first_big:?}");
            assert!(limit.is_big(entries[0].0) || entries[0].1 >= small, "{allowance:?} {min_shift}: {:?}", entries[0]);
        }
    }
}

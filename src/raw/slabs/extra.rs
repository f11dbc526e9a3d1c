//! The extra bitmaps of slabs that have several.
//!
//! The first bitmap of a slab belongs to its first page. Few slabs have more slots than one bitmap, so extra bitmaps do
//! not belong to pages: a slab takes a *set* of them when it is opened, and gives it back when it is closed. Sets in
//! use lie side by side, and so do their words and links.
//!
//! The page map has the set of a slab. Each bitmap of a set in use has its slab's first page, class and shard. As with
//! the page map, that is certain for a thread that has a slot of the bitmap; until it has taken one, the set may be
//! another slab's.

use crossbeam_utils::CachePadded;

use super::lists::Class;
use super::page_map::Entry;
use super::shape::{BITMAPS, Shape};
use crate::commit::Commit;
use crate::metadata::{Source, Unavailable};
use crate::raw::order::BlockIndex;
use crate::raw::shards::Shard;
use crate::raw::stack::{Chain, FreeStack, Links};
use crate::raw::watermark::Watermark;

/// Bits of the first page in the word of a slab.
const HEAD_BITS: u32 = 27;
/// Bits of the class, above them. The shard is above these.
const CLASS_BITS: u32 = 2;
const _: () = assert!(HEAD_BITS + CLASS_BITS + Shard::BITS <= u32::BITS);

/// Memory is committed for at least this many bitmaps at once.
const LEAST_STEP: u32 = 1024;

/// The slab that has an extra bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlabId {
    pub(super) class: Class,
    /// The first page.
    pub(super) head: u32,
    pub(super) shard: Shard,
}

impl SlabId {
    fn word(self) -> u32 {
        ((self.shard.number() << CLASS_BITS | self.class) as u32) << HEAD_BITS | self.head
    }

    #[inline]
    fn of(word: u32) -> Self {
        let class_and_shard = (word >> HEAD_BITS) as usize;
        Self {
            class: class_and_shard & !(usize::MAX << CLASS_BITS),
            head: word & !(u32::MAX << HEAD_BITS),
            shard: Shard::of(class_and_shard >> CLASS_BITS),
        }
    }
}

/// The extra bitmaps of a heap, numbered from 0.
#[derive(Debug)]
pub(super) struct Extra {
    /// The slab of each bitmap of a set in use. The first bitmap of a free set has the next free set here instead.
    slabs: Links,
    /// Free sets, by their number of bitmaps, from 1.
    free: CachePadded<[FreeStack; BITMAPS as usize - 1]>,
    /// The next bitmap that was never in a set.
    watermark: Watermark,
    /// Most bitmaps that there may be.
    most: u32,
    commit: Commit,
}

/// Most pages of a heap: the word of a slab has room for no more.
pub const MOST_PAGES: u32 = 1 << HEAD_BITS;

/// Most extra bitmaps that slabs of these shapes need for each page, with those in free sets.
pub const fn most_of_a_page(shapes: &[Shape]) -> u32 {
    // A set is made only where none of its length is free: at most one of each length for each page. Without an index
    // that could be out of range: it is computed when an allocator starts, too.
    let (mut sum, mut count) = (0, 1);
    while count < BITMAPS {
        let mut rest = shapes;
        while let [shape, more @ ..] = rest {
            rest = more;
            if shape.extra() == count {
                sum += count;
                rest = &[];
            }
        }
        count += 1;
    }
    sum
}

/// Has the word of a slab room for all of these classes, and an entry of the page map for all of their sets?
pub const fn have_room(shapes: &[Shape]) -> bool {
    let mut class = 0;
    while class < shapes.len() {
        if shapes[class].extra() > 0 && class >> CLASS_BITS > 0 || shapes[class].extra() >= BITMAPS {
            return false;
        }
        class += 1;
    }
    most_of_a_page(shapes) as u64 * MOST_PAGES as u64 <= Entry::MOST_EXTRA as u64
}

impl Extra {
    /// `bitmaps` bitmaps, none of which is in use: a table of 4 bytes for each. Their words and links came from the
    /// same source.
    pub(super) fn in_source(bitmaps: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self {
            slabs: Links::in_two(0, bitmaps, source)?,
            free: CachePadded::default(),
            watermark: Watermark::default(),
            most: bitmaps,
            commit: source.next_commit(bitmaps, LEAST_STEP),
        })
    }

    /// Bitmaps that were ever in use.
    pub(super) fn used(&self) -> u32 {
        self.watermark.next()
    }

    /// Bytes of their tables that are not in memory. O(bitmaps).
    #[cfg(not(modelled))]
    pub(super) fn absent(&self) -> usize {
        self.commit.absent(self.used())
    }

    /// Takes a set of `count` bitmaps for a slab, which is the caller's. `None`: there is no memory for it. Lock-free.
    pub(super) fn take(&self, count: u32, slab: SlabId) -> Option<u32> {
        // A thread that looks for a bitmap of a closed slab may look behind the end of the set that its page has now.
        let is_ready = |end: u32| self.commit.cover(end.saturating_add(BITMAPS));
        let set = self.stack(count)?.pop(&self.slabs).map(BlockIndex::get);
        let set = set.or_else(|| self.watermark.take(count, self.most, is_ready))?;
        for bitmap in set..set + count {
            self.slabs.set(BlockIndex::new(bitmap), slab.word());
        }
        Some(set)
    }

    /// Gives a set back. None of its slots is free, and no thread has one.
    pub(super) fn give_back(&self, set: u32, count: u32) {
        if let Some(stack) = self.stack(count) {
            // The Release of the push pairs with the Acquire of the pop: the next owner of the set finds its words as
            // they are.
            stack.push(&self.slabs, Chain::new(BlockIndex::new(set)));
        }
    }

    /// Bitmaps in free sets, for a model whose threads are done.
    #[cfg(modelled)]
    pub(super) fn free(&self) -> u32 {
        // More than there are would be a circle.
        let sets = |free: &FreeStack| free.nodes(&self.slabs).take(self.used() as usize + 1).count() as u32;
        (1..BITMAPS).map(|count| count * self.stack(count).map_or(0, sets)).sum()
    }

    fn stack(&self, count: u32) -> Option<&FreeStack> {
        self.free.get((count as usize).checked_sub(1)?)
    }

    /// Bitmap `number` of a set, if there may be one.
    pub(super) fn bitmap(&self, set: u32, number: u32) -> Option<u32> {
        Some(set + number).filter(|bitmap| *bitmap < self.most)
    }

    /// The slab that has a bitmap: certain for a thread that has a slot of it.
    #[inline]
    pub(super) fn slab(&self, bitmap: u32) -> SlabId {
        SlabId::of(self.slabs.after(BlockIndex::new(bitmap)))
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;

    const fn shape(slots: u32) -> Shape {
        Shape { pages: 1, slots }
    }

    #[test]
    fn a_page_may_need_a_set_of_each_length() {
        assert_eq!(most_of_a_page(&[shape(1), shape(64)]), 0);
        assert_eq!(most_of_a_page(&[shape(256), shape(128), shape(85), shape(64)]), 3 + 1);
        assert_eq!(most_of_a_page(&[shape(65), shape(64), shape(66)]), 1);
    }

    #[test]
    fn a_set_is_one_slabs_until_it_is_given_back() {
        let extra = Extra::in_source(7, &mut Source::Global).expect("a few bytes");
        let slab = |class, head, shard| SlabId { class, head, shard: Shard::of(shard) };
        let slabs = [slab(1, 100, 7), slab(3, 101, 0), slab(2, MOST_PAGES - 1, 5)];
        let taken = [3, 1, 3].iter().zip(slabs).map(|(count, slab)| extra.take(*count, slab));
        assert!(taken.eq([Some(0), Some(3), Some(4)]));
        let later = [1, 2, 3].map(|head| slab(0, head, 0));
        assert_eq!([1, 3].map(|count| extra.take(count, later[0])), [None; 2], "there are no more than seven");
        assert_eq!([0, 1, 2].map(|bitmap| extra.slab(bitmap)), [slabs[0]; 3]);
        assert_eq!([3, 6].map(|bitmap| extra.slab(bitmap)), slabs[1..]);
        assert_eq!((extra.bitmap(4, 2), extra.bitmap(4, 3)), (Some(6), None));

        extra.give_back(0, 3);
        extra.give_back(4, 3);
        assert_eq!(extra.take(1, later[0]), None, "only of three");
        assert_eq!(later.map(|slab| extra.take(3, slab)), [Some(4), Some(0), None]);
        assert_eq!([4, 6, 0, 2].map(|bitmap| extra.slab(bitmap)), [later[0], later[0], later[1], later[1]]);
        assert_eq!(extra.used(), 7);
    }
}

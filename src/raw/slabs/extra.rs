//! The extra bitmaps of slabs that have several.
//!
//! The first bitmap of a slab is its first page's. Few slabs have more slots than a bitmap, so that extra bitmaps are not a page's: a slab takes a
//! *set* of them when it is opened, and gives it back when it is closed. Sets in use lie side by side, and so do their words and links.
//!
//! Of a bitmap in a set that is in use the *owner* is known: the first page of the slab, its class, and where it is at home. As with the page map, that is certain for who has
//! a slot of the bitmap, and whoever has none looks only after taking one: until then the set may be another slab's. Where the set of a slab is,
//! the page map has.

use crossbeam_utils::CachePadded;

use super::page_map::Entry;
use super::{BITMAPS, Shape};
use crate::commit::Commit;
use crate::metadata::{Source, Unavailable};
use crate::raw::order::BlockIndex;
use crate::raw::shards::Shard;
use crate::raw::slabs::lists::Class;
use crate::raw::stack::{Chain, FreeStack, Links};
use crate::raw::watermark::Watermark;

/// Marks of an owner that are the first page,
const HEAD_BITS: u32 = 27;
/// and then the class, and then the shard.
const CLASS_BITS: u32 = 2;
const _: () = assert!(HEAD_BITS + CLASS_BITS + Shard::BITS <= u32::BITS);

/// Memory is asked for, for so many bitmaps at least.
const LEAST_STEP: u32 = 1024;

/// The slab that has a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExtraOwner {
    pub(super) class: Class,
    /// The first page.
    pub(super) head: u32,
    /// The shard that it is at home in.
    pub(super) its_shard: Shard,
}

impl ExtraOwner {
    fn word(self) -> u32 {
        ((self.its_shard.number() << CLASS_BITS | self.class) as u32) << HEAD_BITS | self.head
    }

    fn of(word: u32) -> Self {
        let class_and_shard = (word >> HEAD_BITS) as usize;
        Self {
            class: class_and_shard & !(usize::MAX << CLASS_BITS),
            head: word & !(u32::MAX << HEAD_BITS),
            its_shard: Shard::of(class_and_shard >> CLASS_BITS),
        }
    }
}

/// The extra bitmaps of a heap, by numbers from 0 on.
#[derive(Debug)]
pub(super) struct Extra {
    /// Of each bitmap of a set the owner; of a set that is free the first one has the next free set here.
    owners: Links,
    /// Free sets, by how many bitmaps they have, from 1.
    free: CachePadded<[FreeStack; BITMAPS as usize - 1]>,
    /// Those that were never in a set.
    watermark: Watermark,
    /// How many there may be.
    most: u32,
    /// How many of them there is memory for.
    commit: Commit,
}

/// Most pages of a heap: what an owner has room for.
pub const MOST_PAGES: u32 = 1 << HEAD_BITS;

/// How many extra bitmaps slabs of these shapes may need for each page, with those that wait in free sets.
///
/// # Panics
///
/// When an owner, or an entry of the page map, has no room for them.
pub const fn most_of_a_page(shapes: &[Shape]) -> u32 {
    let (mut has, mut class) = ([false; BITMAPS as usize], 0);
    while class < shapes.len() {
        let count = shapes[class].extra();
        assert!(count == 0 || class >> CLASS_BITS == 0, "an owner has no room for the class");
        has[count as usize] = true;
        class += 1;
    }
    // Sets of so many bitmaps are made only where none is free: one for each page, at most.
    let (mut sum, mut count) = (0, 1);
    while count < BITMAPS {
        sum += if has[count as usize] { count } else { 0 };
        count += 1;
    }
    assert!(sum as u64 * MOST_PAGES as u64 <= Entry::MOST_EXTRA as u64, "an entry has no room for the set");
    sum
}

impl Extra {
    /// So many bitmaps, none of which is in use: a table of 4 bytes for each. Their words and links were made from the same source.
    pub(super) fn in_source(bitmaps: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self {
            owners: Links::in_two(0, bitmaps, source)?,
            free: CachePadded::default(),
            watermark: Watermark::default(),
            most: bitmaps,
            commit: source.next_commit(bitmaps, LEAST_STEP),
        })
    }

    /// How many bitmaps were ever in use.
    pub(super) fn used(&self) -> u32 {
        self.watermark.next()
    }

    /// Bytes of the tables of these that are not in memory. O(bitmaps).
    #[cfg(not(modelled))]
    pub(super) fn absent(&self) -> usize {
        self.commit.absent(self.used())
    }

    /// A set of `count` bitmaps for a slab, which is the caller's. `None`: there is no memory for it. Lock-free.
    pub(super) fn take(&self, count: u32, owner: ExtraOwner) -> Option<u32> {
        // Who looks for a bitmap of a slab that was closed may look behind the end of the set that its page has now.
        let is_ready = |end: u32| self.commit.reach(end.saturating_add(BITMAPS));
        let set = self.stack(count)?.pop(&self.owners).map(BlockIndex::get);
        let set = set.or_else(|| self.watermark.take(count, self.most, is_ready))?;
        for bitmap in set..set + count {
            self.owners.set(BlockIndex::new(bitmap), owner.word());
        }
        Some(set)
    }

    /// Gives a set back, no slot of which is free or out.
    pub(super) fn give_back(&self, set: u32, count: u32) {
        if let Some(stack) = self.stack(count) {
            // The Release of the push pairs with the Acquire of the pop: whoever owns the set next finds its words as they are.
            stack.push(&self.owners, Chain::new(BlockIndex::new(set)));
        }
    }

    /// How many bitmaps are in free sets. For a model to look at when its threads are done.
    #[cfg(modelled)]
    pub(super) fn free(&self) -> u32 {
        // More than there are would be a circle.
        let sets = |free: &FreeStack| free.nodes(&self.owners).take(self.used() as usize + 1).count() as u32;
        (1..BITMAPS).map(|count| count * self.stack(count).map_or(0, sets)).sum()
    }

    fn stack(&self, count: u32) -> Option<&FreeStack> {
        self.free.get((count as usize).checked_sub(1)?)
    }

    /// Group number `number` of a set, if there may be one.
    pub(super) fn bitmap(&self, set: u32, number: u32) -> Option<u32> {
        Some(set + number).filter(|bitmap| *bitmap < self.most)
    }

    /// The slab that has a bitmap: certain for who has a slot of it.
    pub(super) fn owner(&self, bitmap: u32) -> ExtraOwner {
        ExtraOwner::of(self.owners.after(BlockIndex::new(bitmap)))
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
        let owner = |class, head, its_shard| ExtraOwner { class, head, its_shard: Shard::of(its_shard) };
        let owners = [owner(1, 100, 7), owner(3, 101, 0), owner(2, MOST_PAGES - 1, 5)];
        let taken = [3, 1, 3].iter().zip(owners).map(|(count, owner)| extra.take(*count, owner));
        assert!(taken.eq([Some(0), Some(3), Some(4)]));
        let later = [1, 2, 3].map(|head| owner(0, head, 0));
        assert_eq!([1, 3].map(|count| extra.take(count, later[0])), [None; 2], "there are no more than seven");
        assert_eq!([0, 1, 2].map(|bitmap| extra.owner(bitmap)), [owners[0]; 3]);
        assert_eq!([3, 6].map(|bitmap| extra.owner(bitmap)), owners[1..]);
        assert_eq!((extra.bitmap(4, 2), extra.bitmap(4, 3)), (Some(6), None));

        extra.give_back(0, 3);
        extra.give_back(4, 3);
        assert_eq!(extra.take(1, later[0]), None, "only of three");
        assert_eq!(later.map(|owner| extra.take(3, owner)), [Some(4), Some(0), None]);
        assert_eq!([4, 6, 0, 2].map(|bitmap| extra.owner(bitmap)), [later[0], later[0], later[1], later[1]]);
        assert_eq!(extra.used(), 7);
    }
}

//! The further groups of runs that have several.
//!
//! The first group of a run is its first page's. Few runs have more slots than a group, so that further groups are not a page's: a run takes a
//! *set* of them when it is opened, and gives it back when it is closed. Sets in use lie side by side, and so do their words and links.
//!
//! Of a group in a set that is in use the *owner* is known: the first page of the run, its class, and where it is at home. As with the page map, that is certain for who has
//! a slot of the group, and whoever has none looks only after taking one: until then the set may be another run's. Where the set of a run is,
//! the page map has.

use crossbeam_utils::CachePadded;

use super::page::Entry;
use super::{PLANES, Shape};
use crate::ground::Ground;
use crate::metadata::{Source, Unavailable};
use crate::raw::fresh::Fresh;
use crate::raw::groups::Class;
use crate::raw::lanes::Lane;
use crate::raw::order::BlockIndex;
use crate::raw::stack::{Chain, FreeStack, Links};

/// Bits of an owner that are the first page,
const HEAD_BITS: u32 = 27;
/// and then the class, and then the lane.
const CLASS_BITS: u32 = 2;
const _: () = assert!(HEAD_BITS + CLASS_BITS + Lane::BITS <= u32::BITS);

/// Memory is asked for, for so many groups at least.
const LEAST_STEP: u32 = 1024;

/// The run that has a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) class: Class,
    /// The first page.
    pub(super) head: u32,
    /// The lane that it is at home in.
    pub(super) home: Lane,
}

impl Owner {
    fn word(self) -> u32 {
        ((self.home.number() << CLASS_BITS | self.class) as u32) << HEAD_BITS | self.head
    }

    fn of(word: u32) -> Self {
        let class_and_lane = (word >> HEAD_BITS) as usize;
        Self {
            class: class_and_lane & !(usize::MAX << CLASS_BITS),
            head: word & !(u32::MAX << HEAD_BITS),
            home: Lane::of(class_and_lane >> CLASS_BITS),
        }
    }
}

/// The further groups of a heap, by numbers from 0 on.
#[derive(Debug)]
pub(super) struct Further {
    /// Of each group of a set the owner; of a set that is free the first one has the next free set here.
    owners: Links,
    /// Free sets, by how many groups they have, from 1.
    free: CachePadded<[FreeStack; PLANES as usize - 1]>,
    /// Those that were never in a set.
    fresh: Fresh,
    /// How many there may be.
    most: u32,
    /// How many of them there is memory for.
    ground: Ground,
}

/// Most pages of a heap: what an owner has room for.
pub const MOST_PAGES: u32 = 1 << HEAD_BITS;

/// How many further groups runs of these shapes may need for each page, with those that wait in free sets.
///
/// # Panics
///
/// When an owner, or an entry of the page map, has no room for them.
pub const fn most_of_a_page(shapes: &[Shape]) -> u32 {
    let (mut has, mut class) = ([false; PLANES as usize], 0);
    while class < shapes.len() {
        let count = shapes[class].further();
        assert!(count == 0 || class >> CLASS_BITS == 0, "an owner has no room for the class");
        has[count as usize] = true;
        class += 1;
    }
    // Sets of so many groups are made only where none is free: one for each page, at most.
    let (mut sum, mut count) = (0, 1);
    while count < PLANES {
        sum += if has[count as usize] { count } else { 0 };
        count += 1;
    }
    assert!(sum as u64 * MOST_PAGES as u64 <= Entry::MOST_FURTHER as u64, "an entry has no room for the set");
    sum
}

impl Further {
    /// So many groups, none of which is in use: a table of 4 bytes for each. Their words and links were made from the same source.
    pub(super) fn in_source(groups: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self {
            owners: Links::in_two(0, groups, source)?,
            free: CachePadded::default(),
            fresh: Fresh::default(),
            most: groups,
            ground: source.further_ground(groups, LEAST_STEP),
        })
    }

    /// How many groups were ever in use.
    pub(super) fn used(&self) -> u32 {
        self.fresh.next()
    }

    /// Bytes of the tables of these that are not in memory. O(groups).
    #[cfg(not(all(loom, feature = "loom")))]
    pub(super) fn absent(&self) -> usize {
        self.ground.absent(self.used())
    }

    /// A set of `count` groups for a run, which is the caller's. `None`: there is no memory for it. Lock-free.
    pub(super) fn take(&self, count: u32, owner: Owner) -> Option<u32> {
        // Who looks for a group of a run that was closed may look behind the end of the set that its page has now.
        let is_ready = |end: u32| self.ground.reach(end.saturating_add(PLANES));
        let set = self.stack(count)?.pop(&self.owners).map(BlockIndex::get);
        let set = set.or_else(|| self.fresh.take(count, self.most, is_ready))?;
        for group in set..set + count {
            self.owners.set(BlockIndex::new(group), owner.word());
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

    /// How many groups are in free sets. For a model to look at when its threads are done.
    #[cfg(all(loom, feature = "loom"))]
    pub(super) fn free(&self) -> u32 {
        // More than there are would be a circle.
        let sets = |free: &FreeStack| free.nodes(&self.owners).take(self.used() as usize + 1).count() as u32;
        (1..PLANES).map(|count| count * self.stack(count).map_or(0, sets)).sum()
    }

    fn stack(&self, count: u32) -> Option<&FreeStack> {
        self.free.get((count as usize).checked_sub(1)?)
    }

    /// Group number `number` of a set, if there may be one.
    pub(super) fn group(&self, set: u32, number: u32) -> Option<u32> {
        Some(set + number).filter(|group| *group < self.most)
    }

    /// The run that has a group: certain for who has a slot of it.
    pub(super) fn owner(&self, group: u32) -> Owner {
        Owner::of(self.owners.after(BlockIndex::new(group)))
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
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
    fn a_set_is_one_runs_until_it_is_given_back() {
        let further = Further::in_source(7, &mut Source::Global).expect("a few bytes");
        let owner = |class, head, home| Owner { class, head, home: Lane::of(home) };
        let owners = [owner(1, 100, 7), owner(3, 101, 0), owner(2, MOST_PAGES - 1, 5)];
        let taken = [3, 1, 3].iter().zip(owners).map(|(count, owner)| further.take(*count, owner));
        assert!(taken.eq([Some(0), Some(3), Some(4)]));
        let later = [1, 2, 3].map(|head| owner(0, head, 0));
        assert_eq!([1, 3].map(|count| further.take(count, later[0])), [None; 2], "there are no more than seven");
        assert_eq!([0, 1, 2].map(|group| further.owner(group)), [owners[0]; 3]);
        assert_eq!([3, 6].map(|group| further.owner(group)), owners[1..]);
        assert_eq!((further.group(4, 2), further.group(4, 3)), (Some(6), None));

        further.give_back(0, 3);
        further.give_back(4, 3);
        assert_eq!(further.take(1, later[0]), None, "only of three");
        assert_eq!(later.map(|owner| further.take(3, owner)), [Some(4), Some(0), None]);
        assert_eq!([4, 6, 0, 2].map(|group| further.owner(group)), [later[0], later[0], later[1], later[1]]);
        assert_eq!(further.used(), 7);
    }
}

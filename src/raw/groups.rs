//! Groups of slots: what small blocks are handed out from, many at a time.
//!
//! A *run* is a span of units that is cut into equal slots; its slots are in one group or several, of at most 63. For each class of
//! sizes there is a stack, in each lane, of the groups that may have a free slot: a group is put into the lane that its run is at home in, whoever
//! takes slots of it or gives some. As with blocks, the words of the groups are the truth, and
//! the stacks are hints: a group that was closed and opened again with another class stands in the stack of the old one until
//! somebody comes upon it there.

use super::group::{Given, GroupWord, Slots, Taken};
use super::lanes::{Lane, Lanes};
use super::order::BlockIndex;
use super::stack::{Chain, Links};
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::AtomicU64;

/// Stale entries that one look into a stack drops at most.
const STALE_LIMIT: usize = 64;

/// A class of sizes, by number.
pub type Class = usize;

/// What came of slots that were given, and of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What came of the slots.
    pub given: Given,
    /// All slots of the group were free then.
    pub full: bool,
    /// And the caller has taken them all.
    pub closed: bool,
}

/// At home in which lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The one of who asks.
    Own,
    /// All others.
    Others,
}

/// The groups of a heap, with a stack for each of `CLASSES` classes in each lane.
#[derive(Debug)]
pub struct Groups<const CLASSES: usize> {
    words: Table<AtomicU64>,
    links: Links,
    partial: Lanes<CLASSES>,
}

impl<const CLASSES: usize> Groups<CLASSES> {
    /// So many groups, one for each unit, and so many further ones, none of which has a free slot: tables of 12 bytes a group.
    pub(crate) fn in_source(groups: u32, further: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self {
            words: source.table_in_two(groups as usize, further as usize)?,
            links: Links::in_two(groups, further, source)?,
            partial: Lanes::for_units(groups + further),
        })
    }

    /// The same with so many lanes. For models.
    #[cfg(all(loom, feature = "loom"))]
    pub(crate) fn with_lanes(self, lanes: usize) -> Self {
        Self { partial: Lanes::of(lanes), ..self }
    }

    /// The word of a group.
    pub fn word(&self, group: BlockIndex) -> GroupWord<'_> {
        GroupWord(&self.words[group.slot()])
    }

    /// Makes slots free that are the caller's, in a group of `class`.
    pub fn give(&self, class: Class, group: BlockIndex, slots: Slots, home: Lane) -> Given {
        let given = self.word(group).give(slots);
        if given.node_in_hand {
            self.push(class, group, home);
        }
        given
    }

    fn push(&self, class: Class, group: BlockIndex, home: Lane) {
        self.partial.own(home, class).push(&self.links, Chain::new(group));
    }

    /// The same; and if then `all` slots of the group are free and `close` says so, takes them all: then the caller can use their
    /// memory for something else.
    pub fn give_or_close(
        &self,
        class: Class,
        group: BlockIndex,
        slots: Slots,
        all: Slots,
        home: Lane,
        close: impl FnOnce() -> bool,
    ) -> Outcome {
        let word = self.word(group);
        let given = word.give(slots);
        let full = given.free == all;
        let closed = full && close() && word.take_whole(all, given.node_in_hand);
        if given.node_in_hand && !closed {
            self.push(class, group, home);
        }
        Outcome { given, full, closed }
    }

    /// Takes all slots of a group, if all are free. Its node stays where it is.
    pub fn close(&self, group: BlockIndex, all: Slots) -> bool {
        self.word(group).free() == all && self.word(group).take_whole(all, false)
    }

    /// Takes up to `most` slots of one group of `class`, for a thread of a lane. `run_of` tells of which class a group is and where it
    /// is at home, which stays as it is while somebody has a slot of it. The group may be of another class, which is returned too;
    /// then its node is in the right stack now. `None` says only that the stacks had none. Lock-free.
    pub fn take(
        &self,
        class: Class,
        most: u32,
        lane: Lane,
        whose: Whose,
        run_of: impl Fn(BlockIndex) -> Option<(Class, Lane)>,
    ) -> Option<(Class, BlockIndex, Taken)> {
        let (skipped, looked_into) = if whose == Whose::Own { (0, 1) } else { (1, usize::MAX) };
        for stack in self.partial.all(lane, class).skip(skipped).take(looked_into) {
            for group in core::iter::from_fn(|| stack.pop(&self.links)).take(STALE_LIMIT) {
                let taken = self.word(group).take(most);
                if taken.slots.is_empty() {
                    continue;
                }
                // Not before: until a slot is taken, the group may be closed, and opened with another class.
                let (now, home) = run_of(group).unwrap_or((class, lane));
                if taken.node_in_hand() {
                    self.push(now, group, home);
                }
                return Some((now, group, taken));
            }
        }
        None
    }

    /// A number that grows with every push onto a stack of groups.
    #[cfg(not(all(loom, feature = "loom")))]
    pub fn version(&self) -> u64 {
        let pushes = self.partial.through(CLASSES - 1).map(|stack| stack.pushes(&self.links));
        pushes.fold(0, u64::wrapping_add)
    }

    /// Are there several lanes?
    pub fn are_in_lanes(&self) -> bool {
        self.partial.others(Lane::FIRST, 0).next().is_some()
    }

    /// How many groups there are. For models.
    #[cfg(all(loom, feature = "loom"))]
    pub fn count(&self) -> usize {
        self.words.len()
    }

    /// The nodes in the stacks of a class, from the tops. For a model to look at when its threads are done.
    #[cfg(all(loom, feature = "loom"))]
    pub fn nodes(&self, class: Class) -> impl Iterator<Item = BlockIndex> {
        self.partial.all(Lane::FIRST, class).flat_map(|stack| stack.nodes(&self.links))
    }
}

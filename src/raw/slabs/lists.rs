//! Stacks of the slot bitmaps that may have a free slot: one for each class in each shard.
//!
//! A bitmap goes into the shard of its slab, whichever thread takes or gives slots. The words of the bitmaps are the
//! truth, the stacks are hints: a bitmap that was closed and opened with another class stays in the old stack until a
//! thread pops it there.

use super::bitmap::{BitmapWord, Given, Slots, Taken};
use crate::metadata::{Source, Table, Unavailable};
use crate::raw::order::BlockIndex;
use crate::raw::shards::{Shard, Shards};
use crate::raw::stack::{Chain, Links};
use crate::sync::AtomicU64;

/// Most stale entries that one look into a stack drops.
const STALE_LIMIT: usize = 64;

/// A class of sizes, by number.
pub type Class = usize;

/// Result of giving slots that may close the bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The slots.
    pub given: Given,
    /// All slots of the bitmap were free then.
    pub full: bool,
    /// The caller has taken all of them.
    pub closed: bool,
}

/// Which shards to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The caller's.
    Own,
    /// All others.
    Others,
}

/// The bitmaps of a heap, with a stack for each of `CLASSES` classes in each shard.
#[derive(Debug)]
pub struct BitmapLists<const CLASSES: usize> {
    words: Table<AtomicU64>,
    links: Links,
    partial: Shards<CLASSES>,
}

impl<const CLASSES: usize> BitmapLists<CLASSES> {
    /// `bitmaps` bitmaps, one for each unit, and `extra` extra ones, without free slots. Their tables have 12 bytes a
    /// bitmap.
    pub(crate) fn in_source(bitmaps: u32, extra: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self {
            words: source.table_in_two(bitmaps as usize, extra as usize)?,
            links: Links::in_two(bitmaps, extra, source)?,
            partial: Shards::for_units(bitmaps + extra),
        })
    }

    /// The same with `shards` shards. For models.
    #[cfg(modelled)]
    pub(crate) fn with_shards(self, shards: usize) -> Self {
        Self { partial: Shards::of(shards), ..self }
    }

    /// The word of a bitmap.
    pub fn word(&self, bitmap: BlockIndex) -> BitmapWord<'_> {
        BitmapWord(&self.words[bitmap.place()])
    }

    /// Frees slots of the caller, in a bitmap of a slab of this class and shard.
    pub fn give(&self, class: Class, bitmap: BlockIndex, slots: Slots, shard: Shard) -> Given {
        let given = self.word(bitmap).give(slots);
        if given.owns_node {
            self.push(class, bitmap, shard);
        }
        given
    }

    fn push(&self, class: Class, bitmap: BlockIndex, shard: Shard) {
        self.partial.own(shard, class).push(&self.links, Chain::new(bitmap));
    }

    /// The same; if then `all` slots of the bitmap are free and `close` agrees, takes all of them: their memory is the
    /// caller's.
    pub fn give_or_close(
        &self,
        class: Class,
        bitmap: BlockIndex,
        slots: Slots,
        all: Slots,
        shard: Shard,
        close: impl FnOnce() -> bool,
    ) -> Outcome {
        let word = self.word(bitmap);
        let given = word.give(slots);
        let full = given.free == all;
        let closed = full && close() && word.take_whole(all, given.owns_node);
        if given.owns_node && !closed {
            self.push(class, bitmap, shard);
        }
        Outcome { given, full, closed }
    }

    /// Takes all slots of a bitmap, if all are free. Its node stays where it is.
    pub fn close(&self, bitmap: BlockIndex, all: Slots) -> bool {
        self.word(bitmap).free() == all && self.word(bitmap).take_whole(all, false)
    }

    /// Takes up to `most` slots of one bitmap from a stack of `class`, for a thread of `shard`.
    ///
    /// `slab_of` tells the class and the shard of a bitmap's slab, which stay while a thread has a slot of it. The
    /// bitmap may be of another class, which is returned; its node is in the right stack then. `None`: the stacks had
    /// no slot. Lock-free.
    pub fn take(
        &self,
        class: Class,
        most: u32,
        shard: Shard,
        whose: Whose,
        slab_of: impl Fn(BlockIndex) -> Option<(Class, Shard)>,
    ) -> Option<(Class, BlockIndex, Taken)> {
        let (skipped, looked_into) = if whose == Whose::Own { (0, 1) } else { (1, usize::MAX) };
        for stack in self.partial.all(shard, class).skip(skipped).take(looked_into) {
            for bitmap in core::iter::from_fn(|| stack.pop(&self.links)).take(STALE_LIMIT) {
                let taken = self.word(bitmap).take(most);
                if taken.slots.is_empty() {
                    continue;
                }
                // Only now: until a slot is taken, the bitmap may be closed, and opened with another class.
                let (now, slab_shard) = slab_of(bitmap).unwrap_or((class, shard));
                if taken.owns_node() {
                    self.push(now, bitmap, slab_shard);
                }
                return Some((now, bitmap, taken));
            }
        }
        None
    }

    /// A number that grows with every push onto a stack of bitmaps.
    #[cfg(not(modelled))]
    pub fn version(&self) -> u64 {
        let pushes = self.partial.through(CLASSES - 1).map(|stack| stack.pushes(&self.links));
        pushes.fold(0, u64::wrapping_add)
    }

    /// Are there several shards?
    pub fn are_in_shards(&self) -> bool {
        self.partial.others(Shard::FIRST, 0).next().is_some()
    }

    /// How many bitmaps there are. For models.
    #[cfg(modelled)]
    pub fn count(&self) -> usize {
        self.words.len()
    }

    /// The nodes in the stacks of a class, from the tops, for a model whose threads are done.
    #[cfg(modelled)]
    pub fn nodes(&self, class: Class) -> impl Iterator<Item = BlockIndex> {
        self.partial.all(Shard::FIRST, class).flat_map(|stack| stack.nodes(&self.links))
    }
}

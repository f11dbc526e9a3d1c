//! Free stacks: Treiber's stack (Systems programming: coping with parallelism, 1986) of unit indices with a tagged
//! head, its links in a side table.
//!
//! The stacks are hints: what a popped index is worth, its state word tells. So an error here could cost time or hide
//! a block from all but scans; it could not hand out memory twice.
//!
//! | bits of the head | meaning |
//! |---|---|
//! | 0 to b−1 | index of the top, all ones for none; b is as many bits as the number of units has |
//! | b to 63 | tag: how many times something was pushed |
//!
//! The tag makes a pop fail whose top was popped and pushed again since (ABA). At 3 ns a push, the 39 bits that 2^24
//! units leave wrap in half an hour, the 32 bits of the largest heap in 12 s, within which a thread would have to
//! stand still between the two instructions of one pop and go on at the very tag.

use crossbeam_utils::CachePadded;

use super::order::{BlockIndex, Geometry};
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Most bits of a tag: all that the index leaves.
#[cfg(not(all(loom, feature = "loom")))]
const TAG_BITS: u32 = 64;
/// Under loom few, so that a model says how many are needed.
#[cfg(all(loom, feature = "loom"))]
const TAG_BITS: u32 = 4;

/// The links of a heap: for each unit, the next one in the stack that its node stands in.
#[derive(Debug)]
pub struct Links(Table<AtomicU32>);

impl Links {
    /// The links of a heap in which nothing was published yet. For models.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    #[cfg(all(loom, feature = "loom"))]
    pub fn new(geometry: &Geometry) -> Result<Self, Unavailable> {
        Self::of(geometry.units(), &mut Source::Global)
    }

    /// The links of so many nodes.
    pub(crate) fn of(nodes: u32, source: &mut Source) -> Result<Self, Unavailable> {
        source.table(nodes as usize).map(Self)
    }

    /// What follows `block`, as the index bits of a head. Garbage, though a valid index, if the node was moved.
    #[inline]
    pub(super) fn after(&self, block: BlockIndex) -> u32 {
        // Relaxed: the Acquire of the head made the links visible that were written before it; one that was written
        // since may be read instead, but then the head has changed, and the compare-exchange fails.
        self.0[block.slot()].load(Ordering::Relaxed)
    }

    /// The caller has the node of `block` in hand.
    #[inline]
    fn set(&self, block: BlockIndex, next: u32) {
        // Relaxed: published by the Release of the push.
        self.0[block.slot()].store(next, Ordering::Relaxed);
    }
}

/// Nodes in one thread's hand, linked in order, to be pushed at once.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    first: BlockIndex,
    last: BlockIndex,
}

impl Chain {
    /// The chain of one node, which is in the caller's hand.
    #[inline]
    pub const fn new(block: BlockIndex) -> Self {
        Self { first: block, last: block }
    }

    /// Adds a node, which is in the caller's hand, at the end.
    #[inline]
    pub fn append(&mut self, links: &Links, block: BlockIndex) {
        links.set(self.last, block.get());
        self.last = block;
    }

    /// Adds a node, which is in the caller's hand, at the beginning.
    #[inline]
    pub fn prepend(&mut self, links: &Links, block: BlockIndex) {
        links.set(block, self.first.get());
        self.first = block;
    }
}

/// One free stack.
#[derive(Debug)]
pub struct FreeStack(CachePadded<Head>);

#[derive(Debug)]
struct Head {
    word: AtomicU64,
    /// All ones where a head has its index. It shares the cache line that every operation needs anyway.
    index_mask: u64,
    tag_mask: u64,
}

impl FreeStack {
    /// An empty stack.
    pub fn new(geometry: &Geometry) -> Self {
        Self::of(geometry.units())
    }

    /// An empty stack for any of so many nodes.
    pub(crate) fn of(nodes: u32) -> Self {
        let index_bits = u32::BITS - nodes.leading_zeros();
        let index_mask = (1 << index_bits) - 1;
        let tag_bits = if TAG_BITS < 64 - index_bits { TAG_BITS } else { 64 - index_bits };
        let tag_mask = u64::MAX.checked_shr(64 - tag_bits).unwrap_or(0) << index_bits;
        Self(CachePadded::new(Head { word: AtomicU64::new(index_mask), index_mask, tag_mask }))
    }

    /// How many pushes there were.
    #[inline]
    pub fn pushes(&self) -> u64 {
        // Acquire: pairs with the Release in `push`; whoever counts a push sees the state that was published
        // before it.
        (self.0.word.load(Ordering::Acquire) & self.0.tag_mask) >> self.0.index_mask.trailing_ones()
    }

    /// Pushes a chain of nodes that are in the caller's hand. Lock-free.
    #[inline]
    pub fn push(&self, links: &Links, chain: Chain) {
        let Head { word, index_mask, tag_mask } = &*self.0;
        // Relaxed: nothing is read through the old head.
        let mut head = word.load(Ordering::Relaxed);
        loop {
            links.set(chain.last, (head & index_mask) as u32);
            let new = head.wrapping_add(index_mask + 1) & tag_mask | u64::from(chain.first.get());
            // Release: pairs with the Acquire loads of the head; makes the links of the chain visible, and to
            // `pushes` the states. Relaxed on failure: as above.
            match word.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Pops the top: its node is in the caller's hand then. Lock-free.
    #[inline]
    pub fn pop(&self, links: &Links) -> Option<BlockIndex> {
        self.swing(|top| links.after(top))
    }

    /// Pops up to `out.len()` nodes with one compare-exchange, and returns how many. Lock-free; the walk is bounded
    /// by `out`, whatever stale links it may meet.
    pub fn pop_batch(&self, links: &Links, out: &mut [BlockIndex]) -> usize {
        if out.is_empty() {
            return 0;
        }
        let end = self.end();
        let mut popped = 0;
        let swung = self.swing(|top| {
            let mut next = top.get();
            popped = 0;
            for place in out.iter_mut() {
                *place = BlockIndex::new(next);
                popped += 1;
                next = links.after(*place);
                if next == end {
                    break;
                }
            }
            next
        });
        if swung.is_some() { popped } else { 0 }
    }

    /// Empties the stack with one compare-exchange, and returns its nodes, all in the caller's hand then, from the
    /// top. Lock-free.
    pub fn detach<'a>(&self, links: &'a Links) -> impl Iterator<Item = BlockIndex> + use<'a> {
        let (end, mut next) = (self.end(), self.detach_top());
        core::iter::from_fn(move || {
            let block = next?;
            // The node's link is read before the caller of the iterator may write it.
            next = Some(links.after(block)).filter(|link| *link != end).map(BlockIndex::new);
            Some(block)
        })
    }

    /// The same; returns the top, from which the links lead to the others.
    pub fn detach_top(&self) -> Option<BlockIndex> {
        self.swing(|_| self.end())
    }

    /// Pushes a chain of nodes that are in the caller's hand, and takes out all that was there before, with one compare-exchange, so
    /// that others never find the stack empty. Returns the old top. Lock-free.
    pub fn replace(&self, links: &Links, chain: Chain) -> Option<BlockIndex> {
        let Head { word, index_mask, tag_mask } = &*self.0;
        links.set(chain.last, self.end());
        // Acquire: as in `swing`.
        let mut old = word.load(Ordering::Acquire);
        loop {
            let new = old.wrapping_add(index_mask + 1) & tag_mask | u64::from(chain.first.get());
            // Release: as in `push`. Acquire on failure: as in `swing`; as there, what was acquired is the value that was
            // replaced.
            match word.compare_exchange_weak(old, new, Ordering::Release, Ordering::Acquire) {
                Ok(_) => {
                    return Some(old & index_mask)
                        .filter(|top| top != index_mask)
                        .map(|top| BlockIndex::new(top as u32));
                }
                Err(now) => old = now,
            }
        }
    }

    /// What stands for a link that leads nowhere, in all stacks of a heap.
    #[inline]
    pub fn end(&self) -> u32 {
        self.0.index_mask as u32
    }

    /// Has it nothing, as far as one can tell?
    pub fn is_empty(&self) -> bool {
        // Relaxed: a hint.
        self.0.word.load(Ordering::Relaxed) as u32 & self.end() == self.end()
    }

    /// The nodes in the stack, from the top. For a model to look at when its threads are done.
    #[cfg(all(loom, feature = "loom"))]
    pub fn nodes<'a>(&self, links: &'a Links) -> impl Iterator<Item = BlockIndex> + use<'a> {
        let end = self.end();
        let node = move |link: u32| (link != end).then(|| BlockIndex::new(link));
        // Acquire: as in `swing`.
        let top = node(self.0.word.load(Ordering::Acquire) as u32 & end);
        core::iter::successors(top, move |block| node(links.after(*block)))
    }

    /// Swings the head from the top to what `beyond` names, and returns the old top.
    #[inline]
    fn swing(&self, mut beyond: impl FnMut(BlockIndex) -> u32) -> Option<BlockIndex> {
        let Head { word, index_mask, tag_mask } = &*self.0;
        // Acquire: pairs with the Release in `push`; makes the links of all that was pushed visible, because each
        // change of the head is a read-modify-write and goes on the release sequences of the ones before it.
        let mut head = word.load(Ordering::Acquire);
        loop {
            let top = head & index_mask;
            if top == *index_mask {
                return None;
            }
            let top = BlockIndex::new(top as u32);
            let new = head & tag_mask | u64::from(beyond(top));
            // Acquire on failure: as above. Relaxed on success: the tag says that `head` is still the very value
            // that was acquired; nothing is published, the popped nodes go on to others by a push or by `unlist`,
            // both Release.
            match word.compare_exchange_weak(head, new, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return Some(top),
                Err(now) => head = now,
            }
        }
    }
}

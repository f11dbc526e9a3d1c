//! Free stacks: Treiber's stack (Systems programming: coping with parallelism, 1986) of unit indices with a tagged
//! head, its links in a side table.
//!
//! The stacks are hints: what a popped index is worth, its state word tells. So an error here could cost time or hide
//! a block from all but scans; it could not hand out memory twice.
//!
//! | bits of the head | meaning |
//! |---|---|
//! | 0 to b−1 | inverse of the index of the top, zero for none; b is as many bits as the number of units has |
//! | b to 63 | tag: how many times something was pushed |
//!
//! The tag makes a pop fail whose top was popped and pushed again since (ABA). At 3 ns a push, the 39 bits that 2^24
//! units leave wrap in half an hour, the 32 bits of the largest heap in 12 s, within which a thread would have to stand
//! still between the two instructions of one pop and go on at the very tag. If it does, the pop succeeds with a link of
//! long ago: the stack loses what lies between, or leads to what is not free. Where states or words tell what an index
//! is worth, that costs time, as above. In the stacks of an allocator's own pieces and of further groups nothing else
//! tells: two would have one piece. There a push is a magazine of up to 64 blocks, or a run that was closed, so that 32
//! bits of tag last for minutes at least.

use super::order::BlockIndex;
#[cfg(modelled)]
use super::order::Geometry;
#[cfg(all(feature = "allocator", not(modelled)))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU32, AtomicU64, Ordering, model_or};

/// Most bits of a tag: all that the index leaves.
/// Under loom few, so that a model says how many are needed.
const TAG_BITS: u32 = model_or(4, 64);

/// The links of a heap: for each unit, the next one in the stack that its node stands in.
#[derive(Debug)]
pub struct Links {
    next: Table<AtomicU32>,
    /// All ones where a head has its index.
    index_mask: u64,
}

impl Links {
    /// The links of a heap in which nothing was published yet. For models.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    #[cfg(modelled)]
    pub fn new(geometry: &Geometry) -> Result<Self, Unavailable> {
        Self::of(geometry.units(), &mut Source::Global)
    }

    /// The links of so many nodes.
    pub(crate) fn of(nodes: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self { next: source.table(nodes as usize)?, index_mask: Self::index_mask(nodes) })
    }

    /// The links of so many nodes, and of further ones.
    #[cfg(any(feature = "allocator", modelled))]
    pub(super) fn in_two(nodes: u32, further: u32, source: &mut Source) -> Result<Self, Unavailable> {
        let index_mask = Self::index_mask(nodes + further);
        Ok(Self { next: source.table_in_two(nodes as usize, further as usize)?, index_mask })
    }

    const fn index_mask(nodes: u32) -> u64 {
        (1 << (u32::BITS - nodes.leading_zeros())) - 1
    }

    /// Bytes that those of so many nodes take in an area.
    #[cfg(all(feature = "allocator", not(modelled)))]
    pub(crate) const fn room(nodes: usize) -> usize {
        room::<AtomicU32>(nodes)
    }

    /// What stands for a link that leads nowhere.
    #[inline]
    pub fn end(&self) -> u32 {
        self.index_mask as u32
    }

    /// All ones where a head has its tag.
    #[inline]
    fn tag_mask(&self) -> u64 {
        match TAG_BITS {
            u64::BITS => !self.index_mask,
            bits => ((1 << bits) - 1) * (self.index_mask + 1),
        }
    }

    /// The top that a head names, as a link.
    #[inline]
    fn top(&self, head: u64) -> u32 {
        (head & self.index_mask ^ self.index_mask) as u32
    }

    /// A head with this top, and the tag of another one, or the one after that.
    #[inline]
    fn head(&self, before: u64, is_push: bool, top: u32) -> u64 {
        let tag = if is_push { before.wrapping_add(self.index_mask + 1) } else { before };
        tag & self.tag_mask() | u64::from(top) ^ self.index_mask
    }

    /// What follows `block`, as the index bits of a head. Garbage, though a valid index, if the node was moved.
    #[inline]
    pub(super) fn after(&self, block: BlockIndex) -> u32 {
        // Relaxed: the Acquire of the head made the links visible that were written before it; one that was written
        // since may be read instead, but then the head has changed, and the compare-exchange fails.
        self.next[block.slot()].load(Ordering::Relaxed)
    }

    /// The caller has the node of `block` in hand, and may so keep something else in its link.
    #[inline]
    pub(super) fn set(&self, block: BlockIndex, next: u32) {
        // Relaxed: published by the Release of the push.
        self.next[block.slot()].store(next, Ordering::Relaxed);
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

/// Nodes that were detached from a stack, all in the caller's hand, linked as they stood there; from the top.
#[must_use = "nodes that are dropped are lost"]
#[derive(Debug)]
pub struct Detached<'a> {
    links: &'a Links,
    next: Option<BlockIndex>,
}

impl Detached<'_> {
    /// The first of them, from which the links lead to the others.
    pub fn top(&self) -> Option<BlockIndex> {
        self.next
    }
}

impl Iterator for Detached<'_> {
    type Item = BlockIndex;

    fn next(&mut self) -> Option<BlockIndex> {
        let block = self.next?;
        // The node's link is read before the caller may write it.
        self.next = Some(self.links.after(block)).filter(|link| *link != self.links.end()).map(BlockIndex::new);
        Some(block)
    }
}

/// One free stack, empty at first. Its nodes are those of the links that each call is given, always the same ones.
#[derive(Debug, Default)]
pub struct FreeStack(AtomicU64);

impl FreeStack {
    /// How many pushes there were.
    #[inline]
    pub fn pushes(&self, links: &Links) -> u64 {
        // Acquire: pairs with the Release in `push`; whoever counts a push sees the state that was published
        // before it.
        (self.0.load(Ordering::Acquire) & links.tag_mask()) >> links.index_mask.trailing_ones()
    }

    /// Pushes a chain of nodes that are in the caller's hand. Lock-free.
    #[inline]
    pub fn push(&self, links: &Links, chain: Chain) {
        // Relaxed: nothing is read through the old head.
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            links.set(chain.last, links.top(head));
            let new = links.head(head, true, chain.first.get());
            // Release: pairs with the Acquire loads of the head; makes the links of the chain visible, and to
            // `pushes` the states. Relaxed on failure: as above.
            match self.0.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Pops the top: its node is in the caller's hand then. Lock-free.
    #[inline]
    pub fn pop(&self, links: &Links) -> Option<BlockIndex> {
        self.swing(links, |top| links.after(top))
    }

    /// Pops up to `out.len()` nodes with one compare-exchange, and returns how many. Lock-free; the walk is bounded
    /// by `out`, whatever stale links it may meet.
    pub fn pop_batch(&self, links: &Links, out: &mut [BlockIndex]) -> usize {
        if out.is_empty() {
            return 0;
        }
        let end = links.end();
        let mut popped = 0;
        let swung = self.swing(links, |top| {
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
    pub fn detach<'a>(&self, links: &'a Links) -> Detached<'a> {
        Detached { links, next: self.swing(links, |_| links.end()) }
    }

    /// Pushes a chain of nodes that are in the caller's hand, and takes out all that was there before, with one
    /// compare-exchange, so that others never find the stack empty. Returns those. Lock-free.
    pub fn replace<'a>(&self, links: &'a Links, chain: Chain) -> Detached<'a> {
        links.set(chain.last, links.end());
        // Acquire: as in `swing`.
        let mut old = self.0.load(Ordering::Acquire);
        loop {
            let new = links.head(old, true, chain.first.get());
            // Release: as in `push`. Acquire on failure: as in `swing`; as there, what was acquired is the value that
            // was replaced.
            match self.0.compare_exchange_weak(old, new, Ordering::Release, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        let top = Some(links.top(old)).filter(|top| *top != links.end());
        Detached { links, next: top.map(BlockIndex::new) }
    }

    /// Has it nothing, as far as one can tell?
    pub fn is_empty(&self, links: &Links) -> bool {
        // Relaxed: a hint.
        links.top(self.0.load(Ordering::Relaxed)) == links.end()
    }

    /// The nodes in the stack, from the top. For a model to look at when its threads are done.
    #[cfg(modelled)]
    pub fn nodes<'a>(&self, links: &'a Links) -> impl Iterator<Item = BlockIndex> + use<'a> {
        let end = links.end();
        let node = move |link: u32| (link != end).then(|| BlockIndex::new(link));
        // Acquire: as in `swing`.
        let top = node(links.top(self.0.load(Ordering::Acquire)));
        core::iter::successors(top, move |block| node(links.after(*block)))
    }

    /// Swings the head from the top to what `beyond` names, and returns the old top.
    #[inline]
    fn swing(&self, links: &Links, mut beyond: impl FnMut(BlockIndex) -> u32) -> Option<BlockIndex> {
        // Acquire: pairs with the Release in `push`; makes the links of all that was pushed visible, because each
        // change of the head is a read-modify-write and goes on the release sequences of the ones before it.
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let top = links.top(head);
            if top == links.end() {
                return None;
            }
            let top = BlockIndex::new(top);
            let new = links.head(head, false, beyond(top));
            // Acquire on failure: as above. Relaxed on success: the tag says that `head` is still the very value
            // that was acquired; nothing is published, the popped nodes go on to others by a push or by `unlist`,
            // both Release.
            match self.0.compare_exchange_weak(head, new, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return Some(top),
                Err(now) => head = now,
            }
        }
    }
}

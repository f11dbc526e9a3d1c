//! Free stacks: Treiber's stack (Systems programming: coping with parallelism, 1986) of unit indices, with a tagged
//! head and the links in a side table.
//!
//! The stacks are hints: the state word tells what a popped index is worth. So an error here could cost time, or hide a
//! block from all but scans. It could not hand out memory twice.
//!
//! | bits of the head | meaning |
//! |---|---|
//! | 0 to b−1 | inverse of the index of the top, zero for none; b: the bits of the number of units |
//! | b to 63 | tag: the number of pushes |
//!
//! The tag makes a pop fail whose top was popped and pushed again since (ABA). A tag wraps, and then a pop may succeed
//! with a link of long ago, if its thread stood still between the two instructions of the pop for just that long. Then
//! the stack loses the nodes in between, or leads to blocks that are not free.
//!
//! | tag bits | heap | at 3 ns a push, the tag wraps in |
//! |--:|---|---|
//! | 39 | 2^24 units | half an hour |
//! | 32 | the largest | 12 s |
//!
//! Where states or bitmap words tell what an index is worth, that costs time, as above. In the stacks of an allocator's
//! blocks of metadata and of extra bitmaps nothing else tells: two threads would have one block. There a push is a
//! magazine of up to 64 blocks, or a slab that was closed, so that 32 bits last for minutes at least.

use super::order::BlockIndex;
#[cfg(modelled)]
use super::order::Geometry;
#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU32, AtomicU64, Ordering, model_or};

/// Most bits of a tag: all that the index leaves.
/// Under loom few, so that a model says how many are needed.
const TAG_BITS: u32 = model_or(4, 64);

/// The links of a heap: for each unit, the next one in the stack in which its node stands.
#[derive(Debug)]
pub struct Links {
    next: Table<AtomicU32>,
    /// Ones where a head has its index.
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

    /// The links of `nodes` nodes.
    pub(crate) fn of(nodes: u32, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self { next: source.table(nodes as usize)?, index_mask: Self::index_mask(nodes) })
    }

    /// The links of `nodes` nodes, and of `extra` ones in a table of their own.
    #[cfg(any(feature = "allocator", modelled))]
    pub(super) fn in_two(nodes: u32, extra: u32, source: &mut Source) -> Result<Self, Unavailable> {
        let index_mask = Self::index_mask(nodes + extra);
        Ok(Self { next: source.table_in_two(nodes as usize, extra as usize)?, index_mask })
    }

    const fn index_mask(nodes: u32) -> u64 {
        (1 << (u32::BITS - nodes.leading_zeros())) - 1
    }

    /// Most bytes that the links of `nodes` nodes take.
    #[cfg(not(modelled))]
    pub(crate) const fn room(nodes: usize) -> usize {
        room::<AtomicU32>(nodes)
    }

    /// The value of a link that leads nowhere.
    #[inline]
    pub fn end(&self) -> u32 {
        self.index_mask as u32
    }

    /// Ones where a head has its tag.
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

    /// A head with this top and the tag of `before`, or the next tag, if it is a push.
    #[inline]
    fn head(&self, before: u64, is_push: bool, top: u32) -> u64 {
        let tag = if is_push { before.wrapping_add(self.index_mask + 1) } else { before };
        tag & self.tag_mask() | u64::from(top) ^ self.index_mask
    }

    /// The link of `block`, as the index bits of a head. If the node was moved, it is a valid index without meaning.
    #[inline]
    pub(super) fn after(&self, block: BlockIndex) -> u32 {
        // Relaxed: the Acquire of the head made the links visible that were written before it. A link that was written
        // since may be read instead, but then the head has changed, and the compare-exchange fails.
        self.next[block.place()].load(Ordering::Relaxed)
    }

    /// The nodes that a link leads to, one after the other. A hint where others move them meanwhile.
    fn from<'a>(&'a self, link: u32) -> impl Iterator<Item = BlockIndex> + use<'a> {
        let node = |link: u32| (link != self.end()).then(|| BlockIndex::new(link));
        core::iter::successors(node(link), move |block| node(self.after(*block)))
    }

    /// The nodes behind one, in whatever stack that stands. A hint, as [`FreeStack::look`].
    pub(super) fn behind(&self, block: BlockIndex) -> impl Iterator<Item = BlockIndex> {
        self.from(self.after(block))
    }

    /// Sets the link of `block`, whose node the caller owns.
    #[inline]
    pub(super) fn set(&self, block: BlockIndex, next: u32) {
        // Relaxed: published by the Release of the push.
        self.next[block.place()].store(next, Ordering::Relaxed);
    }
}

/// Nodes that one thread owns, linked in order, to be pushed at once.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    first: BlockIndex,
    last: BlockIndex,
}

impl Chain {
    /// The chain of one node, which the caller owns.
    #[inline]
    pub const fn new(block: BlockIndex) -> Self {
        Self { first: block, last: block }
    }

    /// Adds a node, which the caller owns, at the end.
    #[inline]
    pub fn append(&mut self, links: &Links, block: BlockIndex) {
        links.set(self.last, block.get());
        self.last = block;
    }

    /// Adds a node, which the caller owns, at the beginning.
    #[inline]
    pub fn prepend(&mut self, links: &Links, block: BlockIndex) {
        links.set(block, self.first.get());
        self.first = block;
    }
}

/// Nodes that were detached from a stack, from the top, linked as they stood there. The caller owns all of them.
#[must_use = "nodes that are dropped are lost"]
#[derive(Debug)]
pub struct Detached<'a> {
    links: &'a Links,
    next: Option<BlockIndex>,
}

impl Detached<'_> {
    /// The first node. Its links lead to the others.
    pub fn top(&self) -> Option<BlockIndex> {
        self.next
    }
}

impl Iterator for Detached<'_> {
    type Item = BlockIndex;

    fn next(&mut self) -> Option<BlockIndex> {
        let block = self.next?;
        // Before the caller gets the node, and may write its link.
        self.next = Some(self.links.after(block)).filter(|link| *link != self.links.end()).map(BlockIndex::new);
        Some(block)
    }
}

/// One free stack, empty at first. Each call is given the links of its nodes, always the same.
#[derive(Debug, Default)]
pub struct FreeStack(AtomicU64);

impl FreeStack {
    /// The number of pushes.
    #[inline]
    pub fn pushes(&self, links: &Links) -> u64 {
        // Acquire: pairs with the Release in `push`; a thread that counts a push sees the state that was published
        // before it.
        (self.0.load(Ordering::Acquire) & links.tag_mask()) >> links.index_mask.trailing_ones()
    }

    /// Pushes a chain of nodes that the caller owns. Lock-free.
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

    /// Pops the top. The caller owns that node then. Lock-free.
    #[inline]
    pub fn pop(&self, links: &Links) -> Option<BlockIndex> {
        self.swing(links, |top| links.after(top))
    }

    /// Pops up to `out.len()` nodes with one compare-exchange, and returns how many. Lock-free: `out` bounds the walk
    /// along links that may be stale.
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

    /// Empties the stack with one compare-exchange, and returns its nodes, which the caller owns then. Lock-free.
    pub fn detach<'a>(&self, links: &'a Links) -> Detached<'a> {
        Detached { links, next: self.swing(links, |_| links.end()) }
    }

    /// Replaces all nodes by a chain that the caller owns, with one compare-exchange, so that others never find the
    /// stack empty. Returns the old nodes, which the caller owns then. Lock-free.
    pub fn replace<'a>(&self, links: &'a Links, chain: Chain) -> Detached<'a> {
        links.set(chain.last, links.end());
        // Acquire: as in `swing`.
        let mut old = self.0.load(Ordering::Acquire);
        loop {
            let new = links.head(old, true, chain.first.get());
            // Release: as in `push`. Acquire on failure: as in `swing`; as there, the value that is replaced is the one
            // that was acquired.
            match self.0.compare_exchange_weak(old, new, Ordering::Release, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        let top = Some(links.top(old)).filter(|top| *top != links.end());
        Detached { links, next: top.map(BlockIndex::new) }
    }

    /// The nodes from the top on, where they stand. A hint: they may be moved meanwhile. The caller bounds the walk.
    pub(super) fn look<'a>(&self, links: &'a Links) -> impl Iterator<Item = BlockIndex> + use<'a> {
        // Relaxed: a hint. The states of the nodes say what they are worth.
        links.from(links.top(self.0.load(Ordering::Relaxed)))
    }

    /// Is it empty? A hint.
    pub fn is_empty(&self, links: &Links) -> bool {
        // Relaxed: a hint.
        links.top(self.0.load(Ordering::Relaxed)) == links.end()
    }

    /// The nodes in the stack, from the top. For models whose threads are done.
    #[cfg(modelled)]
    pub fn nodes<'a>(&self, links: &'a Links) -> impl Iterator<Item = BlockIndex> + use<'a> {
        let end = links.end();
        let node = move |link: u32| (link != end).then(|| BlockIndex::new(link));
        // Relaxed: whoever joined the threads sees what they did.
        let top = node(links.top(self.0.load(Ordering::Relaxed)));
        core::iter::successors(top, move |block| node(links.after(*block)))
    }

    /// Swings the head from the top to the node that `beyond` names, and returns the old top.
    #[inline]
    fn swing(&self, links: &Links, mut beyond: impl FnMut(BlockIndex) -> u32) -> Option<BlockIndex> {
        // Acquire: pairs with the Release in `push`; makes the links of all nodes that were pushed visible, because
        // each change of the head is a read-modify-write and continues the release sequences of the ones before it.
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let top = links.top(head);
            if top == links.end() {
                return None;
            }
            let top = BlockIndex::new(top);
            let new = links.head(head, false, beyond(top));
            // Acquire on failure: as above. Relaxed on success: the tag says that `head` is still the value that was
            // acquired, and nothing is published. The popped nodes go on to others by a push or by `unlist`, both
            // Release.
            match self.0.compare_exchange_weak(head, new, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return Some(top),
                Err(now) => head = now,
            }
        }
    }
}

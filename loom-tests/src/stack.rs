//! A free stack by itself, with a payload for each node.

use std::fmt;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use mempool::raw::stack::{Chain, FreeStack, Links};
use mempool::raw::sweep::marks::Marks;
use mempool::raw::sweep::walk::{Paths, TOPS, Ways};
use mempool::raw::{BlockIndex, Geometry, Order};

/// A free stack, its links, and for each node a payload that only the owner of the node touches.
///
/// In the heap a state word stands between the stack and the payload. Here the stack alone must order them, and a node
/// that comes out twice, or never, is an error.
pub struct Stack {
    stack: FreeStack,
    links: Links,
    paths: Paths,
    found: Marks,
    owned: Vec<UnsafeCell<bool>>,
}

// SAFETY: loom lets one thread run at a time, and reports accesses to a cell that no happens-before orders.
unsafe impl Sync for Stack {}
// SAFETY: as above.
unsafe impl Send for Stack {}

impl Stack {
    /// A stack of the nodes from 0 up to `nodes`, 0 at the top.
    pub fn of(nodes: u32) -> Arc<Self> {
        let stack = Self::owned(nodes);
        (0..nodes).rev().for_each(|node| stack.push(&[node]));
        stack
    }

    /// An empty stack, with the nodes from 0 up to `nodes` that the caller owns.
    pub fn owned(nodes: u32) -> Arc<Self> {
        let geometry = Geometry::new(nodes, 0, Order::ZERO);
        Arc::new(Self {
            stack: FreeStack::default(),
            links: Links::new(&geometry).expect("a few bytes"),
            paths: Paths::new(&geometry).expect("a few bytes"),
            found: Marks::new(&geometry).expect("a few bytes"),
            owned: (0..nodes).map(|_| UnsafeCell::new(true)).collect(),
        })
    }

    /// Pushes nodes that the caller owns, the first to be the top.
    pub fn push(&self, nodes: &[u32]) {
        nodes.iter().for_each(|node| self.move_to(*node, false));
        let mut nodes = nodes.iter().copied().map(BlockIndex::new);
        let Some(first) = nodes.next() else { return };
        let mut chain = Chain::new(first);
        nodes.for_each(|node| chain.append(&self.links, node));
        self.stack.push(&self.links, chain);
    }

    /// Pops the top.
    pub fn pop(&self) -> Option<u32> {
        let node = self.stack.pop(&self.links)?.get();
        self.move_to(node, true);
        Some(node)
    }

    /// Pops up to `count` nodes at once.
    pub fn pop_batch(&self, count: usize) -> Vec<u32> {
        let mut out = vec![BlockIndex::new(u32::MAX); count];
        let popped = self.stack.pop_batch(&self.links, &mut out);
        out.truncate(popped);
        out.iter().map(|node| node.get()).inspect(|node| self.move_to(*node, true)).collect()
    }

    /// Empties the stack.
    pub fn detach(&self) -> Vec<u32> {
        // More than there are would be a circle.
        let nodes = self.stack.detach(&self.links).take(self.owned.len() + 1);
        nodes.map(BlockIndex::get).inspect(|node| self.move_to(*node, true)).collect()
    }

    /// Empties the stack except its top, and walks along the rest on as many paths as there can be. One thread at a
    /// time.
    pub fn walk(&self) -> Vec<u32> {
        let Some(top) = self.stack.pop(&self.links) else { return Vec::new() };
        self.move_to(top.get(), true);
        self.found.set(top);
        self.move_to(top.get(), false);
        let mut tops = [None; TOPS];
        tops[0] = self.stack.replace(&self.links, Chain::new(top)).top();
        let units = self.owned.len() as u32;
        let ways = Ways { links: &self.links, end: self.links.end(), units, tops };
        let begin = |from: u32, _: u32| (from < units).then(|| BlockIndex::new(from));
        self.paths.walk(&ways, &self.found, begin);
        self.found.drain().map(BlockIndex::get).inspect(|node| self.move_to(*node, true)).collect()
    }

    /// How many pushes there were.
    pub fn pushes(&self) -> u64 {
        self.stack.pushes(&self.links)
    }

    /// Reads the payload of a node that another thread pushed: does a thread own it?
    pub fn peek(&self, node: u32) -> bool {
        // SAFETY: loom keeps a happens-before between this and each write, else it reports the race.
        self.owned[node as usize].with(|owned| unsafe { *owned })
    }

    /// The end of a model: all nodes but those of `owned` stand in the stack, once.
    ///
    /// # Panics
    ///
    /// When they don't.
    pub fn end(&self, mut owned: Vec<u32>) {
        owned.extend(self.detach());
        owned.sort_unstable();
        assert_eq!(owned, Vec::from_iter(0..self.owned.len() as u32), "each node comes out once");
        assert_eq!(self.pop(), None);
    }

    fn move_to(&self, node: u32, is_owned: bool) {
        self.owned[node as usize].with_mut(|owned| {
            // SAFETY: loom keeps a happens-before between this and each other access, else it reports the race.
            let owned = unsafe { &mut *owned };
            assert_ne!(*owned, is_owned, "node {node} has two owners, or comes out twice");
            *owned = is_owned;
        });
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stack.fmt(f)
    }
}

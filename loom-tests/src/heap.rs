//! A heap whose blocks have a payload, and the check that ends every model on one.

use std::fmt;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use mempool::raw::{BlockIndex, Buddy, Geometry, Kind, LastFailure, NotLive, Order, Shard, State, search};

/// The order of number `order`.
///
/// # Panics
///
/// When loom has no such order.
pub fn order(order: u32) -> Order {
    Order::new(order).expect("loom has a few orders")
}

/// The block that begins at `unit`.
pub fn block(unit: u32) -> BlockIndex {
    BlockIndex::new(unit)
}

/// How a search failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The block was not there.
    Certified,
    /// Other threads changed something in each round, or had something in transit all the time.
    GaveUp,
}

/// A heap, and for each unit a payload that stands for its memory: whoever owns the unit writes it, so that loom sees
/// two owners at once and an owner that does not know what the last one wrote.
pub struct Heap {
    /// The heap itself.
    pub raw: Buddy,
    last: LastFailure,
    owned: Vec<UnsafeCell<bool>>,
}

// SAFETY: loom lets one thread run at a time, and reports accesses to a cell that no happens-before orders.
unsafe impl Sync for Heap {}
// SAFETY: as above.
unsafe impl Send for Heap {}

impl Heap {
    /// A heap of `units` units, all of it free; the first has the absolute number `first_unit`.
    pub fn new(units: u32, first_unit: u64, max_order: u32) -> Arc<Self> {
        let geometry = Geometry::new(units, first_unit, order(max_order));
        Self::of(Buddy::new(geometry).expect("a few bytes"))
    }

    /// The same in two shards. All of it is in the first one.
    pub fn in_shards(units: u32, first_unit: u64, max_order: u32) -> Arc<Self> {
        let geometry = Geometry::new(units, first_unit, order(max_order));
        Self::of(Buddy::with_shards(geometry, 2).expect("a few bytes"))
    }

    fn of(raw: Buddy) -> Arc<Self> {
        let owned = (0..raw.geometry().units()).map(|_| UnsafeCell::new(false)).collect();
        Arc::new(Self { raw, last: LastFailure::new(), owned })
    }

    /// A heap of one block of `max_order`, cut into free units that nobody has merged, 0 at the top of their stack.
    pub fn in_units(max_order: u32) -> Arc<Self> {
        let heap = Self::new(1 << max_order, 0, max_order);
        let units: Vec<_> = (0..1 << max_order).map(|_| heap.alloc(0).expect("free")).collect();
        assert!(units.is_sorted());
        units.iter().rev().for_each(|unit| heap.release(*unit, 0));
        heap
    }

    /// Allocates a block of `size` from the stacks.
    pub fn alloc(&self, size: u32) -> Option<BlockIndex> {
        self.alloc_in(Shard::FIRST, size)
    }

    /// The same by a thread of this shard.
    pub fn alloc_in(&self, shard: Shard, size: u32) -> Option<BlockIndex> {
        let block = self.raw.alloc(order(size), shard)?;
        self.own(block, size);
        Some(block)
    }

    /// Allocates up to `count` blocks of `size` from the stacks.
    pub fn alloc_batch(&self, size: u32, count: usize) -> Vec<BlockIndex> {
        let mut out = vec![block(u32::MAX); count];
        let filled = self.raw.alloc_batch(State::live(order(size).into()), Shard::FIRST, &mut out);
        out.truncate(filled);
        out.iter().for_each(|block| self.own(*block, size));
        out
    }

    /// Takes a block of `size` by a sweep, as a search does: its node stays where it is.
    pub fn sweep_for(&self, size: u32) -> Option<BlockIndex> {
        let block = self.raw.sweep(Some(order(size)), Shard::FIRST).taken?;
        self.own(block, size);
        Some(block)
    }

    /// Searches a block of `size`, as an allocation does that found none in the stacks.
    ///
    /// # Errors
    ///
    /// A failure, certified or not.
    pub fn search(&self, size: u32) -> Result<BlockIndex, Failure> {
        let outcome =
            search(std::iter::once(&self.raw), || self.raw.version(), order(size).into(), &self.last, Shard::FIRST);
        let failure = if outcome.is_certain { Failure::Certified } else { Failure::GaveUp };
        let (_, block) = outcome.found.map_err(|_| failure)?;
        self.own(block, size);
        Ok(block)
    }

    /// Allocates a block of `size` as the pool does: from the stacks, else by a search.
    ///
    /// # Errors
    ///
    /// A failure, certified or not.
    pub fn alloc_or_search(&self, size: u32) -> Result<BlockIndex, Failure> {
        self.alloc(size).map_or_else(|| self.search(size), Ok)
    }

    /// Releases a block of `size` that the caller owns.
    ///
    /// # Panics
    ///
    /// When it is not what the caller says.
    pub fn release(&self, block: BlockIndex, size: u32) {
        self.release_in(Shard::FIRST, block, size);
    }

    /// The same by a thread of this shard.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn release_in(&self, shard: Shard, block: BlockIndex, size: u32) {
        self.disown(block, size);
        assert_eq!(self.raw.release(block, shard), Ok(order(size).into()));
    }

    /// Releases a block that others may release too, and returns its order. Nobody has its memory.
    ///
    /// # Errors
    ///
    /// When another release was faster.
    pub fn try_release(&self, block: BlockIndex) -> Result<u32, NotLive> {
        self.raw.release(block, Shard::FIRST).map(|class| class.order().get())
    }

    /// The caller owns this block now, and writes to its memory.
    pub fn own(&self, block: BlockIndex, size: u32) {
        self.write(block, size, true);
    }

    /// The caller writes to the memory of its block for the last time.
    pub fn disown(&self, block: BlockIndex, size: u32) {
        self.write(block, size, false);
    }

    fn write(&self, block: BlockIndex, size: u32, owned: bool) {
        let first = block.place();
        for unit in first..first + (1 << size) {
            self.owned[unit].with_mut(|was| {
                // SAFETY: loom keeps a happens-before between this and each other access, else it reports the race.
                let was = unsafe { &mut *was };
                assert_ne!(*was, owned, "unit {unit} has two owners, or none");
                *was = owned;
            });
        }
    }

    /// The end of a model, when its threads were joined: `live` are the blocks and orders that are still out.
    ///
    /// Nothing overlaps, and free + live is the whole; each node that is in use stands in one stack, once; and when all
    /// is released and swept, everything has coalesced and the stacks have all of it.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn end(&self, live: &[(BlockIndex, u32)]) {
        let (geometry, heap) = (self.raw.geometry(), &self.raw);
        let mut live = Vec::from_iter(live.iter().map(|(block, size)| (*block, order(*size))));
        live.sort_unstable();
        let mut found = Vec::new();
        for (block, seen) in heap.scan() {
            assert_ne!(seen.kind(), Kind::Inner, "unit {} is in transit for ever", block.get());
            assert!(geometry.is_aligned(block, seen.order()) && geometry.fits(block, seen.order()));
            for unit in 1..seen.order().units() {
                let inside = heap.state(block.after(unit, Order::ZERO));
                assert_eq!(inside.kind(), Kind::Inner, "a block begins inside of the one at {}", block.get());
            }
            if seen.kind() == Kind::Live {
                found.push((block, seen.order()));
            }
        }
        assert_eq!(found, live, "what is live is what the threads have");
        self.end_of_nodes();

        live.iter().for_each(|(block, size)| self.release(*block, size.get()));
        let sweep = heap.sweep(None, Shard::FIRST);
        assert!(sweep.is_settled(), "nobody else is there");
        let free: Vec<_> = heap.scan().map(|(block, seen)| (block, seen.kind(), seen.order())).collect();
        let whole: Vec<_> = geometry.blocks(0..geometry.units()).map(|(at, order)| (at, Kind::Free, order)).collect();
        assert_eq!(free, whole, "everything has coalesced");
        self.end_of_nodes();

        // A node may still stand in the stack of a smaller order: it was pushed after a sweep had merged its block and
        // been through the stacks. Whoever then finds the block without its node, as here, makes the next sweep move
        // it.
        if let Some(found) = self.sweep_for(0) {
            self.release(found, 0);
        }
        heap.sweep(None, Shard::FIRST);
        let mut orders: Vec<_> = whole.iter().map(|(.., order)| *order).collect();
        orders.sort_unstable();
        for order in orders.into_iter().rev() {
            assert!(self.alloc(order.get()).is_some(), "the stacks lost a block of {order:?}");
        }
        assert_eq!(self.alloc(0), None);
        self.end_of_nodes();
    }

    /// `Listed` means that the node stands in exactly one stack, when no thread owns one.
    fn end_of_nodes(&self) {
        let mut stands = vec![0; self.owned.len()];
        for order in Order::ZERO.through(Order::MAX) {
            // More than there are would be a circle.
            for node in self.raw.nodes(order).take(self.owned.len() + 1) {
                stands[node.place()] += 1;
            }
        }
        for (unit, times) in (0..).zip(stands) {
            let seen = self.raw.state(block(unit));
            assert!(seen.kind() != Kind::Free || seen.is_listed(), "unit {unit} is free, its node idle");
            assert_eq!(times, usize::from(seen.is_listed()), "unit {unit} stands in so many stacks, {seen:?}");
        }
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

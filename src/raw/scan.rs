//! Iterates the blocks of a heap, without touching them.

use super::buddy::{Buddy, NotLive};
use super::class::Class;
use super::order::{BlockIndex, Geometry, Order};
use super::state::{Kind, State};

/// The blocks of a heap, ascending. Each block had the state that is told, but all together are a snapshot only while
/// nobody changes anything. Each unit in transit comes as an `Inner` block of order 0. A `Tail` comes only where the
/// scan began inside a block, or a block changed meanwhile.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    heap: &'a Buddy,
    next: u64,
}

impl Buddy {
    /// The blocks of the heap. O(blocks).
    pub fn scan(&self) -> Scan<'_> {
        self.scan_from(0)
    }

    /// The blocks of the heap, from the one that begins at `unit` on.
    pub fn scan_from(&self, unit: u64) -> Scan<'_> {
        Scan { heap: self, next: unit }
    }

    /// The block that covers `unit` and begins before it, as it was seen. O(orders). Exact while nobody changes that
    /// block.
    ///
    /// It begins at a whole number of eighths of its order, fewer than 16 of them before the unit.
    pub(super) fn block_around(&self, unit: BlockIndex) -> Option<(BlockIndex, State)> {
        // A block that was made of a row may be larger than what can be free in one piece.
        let orders = Order::ZERO.through(self.geometry.max_order_if_aligned());
        let covering = |order: Order| {
            let step = Class::eighth(order);
            let first = self.geometry.enclosing(unit, step);
            let mut heads = (0..Class::EIGHTHS_OF_LARGEST).map_while(move |steps| first?.before(steps, step));
            heads.find_map(|head| {
                let seen = self.states.at(head).read();
                let is_head = head != unit && !matches!(seen.kind(), Kind::Inner | Kind::Tail);
                let covers = is_head && seen.order() == order && seen.class().end(head) > u64::from(unit.get());
                covers.then_some((head, seen))
            })
        };
        orders.filter_map(covering).next()
    }

    /// The block that covers `unit` and begins before it, if no block begins there. O(orders).
    pub(super) fn block_before(&self, unit: BlockIndex) -> Option<(BlockIndex, State)> {
        if self.states.at(unit).read().kind() == Kind::Inner { self.block_around(unit) } else { None }
    }

    /// Why no `Live` block begins at `unit`. O(orders). Exact while nobody changes the block around it.
    #[cold]
    pub fn why_not_live_slow(&self, unit: BlockIndex) -> NotLive {
        match self.block_around(unit) {
            Some((_, seen)) if seen.kind() == Kind::Live => NotLive::Interior,
            _ => NotLive::Vacant,
        }
    }

    /// Where the block ends that covers `unit` and begins before it; `unit` itself, if a part of a block begins there,
    /// or it is in transit. O(orders).
    pub(super) fn next_head(&self, unit: BlockIndex) -> u32 {
        // A block ends inside the heap.
        self.block_before(unit).map_or(unit.get(), |(head, seen)| seen.class().end(head) as u32)
    }

    /// Is this unit in transit: no block begins there, and none covers it? O(orders).
    pub(super) fn is_in_transit(&self, unit: BlockIndex) -> bool {
        self.states.at(unit).read().kind() == Kind::Inner && self.next_head(unit) == unit.get()
    }
}

impl Scan<'_> {
    /// The unit at which the next block begins.
    pub fn at(&self) -> u64 {
        self.next
    }
}

impl Iterator for Scan<'_> {
    type Item = (BlockIndex, State);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= u64::from(self.heap.covered()) {
            return None;
        }
        let block = BlockIndex::new(self.next as u32);
        let seen = self.heap.states.at(block).read();
        self.next = seen.size().end(block);
        Some((block, seen))
    }
}

/// Merges free blocks on paper: tells how large a block a sweep would form, from one ascending scan.
#[derive(Clone, Debug)]
pub struct Coalescer {
    geometry: Geometry,
    /// The last free block of each order that was a lower one; its upper buddy may come next.
    lower: [Option<BlockIndex>; Order::COUNT],
    largest: Option<Order>,
}

impl Coalescer {
    /// Begins a scan of a heap of `geometry`.
    pub fn new(geometry: &Geometry) -> Self {
        Self { geometry: *geometry, lower: [None; Order::COUNT], largest: None }
    }

    /// The scan found this free block.
    pub fn free(&mut self, block: BlockIndex, order: Order) {
        let (mut head, mut size) = (block, order);
        while let (Some(lower), Some(up)) = (self.geometry.lower_buddy(head, size), size.up()) {
            if self.lower[size.place()] != Some(lower) {
                break;
            }
            (head, size) = (lower, up);
        }
        self.lower[size.place()] = Some(head);
        self.largest = self.largest.max(Some(size));
    }

    /// The order of the largest block that merging would form so far.
    pub fn largest(&self) -> Option<Order> {
        self.largest
    }
}

//! The buddy system of one heap: publish, take, split, release.

use core::ops::Range;

use super::class::Class;
use super::looked::Looked;
use super::order::{BlockIndex, Geometry, Order};
use super::shards::{Shard, Shards};
use super::stack::{Chain, FreeStack, Links};
use super::state::{Kind, Node, State};
use super::states::States;
use super::sweep::tables::GatherTables;
use super::visits::Visits;
#[cfg(any(test, feature = "allocator", modelled))]
use super::visits::WithoutOwner;
use crate::board_place::BoardRef;
use crate::commit::Commit;
#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Unavailable};
#[cfg(not(modelled))]
use crate::sync::AtomicU16;
use crate::sync::{AtomicU32, AtomicU64, model_or};

/// Stale entries that one allocation drops from one stack before it looks elsewhere, so that no allocation pays for
/// all that a sweep left behind.
/// Under loom few: no model makes more.
const STALE_LIMIT: usize = model_or(3, 64);

/// Why a unit is not the head of a `Live` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLive {
    /// It lies inside a `Live` block.
    Interior,
    /// It lies in a block that is not `Live`, also as its head, or is in transit.
    Vacant,
}

/// One heap: its geometry, the state and the link of each unit, and in each shard a free stack for each order.
#[derive(Debug)]
pub struct Buddy {
    pub(super) geometry: Geometry,
    pub(super) states: States,
    pub(super) links: Links,
    pub(super) shards: Shards<{ Order::COUNT }>,
    /// Counts operations that left a node in a stack that its state does not fit, or may have hidden a block in one. A
    /// sweep tidies the stacks if this has grown. A failing allocation counts it as publications.
    pub(super) displaced: AtomicU64,
    /// `displaced` as of the last time that the stacks were tidied.
    pub(super) tidied: AtomicU64,
    /// 1, if there are blocks of several parts.
    pub(super) has_parts: AtomicU32,
    /// Where looks for rows go on.
    pub(super) looked: Looked,
    /// For a sweep that gathers nodes.
    pub(super) gather_tables: GatherTables,
    /// The units for which there is memory, in all of these tables.
    tables: Commit,
    /// 1 while a thread wants all of the heap, so that nobody shall allocate here.
    pub(super) closed: AtomicU32,
    /// The place on the board where it tells of its blocks. `None` in an allocator, which has one heap.
    pub(super) listing: Option<Listing>,
}

/// The board of a pool, and the heap's place on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing {
    pub(crate) board: BoardRef,
    pub(crate) entry: usize,
}

impl Buddy {
    /// A heap of `geometry` with tables from the global allocator, all of it free. For models and tests.
    ///
    /// # Errors
    ///
    /// When there is no memory for the tables: 49 bits for each unit.
    #[cfg(any(test, modelled))]
    pub fn new(geometry: Geometry) -> Result<Self, Unavailable> {
        Self::in_source(geometry, &mut Source::Global)
    }

    /// A heap of `geometry`, all of it free.
    pub(crate) fn in_source(geometry: Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        let heap = Self::empty(geometry, source)?;
        heap.publish_range(0..geometry.units(), Shard::FIRST);
        Ok(heap)
    }

    /// Most bytes that the tables of `units` units take.
    #[cfg(not(modelled))]
    pub(crate) const fn room(units: usize) -> usize {
        room::<AtomicU16>(units) + Links::room(units) + GatherTables::room(units)
    }

    /// The same with `shards` shards, however small the heap is. For models.
    #[cfg(modelled)]
    pub fn with_shards(geometry: Geometry, shards: usize) -> Result<Self, Unavailable> {
        let heap = Self { shards: Shards::of(shards), ..Self::empty(geometry, &mut Source::Global)? };
        heap.publish_range(0..geometry.units(), Shard::FIRST);
        Ok(heap)
    }

    /// A heap of `geometry` in which nothing was published yet.
    pub(crate) fn empty(geometry: Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self {
            states: States::new(&geometry, source)?,
            links: Links::of(geometry.units(), source)?,
            shards: Shards::for_units(geometry.units()),
            displaced: AtomicU64::new(0),
            tidied: AtomicU64::new(0),
            has_parts: AtomicU32::new(0),
            looked: Looked::new(),
            gather_tables: GatherTables::new(&geometry, source)?,
            tables: Commit::given(),
            closed: AtomicU32::new(0),
            listing: None,
            geometry,
        })
    }

    /// The same heap, whose tables get their memory as far as units come into use.
    #[cfg(any(feature = "allocator", modelled))]
    pub(super) fn with_tables(self, tables: Commit) -> Self {
        Self { tables, ..self }
    }

    /// The memory of its tables.
    #[cfg(all(feature = "allocator", not(modelled)))]
    pub(super) fn tables(&self) -> &Commit {
        &self.tables
    }

    /// Gets memory for the tables of `units` units, and of the one behind them; false, if there is none.
    #[cfg(any(feature = "allocator", modelled))]
    pub(super) fn has_tables(&self, units: u32) -> bool {
        self.tables.cover(units.saturating_add(1))
    }

    /// The units for which there are tables. No other ones were ever published.
    pub(super) fn covered(&self) -> u32 {
        self.tables.covered().min(self.geometry.units())
    }

    /// The states of its units.
    #[inline]
    pub(crate) fn states(&self) -> &States {
        &self.states
    }

    /// Its geometry.
    #[inline]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Allocates a block of `want` from the stacks, best fit first. `None` says only that the stacks did not have it.
    /// Lock-free: at most one split for each order above.
    #[inline]
    pub fn alloc(&self, want: impl Into<Class>, shard: Shard) -> Option<BlockIndex> {
        let class = want.into();
        if !class.is_order() {
            return self.alloc_parts_slow(class, shard);
        }
        let want = class.order();
        match self.pop_take(want, want, State::live(class), shard) {
            Some((block, _)) => Some(block),
            None => self.alloc_larger_slow(want, shard),
        }
    }

    #[cold]
    fn alloc_larger_slow(&self, want: Order, shard: Shard) -> Option<BlockIndex> {
        self.tidy_if_many(shard);
        let mut larger = want.through(self.geometry.max_order()).skip(1);
        larger.find_map(|from| {
            let (block, size) = self.pop_take(from, want, State::live(want.into()), shard)?;
            self.split(block, size, want, shard);
            Some(block)
        })
    }

    /// Takes a block from a stack of `from`, which gets the state `to`. If `from` is larger than `least`, it publishes
    /// the upper half first, and takes the lower one. Returns the order of what it took. The caller publishes the part
    /// that is too much.
    #[inline]
    pub(super) fn pop_take(&self, from: Order, least: Order, to: State, shard: Shard) -> Option<(BlockIndex, Order)> {
        self.pop_take_own(from, least, to, shard).or_else(|| self.pop_take_others(from, least, to, shard))
    }

    /// The same from the own shard only.
    #[inline]
    pub(super) fn pop_take_own(
        &self,
        from: Order,
        least: Order,
        to: State,
        shard: Shard,
    ) -> Option<(BlockIndex, Order)> {
        self.pop_take_of(self.shards.own(shard, from.place()), from, least, to, shard)
    }

    /// The same from the others only.
    #[inline]
    pub(super) fn pop_take_others(
        &self,
        from: Order,
        least: Order,
        to: State,
        shard: Shard,
    ) -> Option<(BlockIndex, Order)> {
        self.shards.others(shard, from.place()).find_map(|stack| self.pop_take_of(stack, from, least, to, shard))
    }

    /// The same from this stack.
    #[inline]
    fn pop_take_of(
        &self,
        stack: &FreeStack,
        from: Order,
        least: Order,
        to: State,
        shard: Shard,
    ) -> Option<(BlockIndex, Order)> {
        for _ in 0..STALE_LIMIT {
            let block = stack.pop(&self.links)?;
            let size = if from > least { self.halve(block, from, shard) } else { from };
            if self.settle(block, size, to, shard) {
                return Some((block, size));
            }
        }
        None
    }

    /// Halves a free block of `from`: the lower half stays free, the upper one is published. So half of a block that is
    /// split is there for others at each moment, should this thread be stopped: first the lower half, then the upper
    /// one. Returns the order of the block at `block`; `from`, if there is no such block.
    #[cold]
    pub(super) fn halve(&self, block: BlockIndex, from: Order, shard: Shard) -> Order {
        match from.down() {
            Some(half) if self.states.at(block).lower(from, half).is_ok() => {
                self.publish(block.after(1, half), half, shard);
                half
            }
            _ => from,
        }
    }

    /// Settles a node that the caller took off a stack of `from`. True: the block was `Free` of that order, is the
    /// caller's now, and has the state `to`. False: the entry was stale, and the node is idle or in the stack where it
    /// belongs.
    #[inline]
    pub(super) fn settle(&self, block: BlockIndex, from: Order, to: State, shard: Shard) -> bool {
        let word = self.states.at(block);
        let mut seen = word.read();
        while seen.is_free(from) {
            match word.take_with_node(seen, to) {
                Ok(()) => return true,
                Err(now) => seen = now,
            }
        }
        if let Some(order) = self.put_away_slow(block) {
            // It was merged or split since. If its state changes before the push, this is a stale entry once more.
            self.push(Chain::new(block), order, shard);
        }
        false
    }

    /// For a node that the caller owns: the order of the stack where it belongs. `None`: it is idle now.
    #[cold]
    pub(super) fn put_away_slow(&self, block: BlockIndex) -> Option<Order> {
        let word = self.states.at(block);
        let mut seen = word.read();
        loop {
            if seen.kind() == Kind::Free {
                return Some(seen.order());
            }
            match word.unlist(seen) {
                Ok(()) => return None,
                Err(now) => seen = now,
            }
        }
    }

    /// Publishes the upper halves of a block of `from`, down to `to`. The caller has the whole, and keeps the rest.
    #[inline]
    pub(super) fn split(&self, block: BlockIndex, from: Order, to: Order, shard: Shard) {
        for order in to.until(from).rev() {
            self.publish(block.after(1, order), order, shard);
        }
    }

    /// In transit → `Free(order)`: makes a block of the caller's available to all.
    #[inline]
    pub(super) fn publish(&self, block: BlockIndex, order: Order, shard: Shard) {
        match self.states.at(block).publish(order) {
            Node::Idle => self.push(Chain::new(block), order, shard),
            Node::Elsewhere => self.note_displaced(),
        }
    }

    /// Publishes a range of units that the caller has, as the fewest blocks.
    pub(super) fn publish_range(&self, range: Range<u32>, shard: Shard) {
        self.geometry.blocks(range).for_each(|(block, order)| self.publish(block, order, shard));
    }

    /// Pushes nodes that the caller owns onto a stack of `order`.
    #[inline]
    pub(super) fn push(&self, chain: Chain, order: Order, shard: Shard) {
        self.shards.own(shard, order.place()).push(&self.links, chain);
        self.tell(order);
    }

    /// [`release_by`](Self::release_by) of a block that no cache has handed out.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(any(test, feature = "allocator", modelled))]
    pub fn release(&self, block: BlockIndex, shard: Shard) -> Result<Class, NotLive> {
        self.release_by(block, shard, &WithoutOwner)
    }

    /// `Live` → `Free`: releases the block, and returns its class. Lock-free; no merging.
    ///
    /// # Errors
    ///
    /// When no `Live` block begins there, or its owner is releasing it. Then nothing changed. Exactly one of several
    /// racing releases of a block succeeds.
    #[inline]
    pub fn release_by(&self, block: BlockIndex, shard: Shard, by: &impl Visits) -> Result<Class, NotLive> {
        let (class, node) = self.release_state(block, shard, by)?;
        match node {
            Some(Node::Idle) => self.push(Chain::new(block), class.order(), shard),
            Some(Node::Elsewhere) => self.note_displaced(),
            None => {}
        }
        Ok(class)
    }

    /// The first half of a release: the state. The caller then pushes the node, if it was idle. No node: the block was
    /// published with all of its parts, merged.
    #[inline]
    pub(super) fn release_state(
        &self,
        block: BlockIndex,
        shard: Shard,
        by: &impl Visits,
    ) -> Result<(Class, Option<Node>), NotLive> {
        let word = self.states.at(block);
        let mut seen = word.read();
        loop {
            if seen.kind() != Kind::Live {
                return Err(self.why_not_live_slow(block));
            }
            let class = seen.class();
            let is_to_merge = self.is_to_merge(block, class);
            let release =
                || if is_to_merge { word.take_back(seen).map(|()| None) } else { word.release(seen).map(Some) };
            match by.during(seen, release).ok_or(NotLive::Vacant)? {
                Ok(Some(node)) => return Ok((class, Some(node))),
                Ok(None) => {
                    self.publish_parts(block, class, shard);
                    return Ok((class, None));
                }
                // Another release was faster, or a resize, or the owner of the node cleared `Listed`.
                Err(now) => seen = now,
            }
        }
    }

    /// The nodes in the stacks of `order`, from the tops. For models whose threads are done.
    #[cfg(modelled)]
    pub fn nodes(&self, order: Order) -> impl Iterator<Item = BlockIndex> {
        self.shards.all(Shard::FIRST, order.place()).flat_map(|stack| stack.nodes(&self.links))
    }

    /// The state of any unit. For models.
    #[cfg(modelled)]
    pub fn state(&self, unit: BlockIndex) -> State {
        self.states.at(unit).read()
    }
}

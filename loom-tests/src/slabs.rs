//! A heap of pages whose slots and spans have a payload, and the check that ends every model on one.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use mempool::raw::slabs::{BITMAPS, BitmapId, Cycle, Discards, Extent, Found, Growth, STRIDE, Shape, Slabs};
use mempool::raw::{BlockIndex, Kind, Order, Shard, Slots};

/// A class of slabs of a page and two slots.
pub const PAIR: usize = 0;
/// A class of slabs of a page and three slots.
pub const TRIPLE: usize = 1;
/// A class of slabs of a page and two bitmaps: 63 slots and one.
pub const LONG: usize = 2;
const CLASSES: usize = 3;

static SHAPES: [Shape; CLASSES] =
    [Shape { pages: 1, slots: 2 }, Shape { pages: 1, slots: 3 }, Shape { pages: 1, slots: STRIDE + 1 }];

/// Slots of one bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The class of the slab.
    pub class: usize,
    /// The bitmap.
    pub part: BitmapId,
    /// The slots.
    pub slots: Slots,
}

impl Hold {
    /// Splits the lowest `count` slots off.
    pub fn split(self, count: u32) -> (Self, Self) {
        let lowest = self.slots.lowest(count);
        (Self { slots: lowest, ..self }, Self { slots: self.slots.without(lowest), ..self })
    }
}

/// A span of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first page.
    pub head: u32,
    /// How many.
    pub pages: u32,
}

/// What stands for a piece of the memory of a page.
#[derive(Clone, Copy, Default)]
struct Cell {
    owned: bool,
    used: bool,
}

/// A heap of pages, and for each page some cells that stand for its memory: whoever owns a slot or a span writes to
/// what lies in it, so that loom sees two owners at once and an owner that does not know what the last one wrote.
pub struct Pages {
    /// The heap itself.
    pub raw: Slabs<CLASSES>,
    growth: Growth,
    cells: u32,
    memory: Vec<UnsafeCell<Cell>>,
}

// SAFETY: loom lets one thread run at a time, and reports accesses to a cell that no happens-before orders.
unsafe impl Sync for Pages {}
// SAFETY: as above.
unsafe impl Send for Pages {}

impl Pages {
    /// A heap that may grow to `pages` pages.
    pub fn new(pages: u32) -> Arc<Self> {
        Self::with_cells(pages, 6)
    }

    /// The same, each page of which has as many cells as a slab of [`LONG`] has slots.
    pub fn for_long(pages: u32) -> Arc<Self> {
        Self::with_cells(pages, STRIDE)
    }

    /// The same, in which at most `limit` pages are in use at once, and which grows to all pages in any case.
    pub fn with_limit(pages: u32, limit: u32) -> Arc<Self> {
        let raw = Slabs::new(pages, 0, &SHAPES).expect("a few bytes").with_limit(limit);
        Self::growing(raw, Growth::Beyond, 6)
    }

    fn with_cells(pages: u32, cells: u32) -> Arc<Self> {
        Self::of(Slabs::new(pages, 0, &SHAPES).expect("a few bytes"), cells)
    }

    /// A heap that may grow to `pages` pages, whose slabs are at home in one of two shards; with cells for [`LONG`].
    pub fn in_shards(pages: u32) -> Arc<Self> {
        Self::of(Slabs::with_shards(pages, 0, &SHAPES, 2).expect("a few bytes"), STRIDE)
    }

    fn of(raw: Slabs<CLASSES>, cells: u32) -> Arc<Self> {
        Self::growing(raw, Growth::ToLimit, cells)
    }

    fn growing(raw: Slabs<CLASSES>, growth: Growth, cells: u32) -> Arc<Self> {
        let memory = (0..raw.pages() * cells).map(|_| UnsafeCell::default()).collect();
        Arc::new(Self { raw, growth, cells, memory })
    }

    /// All slots that a bitmap of `class` has.
    fn slots_of(class: usize, nth: u32) -> Slots {
        Slots::first(SHAPES[class].slots.saturating_sub(nth * STRIDE))
    }

    /// Takes up to `most` slots of a class.
    pub fn take(&self, class: usize, most: u32) -> Vec<Hold> {
        self.take_in(Shard::FIRST, class, most)
    }

    /// The same for a thread of a shard.
    pub fn take_in(&self, shard: Shard, class: usize, most: u32) -> Vec<Hold> {
        let mut holds = Vec::new();
        let mut put = |part, slots| {
            let hold = Hold { class, part, slots };
            self.own(hold);
            holds.push(hold);
        };
        let mut taken = self.raw.take(class, most, shard, &mut put);
        if taken == 0 {
            taken = self.raw.take_new(class, most, self.growth, shard, &mut put);
        }
        assert_eq!(taken, holds.iter().map(|hold| hold.slots.count()).sum());
        holds
    }

    /// Takes exactly `count` slots of one bitmap.
    ///
    /// # Panics
    ///
    /// When that is not what is to be had.
    pub fn take_in_one(&self, class: usize, count: u32) -> Hold {
        let holds = self.take(class, count);
        assert!(holds.len() == 1 && holds[0].slots.count() == count, "{holds:?}");
        holds[0]
    }

    /// Gives slots back.
    ///
    /// # Panics
    ///
    /// When one was free already.
    pub fn give(&self, hold: Hold) {
        self.write_slots(hold, false);
        assert!(self.raw.give(hold.class, hold.part, hold.slots).is_empty(), "{hold:?} was free already");
    }

    /// Allocates a span.
    pub fn alloc(&self, pages: u32) -> Option<Span> {
        let (head, fresh) = self.raw.alloc_span(pages, Order::ZERO, self.growth)?;
        assert_eq!(self.raw.find(head), Found::Span { pages });
        let span = Span { head, pages };
        self.write_span(span, true, fresh);
        Some(span)
    }

    /// Releases a span.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn release(&self, span: Span) {
        self.write_span(span, false, false);
        assert!(self.raw.release_span(span.head));
    }

    /// Resizes a span where it is, if there is room.
    pub fn resize(&self, span: Span, pages: u32) -> Span {
        if pages < span.pages {
            self.write_span(Span { head: span.head + pages, pages: span.pages - pages }, false, false);
        }
        if !self.raw.resize_span(span.head, pages) {
            assert!(pages > span.pages);
            return span;
        }
        if pages > span.pages {
            self.write_span(Span { head: span.head + span.pages, pages: pages - span.pages }, true, false);
        }
        Span { pages, ..span }
    }

    /// Owns each free block for a moment.
    pub fn visit_free(&self) {
        let _ = self.raw.buddy().visit_free(0..self.raw.grown(), Order::ZERO, Shard::FIRST, |block, order| {
            let span = Span { head: block.get(), pages: order.units() };
            self.write_span(span, true, false);
            self.write_span(span, false, false);
            ControlFlow::Continue(())
        });
    }

    /// Discards what is in each free block.
    pub fn discard(&self) {
        self.raw.discard(Order::ZERO, Extent::All, |head, pages| self.discard_span(Span { head, pages }));
    }

    /// The steps of one cycle, each of `pages` pages.
    pub fn cycle(&self, cycle: &mut Cycle, pages: u32, discards: Discards) {
        cycle.set_discards(discards);
        while !self.raw.sweep_step(cycle, pages, |head, pages| self.discard_span(Span { head, pages })).is_last {}
    }

    fn discard_span(&self, span: Span) -> bool {
        self.write_span(span, true, false);
        self.write_span(span, false, false);
        for cell in span.head * self.cells..(span.head + span.pages) * self.cells {
            // SAFETY: loom keeps a happens-before between this and each other access, else it reports the race.
            self.memory[cell as usize].with_mut(|was| unsafe { (*was).used = false });
        }
        true
    }

    fn own(&self, hold: Hold) {
        let Hold { class, part: BitmapId { head, .. }, .. } = hold;
        for page in head..head + SHAPES[class].pages {
            assert_eq!(self.raw.find(page), Found::Slab { class, head }, "page {page} is what its slots are");
        }
        self.write_slots(hold, true);
    }

    fn write_slots(&self, hold: Hold, owned: bool) {
        let Hold { class, part: BitmapId { head, nth }, slots } = hold;
        let all: u32 = (0..BITMAPS).map(|nth| Self::slots_of(class, nth).count()).sum();
        let width = SHAPES[class].pages * self.cells / all;
        assert!(width > 0, "too few cells for the class");
        for slot in slots {
            assert!(Self::slots_of(class, nth).common(Slots::one(slot)) == Slots::one(slot), "there is such a slot");
            let first = head * self.cells + (nth * Slots::MOST + slot) * width;
            (first..first + width).for_each(|cell| self.write(cell, owned, false));
        }
    }

    fn write_span(&self, span: Span, owned: bool, fresh: bool) {
        let first = span.head * self.cells;
        (first..first + span.pages * self.cells).for_each(|cell| self.write(cell, owned, fresh));
    }

    fn write(&self, cell: u32, owned: bool, fresh: bool) {
        self.memory[cell as usize].with_mut(|was| {
            // SAFETY: loom keeps a happens-before between this and each other access, else it reports the race.
            let was = unsafe { &mut *was };
            assert_ne!(was.owned, owned, "cell {cell} has two owners, or none");
            assert!(!(fresh && was.used), "cell {cell} is no longer as it was at first");
            *was = Cell { owned, used: true };
        });
    }

    /// The end of a model, when its threads were joined: `slots` and `spans` are still out.
    ///
    /// Each node that is in use stands in one stack, once; what is counted as idle is idle; the slots that are not free
    /// are the ones that are out; and when all is given back and swept, all of the heap has coalesced, and the
    /// stacks have it.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn end(&self, slots: &[Hold], spans: &[Span]) {
        self.end_of_nodes();
        self.end_of_counts(slots);

        slots.iter().for_each(|hold| self.give(*hold));
        spans.iter().for_each(|span| self.release(*span));
        self.end_of_counts(&[]);
        self.raw.sweep();
        self.end_of_nodes();
        assert_eq!(self.raw.idle_or_below_zero(), 0, "no slab is idle after a sweep");
        let (used, free) = self.raw.extra_bitmaps();
        assert_eq!(used, free, "each set of extra bitmaps was given back once");
        for page in 0..self.raw.pages() {
            assert_eq!(self.raw.find(page), Found::Nothing, "page {page} is nothing after a sweep");
        }

        let (heap, grown) = (self.raw.buddy(), self.raw.grown());
        let free: Vec<_> = heap.scan().take_while(|(block, _)| block.get() < grown).collect();
        let free: Vec<_> = free.iter().map(|(block, seen)| (*block, seen.kind(), seen.order())).collect();
        let whole: Vec<_> = heap.geometry().blocks(0..grown).map(|(at, order)| (at, Kind::Free, order)).collect();
        assert_eq!(free, whole, "everything has coalesced");

        for (block, order) in heap.geometry().blocks(0..grown) {
            for page in 1..order.units() {
                let inside = heap.state(block.after(page, Order::ZERO));
                assert_eq!(inside.kind(), Kind::Inner, "a block begins inside of the one at {}", block.get());
            }
        }

        // As in a heap of blocks: whoever finds a block without its node makes the next sweep move that.
        if let Some(found) = heap.sweep(Some(Order::ZERO), Shard::FIRST).taken {
            heap.release(found, Shard::FIRST).expect("it is live");
        }
        self.raw.sweep();
        let mut orders: Vec<_> = whole.iter().map(|(.., order)| *order).collect();
        orders.sort_unstable();
        for order in orders.into_iter().rev() {
            assert!(heap.alloc(order, Shard::FIRST).is_some(), "the stacks lost a block of {order:?}");
        }
        assert_eq!(heap.alloc(Order::ZERO, Shard::FIRST), None);
        self.end_of_nodes();
    }

    /// The heads of slabs, and their classes.
    fn slabs(&self) -> impl Iterator<Item = (usize, u32)> {
        (0..self.raw.grown()).filter_map(|page| match self.raw.find(page) {
            Found::Slab { class, head } => (head == page).then_some((class, head)),
            Found::Span { .. } | Found::Nothing => None,
        })
    }

    /// What is not free of a slab is out, and what is idle is counted as such.
    fn end_of_counts(&self, out: &[Hold]) {
        let (mut idle, mut live) = (0, 0);
        for (class, head) in self.slabs() {
            for nth in 0..BITMAPS {
                let (part, all) = (BitmapId { head, nth }, Self::slots_of(class, nth));
                // A class of one bitmap has no slots in others.
                let free =
                    self.raw.bitmap(part).map(|bitmap| self.raw.bitmaps().word(bitmap).free()).unwrap_or_default();
                live += all.without(free).count();
                if free == all && Self::slots_of(class, 1).is_empty() && nth == 0 {
                    idle += SHAPES[class].pages;
                }
            }
        }
        let known: u32 = out.iter().map(|hold| hold.slots.count()).sum();
        assert_eq!(live, known, "the slots that are not free are the ones that are out");
        assert_eq!(self.raw.idle_or_below_zero(), idle as i32, "what is counted as idle is idle");
    }

    /// `Listed` means that the node stands in exactly one stack, when no thread owns one.
    fn end_of_nodes(&self) {
        let bitmaps = self.raw.bitmaps();
        let mut stands = vec![0; bitmaps.count()];
        for class in 0..CLASSES {
            // More than there are would be a circle.
            bitmaps.nodes(class).take(stands.len() + 1).for_each(|node| stands[node.place()] += 1);
        }
        for (bitmap, times) in (0..).zip(stands) {
            let word = bitmaps.word(BlockIndex::new(bitmap));
            assert!(word.free().is_empty() || word.is_listed(), "bitmap {bitmap} has free slots, its node is idle");
            assert_eq!(times, usize::from(word.is_listed()), "bitmap {bitmap} stands in so many stacks");
        }

        let heap = self.raw.buddy();
        let mut stands = vec![0; self.raw.pages() as usize];
        for order in Order::ZERO.through(Order::MAX) {
            heap.nodes(order).take(stands.len() + 1).for_each(|node| stands[node.place()] += 1);
        }
        for (page, times) in (0..).zip(stands) {
            let seen = heap.state(BlockIndex::new(page));
            assert!(seen.kind() != Kind::Free || seen.is_listed(), "page {page} is free, its node idle");
            assert_eq!(times, usize::from(seen.is_listed()), "page {page} stands in so many stacks, {seen:?}");
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

//! Pages of a heap that grows: spans of them, and slabs, which are spans cut into slots of one class.
//!
//! A unit of the heap is a page here. The *page map* says what a page is. It is no lock: what a slab is stays as it is while somebody
//! has a slot of it, and whoever has none looks only after taking one.
//!
//! To *close* a slab is to take all of its slots, and then its pages are the closer's, who releases them. A slab of which all
//! slots are free may stay open, *idle*, so that its pages need not be cut up again soon.
//!
//! A slab is *at home* in the shard of who opened it: what is free of it is put there, so that threads of different shards seldom have slots of one
//! page. It is a hint, as the stacks are: a bitmap that is in the stack of another shard since before its slab was opened stays there until somebody
//! comes upon it.
//!
//! [`page_map`] has what the page map says, [`extra`] where slabs have more bitmaps than one, [`retire`] how slabs are closed, [`spans`] spans and growth, `spares` the spans that were released last, [`resident`] which pages have memory behind them, `cycle` what a
//! sweeper does.

use crossbeam_utils::CachePadded;

use crate::commit::Commit;
#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Geometry, Order};
use crate::raw::shards::Shard;
#[cfg(not(modelled))]
use crate::raw::stack::Links;
#[cfg(not(modelled))]
use crate::raw::sweep::tables::GatherTables;
#[cfg(not(modelled))]
use crate::sync::{AtomicU16, AtomicU64};
use crate::sync::{AtomicU32, Ordering, model_or};
use crate::thread;
pub use bitmap::Slots;
use lists::{BitmapLists, Class, Whose};

pub mod bitmap;
mod cycle;
mod extra;
pub mod lists;
pub mod live;
mod page_map;
mod resident;
mod retire;
mod shape;
mod spans;
pub mod spares;

pub use cycle::{Cycle, Discards, Step};
use extra::{Extra, SlabId};
pub use extra::{MOST_PAGES, most_of_a_page};
pub use page_map::Found;
use page_map::{Entry, Meaning};
use resident::Resident;
use retire::Closed;
pub use shape::{BITMAPS, BitmapId, STRIDE, Shape};
use spans::{GROWTH_PART, TIDIES};
use spares::Spares;

/// Before a heap grows it is tidied, if spans of this part of it were taken since, so that it costs little for each.
/// Under loom a larger part: no model has 16 pages.
const SWEEP_PART: u32 = model_or(4, 16);
/// Pages that have memory are many where they are more than this part of it.
const PLENTY_PART: u32 = 16;
/// Idle slabs may be this part of it.
/// Under loom a larger part: no model has 48 pages.
const IDLE_PART: u32 = model_or(8, 48);
/// Or this one, where it is calm.
const CALM_IDLE_PART: u32 = 6;
/// Or so many pages.
/// Under loom none, so that slabs are closed.
const LEAST_IDLE: u32 = model_or(0, 8);

/// Memory for tables is asked for, for so many pages at least.
const LEAST_STEP: u32 = 4096;

/// A heap of pages, with slabs of `CLASSES` classes.
#[derive(Debug)]
pub struct Slabs<const CLASSES: usize> {
    shapes: &'static [Shape; CLASSES],
    /// Pages that it may grow to.
    pages: u32,
    /// Pages that it has.
    grown: AtomicU32,
    /// The page behind the last small span that is no block. Where the heap is near its limit the next one is looked for from there on, so
    /// that they lie one behind the other, and not each at the beginning of a block with what is too much of it between them.
    hint: AtomicU32,
    /// How many pages are in use or dirty.
    resident: CachePadded<Resident>,
    /// Pages of idle slabs. It may be below zero for a moment.
    idle: AtomicU32,
    /// Pages of the spans that were taken since it was tidied.
    taken: AtomicU32,
    spares: Spares,
    /// 1, if an allocation has swept since somebody asked.
    has_swept: AtomicU32,
    buddy: Buddy,
    /// How many pages of the heap there is memory for, besides the tables.
    commit: Commit,
    map: Table<AtomicU32>,
    /// The first ones, by pages, and then the extra ones.
    bitmaps: BitmapLists<CLASSES>,
    extra: Extra,
}

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Bytes that tables for so many pages take in an area.
    #[cfg(not(modelled))]
    pub(crate) const fn room(pages: usize, shapes: &[Shape; CLASSES]) -> usize {
        let extra = pages * most_of_a_page(shapes) as usize;
        let blocks = room::<AtomicU16>(pages) + Links::room(pages) + GatherTables::room(pages);
        let bitmaps = room::<AtomicU64>(pages + extra) + Links::room(pages + extra) + Links::room(extra);
        blocks + room::<AtomicU32>(pages) + bitmaps
    }

    /// Bytes of tables that are in use by now.
    #[cfg(not(modelled))]
    pub(crate) fn table_bytes(&self) -> usize {
        // Of a page the state, the link, a bit for sweeps, the entry of the map, and the word and the link of a bitmap; of a extra bitmap
        // these two, and its owner.
        let pages = self.grown() as usize;
        pages * (2 + 4 + 4 + 8 + 4) + pages / 8 + self.extra.used() as usize * (8 + 4 + 4)
    }

    /// Of these, bytes that are not in memory, as far as the operating system says. O(pages).
    #[cfg(not(modelled))]
    pub(crate) fn absent_table_bytes(&self) -> usize {
        self.buddy.tables().absent(self.grown()) + self.extra.absent()
    }

    /// A heap that may grow to so many pages, the first of which has the absolute number `first_page`. For models.
    ///
    /// # Errors
    ///
    /// When the tables were not to be had.
    #[cfg(modelled)]
    pub fn new(pages: u32, first_page: u64, shapes: &'static [Shape; CLASSES]) -> Result<Self, Unavailable> {
        Self::in_source(pages, first_page, shapes, Commit::given(), &mut Source::Global)
    }

    /// The same with so many shards for its slabs, however small it is. For models.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(modelled)]
    pub fn with_shards(
        pages: u32,
        first_page: u64,
        shapes: &'static [Shape; CLASSES],
        shards: usize,
    ) -> Result<Self, Unavailable> {
        let slabs = Self::new(pages, first_page, shapes)?;
        Ok(Self { bitmaps: slabs.bitmaps.with_shards(shards), ..slabs })
    }

    /// A heap of pages that `commit` says whether there is memory for. What the source is asked to add to a commit before has something for
    /// each page, too.
    pub(crate) fn in_source(
        pages: u32,
        first_page: u64,
        shapes: &'static [Shape; CLASSES],
        commit: Commit,
        source: &mut Source,
    ) -> Result<Self, Unavailable> {
        let extra = pages * most_of_a_page(shapes);
        let buddy = Buddy::empty(Geometry::new(pages, first_page, Order::MAX), source)?;
        let map = source.table(pages as usize)?;
        let bitmaps = BitmapLists::in_source(pages, extra, source)?;
        Ok(Self {
            shapes,
            pages,
            grown: AtomicU32::new(0),
            hint: AtomicU32::new(0),
            resident: CachePadded::new(Resident::new()),
            idle: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            spares: Spares::default(),
            has_swept: AtomicU32::new(0),
            buddy: buddy.with_tables(source.commit(pages, LEAST_STEP)),
            commit,
            map,
            bitmaps,
            extra: Extra::in_source(extra, source)?,
        })
    }

    /// Pages that it may grow to.
    #[inline]
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Pages that it has.
    pub fn grown(&self) -> u32 {
        // Relaxed: a number.
        self.grown.load(Ordering::Relaxed)
    }

    /// Pages that memory was put behind, or that had some from the beginning on.
    #[cfg(not(modelled))]
    pub(crate) fn committed(&self) -> u32 {
        self.commit.reached().min(self.pages)
    }

    /// Pages of slabs without a live slot.
    pub fn idle(&self) -> u32 {
        // Relaxed: a number.
        let idle = self.idle.load(Ordering::Relaxed);
        if idle as i32 > 0 { idle } else { 0 }
    }

    /// The same, and as it is. For models.
    #[cfg(modelled)]
    pub fn idle_or_below_zero(&self) -> i32 {
        // Relaxed: as above.
        self.idle.load(Ordering::Relaxed) as i32
    }

    /// The bitmaps. For models.
    #[cfg(modelled)]
    pub fn bitmaps(&self) -> &BitmapLists<CLASSES> {
        &self.bitmaps
    }

    /// How many extra bitmaps there ever were, and how many are in free sets. For models.
    #[cfg(modelled)]
    pub fn extra_bitmaps(&self) -> (u32, u32) {
        (self.extra.used(), self.extra.free())
    }

    /// The blocks of pages. For models.
    #[cfg(modelled)]
    pub fn buddy(&self) -> &Buddy {
        &self.buddy
    }

    /// What a page is: certain for who has a slot or a span that it belongs to.
    #[inline]
    pub fn find(&self, page: u32) -> Found {
        let meaning = self.entry(page).meaning();
        match (self.slab_of(page, meaning), meaning) {
            (Some(SlabId { class, head, .. }), _) => Found::Slab { class, head },
            (None, Meaning::Span { pages }) => Found::Span { pages },
            (None, _) => Found::Nothing,
        }
    }

    /// The slab of a page, if it is one of a slab: certain for who has a slot of it.
    fn slab(&self, page: u32) -> Option<SlabId> {
        self.slab_of(page, self.entry(page).meaning())
    }

    #[inline]
    fn slab_of(&self, page: u32, meaning: Meaning) -> Option<SlabId> {
        match meaning {
            Meaning::Slab { class, before, shard } => Some(SlabId { class, head: page.saturating_sub(before), shard }),
            // Else the set is free by now.
            Meaning::Several { set } => Some(self.extra.slab(set)).filter(|slab| slab.class < CLASSES),
            Meaning::Span { .. } | Meaning::Nothing => None,
        }
    }

    /// The shard that the slab of a page is at home in: certain for who has a slot of it. Of what is no slab it is the calling thread's.
    pub fn shard_of(&self, page: u32) -> Shard {
        self.slab(page).map_or_else(thread::shard, |slab| slab.shard)
    }

    #[inline]
    fn entry(&self, page: u32) -> Entry {
        // Whoever has a slot came by it after the heap grew.
        let entry = self.map.get(page as usize).filter(|_| page < self.grown());
        // Relaxed: whoever has a slot came by it after the page was set, which was before the slot was given, or handed over.
        Entry(entry.map_or(0, |entry| entry.load(Ordering::Relaxed)))
    }

    fn set(&self, page: u32, to: Entry) {
        if let Some(entry) = self.map.get(page as usize) {
            // Relaxed: published with the slots, by the Release with which they are given or handed over.
            entry.store(to.0, Ordering::Relaxed);
        }
    }

    /// The set of the slab that begins at a page, if it has several bitmaps: certain for who has a slot of it.
    fn set_at(&self, head: u32) -> Option<u32> {
        if let Meaning::Several { set } = self.entry(head).meaning() { Some(set) } else { None }
    }

    /// A bitmap of a slab, if it has that: certain for who has a slot of it. The first one is always that of the page.
    pub fn bitmap(&self, id: BitmapId) -> Option<BlockIndex> {
        let Some(number) = id.nth.checked_sub(1) else { return Some(BlockIndex::new(id.head)) };
        let bitmap = self.extra.bitmap(self.set_at(id.head)?, number)?;
        Some(BlockIndex::new(self.pages + bitmap))
    }

    /// What a bitmap is of: certain for who has a slot of it.
    fn id_of(&self, bitmap: BlockIndex) -> BitmapId {
        let Some(extra) = bitmap.get().checked_sub(self.pages) else { return BitmapId { head: bitmap.get(), nth: 0 } };
        let head = self.extra.slab(extra).head;
        let before = self.set_at(head).map_or(0, |set| extra.saturating_sub(set));
        BitmapId { head, nth: before + 1 }
    }

    /// Takes up to `most` slots of a class for a thread of a shard, and hands them to `put`, bitmap by bitmap; returns how many. Of slabs that are
    /// at home there first; then, if there are other shards, of a new one, and of what others have left of theirs, in this order or
    /// the other one. The heap does not grow for it. Lock-free.
    pub fn take(&self, class: Class, most: u32, limit: u32, shard: Shard, mut put: impl FnMut(BitmapId, Slots)) -> u32 {
        let put = &mut put;
        let mut taken = self.take_listed(class, most, shard, Whose::Own, put);
        if taken > 0 || !self.bitmaps.are_in_shards() {
            return taken;
        }
        let rather = self.opens_rather(class, most);
        for opens in [rather, !rather] {
            if taken == 0 {
                taken = match opens {
                    true => self.open(class, most, limit, false, shard, put),
                    false => self.take_listed(class, most, shard, Whose::Others, put),
                };
            }
        }
        taken
    }

    /// The same, of a new slab, for which the heap may grow. Lock-free.
    pub fn take_new(
        &self,
        class: Class,
        most: u32,
        limit: u32,
        shard: Shard,
        mut put: impl FnMut(BitmapId, Slots),
    ) -> u32 {
        self.open(class, most, limit, true, shard, &mut put)
    }

    /// Is a new slab better than what others have left of theirs? It is where half of a bitmap of it is used at once, or pages that have
    /// memory are many: then what two threads have lies apart, and the heap needs no more for it.
    fn opens_rather(&self, class: Class, most: u32) -> bool {
        let slots = self.shapes[class].slots_of(0).count();
        most >= slots.div_ceil(2) || self.dirty() > self.grown() / PLENTY_PART
    }

    /// Takes up to `most` slots of slabs that are open.
    fn take_listed(
        &self,
        class: Class,
        most: u32,
        shard: Shard,
        whose: Whose,
        put: &mut impl FnMut(BitmapId, Slots),
    ) -> u32 {
        let mut taken = 0;
        while taken < most {
            let slab_of = |bitmap| self.slab(self.id_of(bitmap).head).map(|slab| (slab.class, slab.shard));
            let next = self.bitmaps.take(class, most - taken, shard, whose, slab_of);
            let Some((now, bitmap, got)) = next else { break };
            let id = self.id_of(bitmap);
            if now != class {
                // What stood in the wrong stack stands there no more, so that this comes to an end.
                self.put_back(now, id, got.before, got.slots);
                continue;
            }
            self.count_idle(class, id, got.before, false);
            put(id, got.slots);
            taken += got.slots.count();
        }
        taken
    }

    /// Cuts a new slab up, which is at home in a shard. `grows`: the heap may, for it.
    #[cold]
    fn open(
        &self,
        class: Class,
        most: u32,
        limit: u32,
        grows: bool,
        shard: Shard,
        put: &mut impl FnMut(BitmapId, Slots),
    ) -> u32 {
        let shape = self.shapes[class];
        let Some((head, _)) = self.take_span(shape.pages, Order::ZERO, limit, grows) else { return 0 };
        let set = match shape.extra() {
            0 => None,
            count => {
                let Some(set) = self.extra.take(count, SlabId { class, head, shard }) else {
                    // There are as many as pages may need, but there may be no memory for them.
                    self.release_pages(head, shape.pages);
                    return 0;
                };
                Some(set)
            }
        };
        for before in 0..shape.pages {
            self.set(head + before, set.map_or(Entry::slab(class, before, shard), Entry::several));
        }
        let mut taken = 0;
        for nth in 0..BITMAPS {
            let (id, all) = (BitmapId { head, nth }, shape.slots_of(nth));
            let mine = all.lowest(most - taken);
            if !mine.is_empty() {
                put(id, mine);
                taken += mine.count();
            }
            let rest = all.without(mine);
            if !rest.is_empty()
                && let Some(bitmap) = self.bitmap(id)
            {
                // Nobody else had a slot of it.
                _ = self.bitmaps.give(class, bitmap, rest, shard);
            }
        }
        taken
    }

    /// Gives slots of a bitmap back, which are the caller's; returns those that were free already. Pages that are free then may go
    /// back to the heap. Lock-free.
    pub fn give(&self, class: Class, id: BitmapId, slots: Slots) -> Slots {
        let shape = self.shapes[class];
        let all = shape.slots_of(id.nth);
        // Whoever has no slot of it has nothing to give.
        let Some(bitmap) = self.bitmap(id) else { return slots };
        // A slab of several bitmaps is closed as soon as it can be: it has the smallest slots, so that this does not come often.
        let close = || !shape.is_one_bitmap() || self.is_too_idle(shape.pages);
        let outcome = self.bitmaps.give_or_close(class, bitmap, slots, all, self.shard_of(id.head), close);
        if outcome.closed {
            let mut closed: Closed = [false; BITMAPS as usize];
            closed[id.nth as usize] = true;
            self.close(class, id.head, closed);
        } else if outcome.full {
            self.count_idle(class, id, all, true);
        }
        outcome.given.twice
    }

    #[cfg_attr(loom, allow(clippy::unnecessary_min_or_max, reason = "the least is 0 there"))]
    fn is_too_idle(&self, more: u32) -> bool {
        let (idle, grown) = (self.idle() + more, self.grown());
        idle > (grown / IDLE_PART).max(LEAST_IDLE) && (idle > grown / CALM_IDLE_PART || !self.resident.is_calm())
    }

    /// Counts a slab of one bitmap as idle, or no more, if `free` are all its slots.
    fn count_idle(&self, class: Class, id: BitmapId, free: Slots, more: bool) {
        let shape = self.shapes[class];
        if shape.is_one_bitmap() && free == shape.slots_of(id.nth) {
            // Relaxed, both: a number.
            if more {
                self.idle.fetch_add(shape.pages, Ordering::Relaxed);
            } else {
                self.idle.fetch_sub(shape.pages, Ordering::Relaxed);
            }
        }
    }

    /// Makes a span of so many pages of what is free, if there may be one, and that does not come too often; false, if not. Idle slabs
    /// are closed, and blocks that grew by merging leave the stacks of what they were.
    #[cold]
    fn tidy(&self, pages: u32) -> bool {
        let grown = self.grown();
        // Relaxed, all: numbers.
        let free = if TIDIES { grown.saturating_sub(self.resident.out()) } else { 0 };
        let is_worth_it = free.saturating_add(self.idle()) >= pages.max(grown / GROWTH_PART);
        // Never twice for nothing: what counts as free may be what another thread has just taken.
        if !is_worth_it || self.taken.load(Ordering::Relaxed) < (grown / SWEEP_PART).max(1) {
            return false;
        }
        self.taken.store(0, Ordering::Relaxed);
        self.sweep();
        self.has_swept.store(1, Ordering::Relaxed);
        true
    }

    /// Has an allocation swept by itself since the last call? True for one caller.
    #[cfg(not(modelled))]
    pub fn take_has_swept(&self) -> bool {
        // Relaxed, both: nothing is published by it.
        self.has_swept.load(Ordering::Relaxed) != 0 && self.has_swept.swap(0, Ordering::Relaxed) != 0
    }

    /// Closes the slabs that are idle, and merges what two releases at the same moment have missed. O(pages). Lock-free.
    pub fn sweep(&self) {
        self.withholding(|| {
            let grown = self.grown();
            self.give_spares();
            self.close_idle(0..grown);
            self.buddy.sweep_first(grown, None, thread::sweep_shard());
        });
    }
}

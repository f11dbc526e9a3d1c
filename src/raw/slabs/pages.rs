//! The heap of pages: its tables, and the meaning of each page.

use crossbeam_utils::CachePadded;

use super::extra::{Extra, SlabId, most_of_a_page};
use super::lists::{BitmapLists, Class};
use super::page_map::{Entry, Found, Meaning};
use super::resident::Resident;
use super::shape::{BitmapId, Shape};
use super::spares::Spares;
use crate::check::at;
use crate::commit::Commit;
#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Geometry, Order};
use crate::raw::outline::Outlines;
use crate::raw::shards::Shard;
#[cfg(not(modelled))]
use crate::raw::stack::Links;
#[cfg(not(modelled))]
use crate::raw::withheld::Waited;
use crate::raw::withheld::Withheld;
#[cfg(not(modelled))]
use crate::sync::AtomicU64;
use crate::sync::{AtomicU32, Ordering};
use crate::thread;

/// Tables are committed in steps of at least this many pages.
const LEAST_STEP: u32 = 4096;

/// A heap of pages, with slabs of `CLASSES` classes.
#[derive(Debug)]
pub struct Slabs<const CLASSES: usize> {
    pub(super) shapes: &'static [Shape; CLASSES],
    /// Pages that the tables are for.
    pub(super) pages: u32,
    /// Pages that it may grow to.
    pub(super) end: u32,
    /// Pages of spans and slabs that there may be at once. There may be addresses for more.
    pub(super) limit: u32,
    /// Pages that it has.
    pub(super) grown: AtomicU32,
    /// The page behind the last span that is no single block. Near the heap's limit, the next such span is looked for
    /// from there on. So they lie one behind the other, not each at the beginning of a block with the rest of that
    /// block between them.
    pub(super) hint: AtomicU32,
    /// Counts of pages in use and of dirty ones.
    pub(super) resident: CachePadded<Resident>,
    pub(super) withheld: Withheld,
    /// The last wait in vain of an allocation that failed.
    #[cfg(not(modelled))]
    pub(super) waited: Waited,
    /// Pages of idle slabs. It may be below zero for a moment.
    pub(super) idle: AtomicU32,
    /// Pages of the spans that were taken since the last sweep of an allocation.
    pub(super) taken: AtomicU32,
    /// Entries of the stacks when an allocation tidied them last.
    pub(super) entries: AtomicU32,
    pub(super) spares: Spares,
    /// 1, if an allocation has swept since the last question.
    pub(super) has_swept: AtomicU32,
    pub(super) buddy: Buddy,
    /// How far the heap has memory.
    pub(super) commit: Commit,
    pub(super) map: Table<AtomicU32>,
    /// What searches for spans have seen.
    pub(super) outlines: Outlines,
    /// The bitmaps of pages, then the extra ones.
    pub(super) bitmaps: BitmapLists<CLASSES>,
    pub(super) extra: Extra,
}

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Bytes of an area that the tables for `pages` pages take.
    #[cfg(not(modelled))]
    pub(crate) const fn room(pages: usize, shapes: &[Shape; CLASSES]) -> usize {
        let extra = pages * most_of_a_page(shapes) as usize;
        let bitmaps = room::<AtomicU64>(pages + extra) + Links::room(pages + extra) + Links::room(extra);
        Buddy::room(pages) + room::<AtomicU32>(pages) + Outlines::room(pages) + bitmaps
    }

    /// Bytes of the tables that are in use.
    #[cfg(not(modelled))]
    pub(crate) fn table_bytes(&self) -> usize {
        // Of a page: state, link, entry of the map, word and link of a bitmap; a bit for sweeps; a part of an outline.
        // Of an extra bitmap: its word, its link, its slab.
        let pages = self.grown() as usize;
        pages * (2 + 4 + 4 + 8 + 4) + pages / 8 + pages / 4 + self.extra.used() as usize * (8 + 4 + 4)
    }

    /// Bytes of these that are not in memory, as far as the operating system tells. O(pages).
    #[cfg(not(modelled))]
    pub(crate) fn absent_table_bytes(&self) -> usize {
        self.buddy.tables().absent(self.grown()) + self.extra.absent()
    }

    /// A heap that may grow to `pages` pages, the first of which has the absolute number `first_page`. For models.
    ///
    /// # Errors
    ///
    /// When the tables were not to be had.
    #[cfg(modelled)]
    pub fn new(pages: u32, first_page: u64, shapes: &'static [Shape; CLASSES]) -> Result<Self, Unavailable> {
        Self::in_source(pages, first_page, shapes, Commit::given(), &mut Source::Global)
    }

    /// The same with `shards` shards for its slabs, however small it is. For models.
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

    /// A heap of pages that `commit` puts memory behind. Tables that were made from `source` since its last commit are
    /// used in step with the pages, too.
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
        let outlines = Outlines::in_source(pages, first_page as u32, source)?;
        let bitmaps = BitmapLists::in_source(pages, extra, source)?;
        Ok(Self {
            shapes,
            pages,
            end: pages,
            limit: pages,
            grown: AtomicU32::new(0),
            hint: AtomicU32::new(0),
            resident: CachePadded::new(Resident::new()),
            withheld: Withheld::new(),
            #[cfg(not(modelled))]
            waited: Waited::new(),
            idle: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            entries: AtomicU32::new(0),
            spares: Spares::default(),
            has_swept: AtomicU32::new(0),
            buddy: buddy.with_tables(source.commit(pages, LEAST_STEP)),
            commit,
            map,
            outlines,
            bitmaps,
            extra: Extra::in_source(extra, source)?,
        })
    }

    /// The same heap, in which at most `limit` pages are in use at once. It grows beyond the limit only where it is
    /// told to.
    pub fn with_limit(self, limit: u32) -> Self {
        Self { limit: limit.min(self.pages), ..self }
    }

    /// The heap grows no more.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64", not(modelled)))]
    pub(crate) fn end_growth(&mut self) {
        self.end = self.grown();
        self.limit = self.limit.min(self.end);
    }

    /// Pages of spans and slabs that there may be.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// May it grow beyond its limit, and are fewer pages in use than that?
    #[cfg(not(modelled))]
    pub(crate) fn has_room_beyond(&self) -> bool {
        self.limit < self.end && self.resident.has_room(1, self.limit)
    }

    /// The shape of the slabs of a class.
    pub(super) fn shape(&self, class: Class) -> Shape {
        *at(self.shapes, class)
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

    /// Pages that have memory.
    #[cfg(not(modelled))]
    pub(crate) fn committed(&self) -> u32 {
        self.commit.covered().min(self.pages)
    }

    /// Pages of idle slabs.
    pub fn idle(&self) -> u32 {
        // Relaxed: a number.
        let idle = self.idle.load(Ordering::Relaxed);
        if idle as i32 > 0 { idle } else { 0 }
    }

    /// The same, and it may be below zero. For models.
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

    /// Extra bitmaps that were ever used, and those in free sets. For models.
    #[cfg(modelled)]
    pub fn extra_bitmaps(&self) -> (u32, u32) {
        (self.extra.used(), self.extra.free())
    }

    /// The blocks of pages. For models.
    #[cfg(modelled)]
    pub fn buddy(&self) -> &Buddy {
        &self.buddy
    }

    /// The meaning of a page. Certain for a thread that has a slot or a span there.
    #[inline]
    pub fn find(&self, page: u32) -> Found {
        let meaning = self.entry(page).meaning();
        match (self.slab_of(page, meaning), meaning) {
            (Some(SlabId { class, head, .. }), _) => Found::Slab { class, head },
            (None, Meaning::Span { pages }) => Found::Span { pages },
            (None, _) => Found::Nothing,
        }
    }

    /// The class of the slab of a page, if there is one. The number may be of no page. Certain for a thread that has a
    /// slot there. This is what C's `free` asks, so it has no more branches than it needs.
    #[inline]
    pub fn class_at(&self, page: usize) -> Option<Class> {
        let entry = self.map.get(page).filter(|_| page < self.grown() as usize)?;
        // Relaxed: as in `entry`.
        let entry = Entry(entry.load(Ordering::Relaxed));
        let class = match entry.class() {
            class if class < CLASSES => return Some(class),
            _ => entry.set().map(|set| self.extra.slab(set).class)?,
        };
        (class < CLASSES).then_some(class)
    }

    /// The slab of a page, if there is one. Certain for a thread that has a slot of it.
    pub(super) fn slab(&self, page: u32) -> Option<SlabId> {
        self.slab_of(page, self.entry(page).meaning())
    }

    #[inline]
    fn slab_of(&self, page: u32, meaning: Meaning) -> Option<SlabId> {
        match meaning {
            Meaning::Slab { class, before, shard } => Some(SlabId { class, head: page.saturating_sub(before), shard }),
            // Of another class: the set is free by now.
            Meaning::Several { set } => Some(self.extra.slab(set)).filter(|slab| slab.class < CLASSES),
            Meaning::Span { .. } | Meaning::Nothing => None,
        }
    }

    /// The shard of a page's slab; the caller's, if there is none. Certain for a thread that has a slot of it.
    pub fn shard_of(&self, page: u32) -> Shard {
        self.slab(page).map_or_else(thread::shard, |slab| slab.shard)
    }

    #[inline]
    pub(super) fn entry(&self, page: u32) -> Entry {
        // The heap grew before any thread had a slot there.
        let entry = self.map.get(page as usize).filter(|_| page < self.grown());
        // Relaxed: a thread that has a slot got it after the page was set: the slot was given, or handed over, after
        // that.
        Entry(entry.map_or(0, |entry| entry.load(Ordering::Relaxed)))
    }

    pub(super) fn set(&self, page: u32, to: Entry) {
        if let Some(entry) = self.map.get(page as usize) {
            // Relaxed: published with the slots, by the Release with which they are given or handed over.
            entry.store(to.0, Ordering::Relaxed);
        }
    }

    /// The set of the slab that begins at a page, if it has several bitmaps. Certain for a thread that has a slot of
    /// it.
    pub(super) fn set_at(&self, head: u32) -> Option<u32> {
        self.entry(head).set()
    }

    /// A bitmap of a slab, if the slab has it. Certain for a thread that has a slot of it. The first one is the page's.
    pub fn bitmap(&self, id: BitmapId) -> Option<BlockIndex> {
        let Some(number) = id.nth.checked_sub(1) else { return Some(BlockIndex::new(id.head)) };
        let bitmap = self.extra.bitmap(self.set_at(id.head)?, number)?;
        Some(BlockIndex::new(self.pages + bitmap))
    }

    /// Free slots of the slab of this class that begins at a page, and those that are taken. A hint: other threads take
    /// and give slots meanwhile.
    #[cfg(not(modelled))]
    pub(crate) fn count_slots(&self, class: Class, head: u32) -> (u32, u32) {
        let Some(shape) = self.shapes.get(class) else { return (0, 0) };
        let count = |nth| {
            let bitmap = self.bitmap(BitmapId { head, nth })?;
            Some((self.bitmaps.word(bitmap).free().count(), shape.slots_of(nth).count()))
        };
        let (mut free, mut all) = (0, 0);
        for (of_it, slots) in (0..=shape.extra()).filter_map(count) {
            free += of_it.min(slots);
            all += slots;
        }
        (free, all - free)
    }

    /// The slab of a bitmap, and its number there. Certain for a thread that has a slot of it.
    pub(super) fn id_of(&self, bitmap: BlockIndex) -> BitmapId {
        let Some(extra) = bitmap.get().checked_sub(self.pages) else { return BitmapId { head: bitmap.get(), nth: 0 } };
        let head = self.extra.slab(extra).head;
        let before = self.set_at(head).map_or(0, |set| extra.saturating_sub(set));
        BitmapId { head, nth: before + 1 }
    }
}

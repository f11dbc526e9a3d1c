//! Pages of a heap that grows: spans of them, and runs, which are spans cut into slots of one class.
//!
//! A unit of the heap is a page here. The *page map* says what a page is. It is no lock: what a run is stays as it is while somebody
//! has a slot of it, and whoever has none looks only after taking one.
//!
//! To *close* a run is to take all of its slots, and then its pages are the closer's, who releases them. A run of which all
//! slots are free may stay open, *idle*, so that its pages need not be cut up again soon.
//!
//! A run is *at home* in the lane of who opened it: what is free of it is put there, so that threads of different lanes seldom have slots of one
//! page. It is a hint, as the stacks are: a group that is in the stack of another lane since before its run was opened stays there until somebody
//! comes upon it.
//!
//! [`page`] has what the page map says, [`further`] where runs have more groups than one, [`close`] how runs are closed, [`pages`] spans and growth, [`resident`] which pages have memory behind them, `round` what a
//! sweeper does.

use crossbeam_utils::CachePadded;

use super::buddy::Buddy;
use super::group::Slots;
use super::groups::{Class, Groups, Whose};
use super::lanes::Lane;
use super::order::{BlockIndex, Geometry, Order};
#[cfg(not(all(loom, feature = "loom")))]
use super::stack::Links;
#[cfg(not(all(loom, feature = "loom")))]
use super::walk::HandTables;
use crate::ground::Ground;
#[cfg(not(all(loom, feature = "loom")))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
#[cfg(not(all(loom, feature = "loom")))]
use crate::sync::{AtomicU16, AtomicU64};
use crate::sync::{AtomicU32, Ordering};

mod close;
mod further;
mod page;
mod pages;
mod resident;
mod round;

use close::Closed;
use further::{Further, Owner};
pub use further::{MOST_PAGES, most_of_a_page};
pub use page::Found;
use page::{Entry, Meaning};
use pages::{GROWTH_PART, TIDIES};
use resident::Resident;
pub use round::{Discards, Piece, Round};

/// Groups of one run, at most.
#[cfg(not(all(loom, feature = "loom")))]
pub const PLANES: u32 = 4;
/// Under loom two: each group is two tracked objects.
#[cfg(all(loom, feature = "loom"))]
pub const PLANES: u32 = 2;
/// Slots of a run are numbered as if a group had 64; it has [`Slots::MOST`], and the last number of each is no slot.
pub const STRIDE: u32 = 64;

/// Before a heap grows it is tidied, if spans of this part of it were taken since, so that it costs little for each.
#[cfg(not(all(loom, feature = "loom")))]
const SWEEP_PART: u32 = 16;
/// Under loom a larger part: no model has 16 pages.
#[cfg(all(loom, feature = "loom"))]
const SWEEP_PART: u32 = 4;
/// Pages that have memory are many where they are more than this part of it.
const PLENTY_PART: u32 = 16;
/// Idle runs may be this part of it.
#[cfg(not(all(loom, feature = "loom")))]
const IDLE_PART: u32 = 48;
/// Under loom a larger part: no model has 48 pages.
#[cfg(all(loom, feature = "loom"))]
const IDLE_PART: u32 = 8;
/// Or this one, where it is calm.
const CALM_IDLE_PART: u32 = 6;
/// Or so many pages.
#[cfg(not(all(loom, feature = "loom")))]
const LEAST_IDLE: u32 = 8;
/// Under loom none, so that runs are closed.
#[cfg(all(loom, feature = "loom"))]
const LEAST_IDLE: u32 = 0;

/// Memory for tables is asked for, for so many pages at least.
const LEAST_STEP: u32 = 4096;

/// How a run is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pages, at most 256.
    pub pages: u32,
    /// Numbers of slots, at most [`PLANES`] times [`STRIDE`].
    pub slots: u32,
}

impl Shape {
    /// All slots that a group of the run has.
    const fn slots_of(self, plane: u32) -> Slots {
        Slots::first(self.slots.saturating_sub(plane * STRIDE))
    }

    /// How many groups it has besides the first one.
    const fn further(self) -> u32 {
        self.slots.saturating_sub(1) / STRIDE
    }

    const fn is_one_group(self) -> bool {
        self.further() == 0
    }
}

/// One of the groups of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first page of the run.
    pub head: u32,
    /// Which of its groups.
    pub plane: u32,
}

/// A heap of pages, with runs of `CLASSES` classes.
#[derive(Debug)]
pub struct Runs<const CLASSES: usize> {
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
    /// Pages of idle runs. It may be below zero for a moment.
    idle: AtomicU32,
    /// Pages of the spans that were taken since it was tidied.
    taken: AtomicU32,
    /// 1, if an allocation has swept since somebody asked.
    has_swept: AtomicU32,
    buddy: Buddy,
    /// How many pages of the heap there is memory for, besides the tables.
    ground: Ground,
    map: Table<AtomicU32>,
    /// The first ones, by pages, and then the further ones.
    groups: Groups<CLASSES>,
    further: Further,
}

impl<const CLASSES: usize> Runs<CLASSES> {
    /// Bytes that tables for so many pages take in an area.
    #[cfg(not(all(loom, feature = "loom")))]
    pub(crate) const fn room(pages: usize, shapes: &[Shape; CLASSES]) -> usize {
        let further = pages * most_of_a_page(shapes) as usize;
        let blocks = room::<AtomicU16>(pages) + Links::room(pages) + HandTables::room(pages);
        let groups = room::<AtomicU64>(pages + further) + Links::room(pages + further) + Links::room(further);
        blocks + room::<AtomicU32>(pages) + groups
    }

    /// Bytes of tables that are in use by now.
    #[cfg(not(all(loom, feature = "loom")))]
    pub(crate) fn table_bytes(&self) -> usize {
        // Of a page the state, the link, a bit for sweeps, the entry of the map, and the word and the link of a group; of a further group
        // these two, and its owner.
        let pages = self.grown() as usize;
        pages * (2 + 4 + 4 + 8 + 4) + pages / 8 + self.further.used() as usize * (8 + 4 + 4)
    }

    /// Of these, bytes that are not in memory, as far as the operating system says. O(pages).
    #[cfg(not(all(loom, feature = "loom")))]
    pub(crate) fn absent_table_bytes(&self) -> usize {
        self.buddy.tables().absent(self.grown()) + self.further.absent()
    }

    /// A heap that may grow to so many pages, the first of which has the absolute number `first_page`. For models.
    ///
    /// # Errors
    ///
    /// When the tables were not to be had.
    #[cfg(all(loom, feature = "loom"))]
    pub fn new(pages: u32, first_page: u64, shapes: &'static [Shape; CLASSES]) -> Result<Self, Unavailable> {
        Self::in_source(pages, first_page, shapes, Ground::given(), &mut Source::Global)
    }

    /// The same with so many lanes for its runs, however small it is. For models.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(all(loom, feature = "loom"))]
    pub fn with_lanes(
        pages: u32,
        first_page: u64,
        shapes: &'static [Shape; CLASSES],
        lanes: usize,
    ) -> Result<Self, Unavailable> {
        let runs = Self::new(pages, first_page, shapes)?;
        Ok(Self { groups: runs.groups.with_lanes(lanes), ..runs })
    }

    /// A heap of pages that `ground` says whether there is memory for. What the source is asked to add to a ground before has something for
    /// each page, too.
    pub(crate) fn in_source(
        pages: u32,
        first_page: u64,
        shapes: &'static [Shape; CLASSES],
        ground: Ground,
        source: &mut Source,
    ) -> Result<Self, Unavailable> {
        let further = pages * most_of_a_page(shapes);
        let buddy = Buddy::empty(Geometry::new(pages, first_page, Order::MAX), source)?;
        let map = source.table(pages as usize)?;
        let groups = Groups::in_source(pages, further, source)?;
        Ok(Self {
            shapes,
            pages,
            grown: AtomicU32::new(0),
            hint: AtomicU32::new(0),
            resident: CachePadded::new(Resident::new()),
            idle: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            has_swept: AtomicU32::new(0),
            buddy: buddy.with_tables(source.ground(pages, LEAST_STEP)),
            ground,
            map,
            groups,
            further: Further::in_source(further, source)?,
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
    #[cfg(not(all(loom, feature = "loom")))]
    pub(crate) fn committed(&self) -> u32 {
        self.ground.reached().min(self.pages)
    }

    /// Pages of runs without a live slot.
    pub fn idle(&self) -> u32 {
        // Relaxed: a number.
        let idle = self.idle.load(Ordering::Relaxed);
        if idle as i32 > 0 { idle } else { 0 }
    }

    /// The same, and as it is. For models.
    #[cfg(all(loom, feature = "loom"))]
    pub fn idle_or_below_zero(&self) -> i32 {
        // Relaxed: as above.
        self.idle.load(Ordering::Relaxed) as i32
    }

    /// The groups. For models.
    #[cfg(all(loom, feature = "loom"))]
    pub fn groups(&self) -> &Groups<CLASSES> {
        &self.groups
    }

    /// How many further groups there ever were, and how many are in free sets. For models.
    #[cfg(all(loom, feature = "loom"))]
    pub fn further_groups(&self) -> (u32, u32) {
        (self.further.used(), self.further.free())
    }

    /// The blocks of pages. For models.
    #[cfg(all(loom, feature = "loom"))]
    pub fn buddy(&self) -> &Buddy {
        &self.buddy
    }

    /// What a page is: certain for who has a slot or a span that it belongs to.
    #[inline]
    pub fn find(&self, page: u32) -> Found {
        let meaning = self.entry(page).meaning();
        match (self.run_of(page, meaning), meaning) {
            (Some(Owner { class, head, .. }), _) => Found::Run { class, head },
            (None, Meaning::Span { pages }) => Found::Span { pages },
            (None, _) => Found::Nothing,
        }
    }

    /// The run of a page, if it is one of a run: certain for who has a slot of it.
    fn run(&self, page: u32) -> Option<Owner> {
        self.run_of(page, self.entry(page).meaning())
    }

    #[inline]
    fn run_of(&self, page: u32, meaning: Meaning) -> Option<Owner> {
        match meaning {
            Meaning::Run { class, before, home } => Some(Owner { class, head: page.saturating_sub(before), home }),
            // Else the set is free by now.
            Meaning::Several { set } => Some(self.further.owner(set)).filter(|owner| owner.class < CLASSES),
            Meaning::Span { .. } | Meaning::Nothing => None,
        }
    }

    /// The lane that the run of a page is at home in: certain for who has a slot of it. Of what is no run it is the calling thread's.
    pub fn home(&self, page: u32) -> Lane {
        self.run(page).map_or_else(Lane::here, |run| run.home)
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

    /// The set of the run that begins at a page, if it has several groups: certain for who has a slot of it.
    fn set_at(&self, head: u32) -> Option<u32> {
        if let Meaning::Several { set } = self.entry(head).meaning() { Some(set) } else { None }
    }

    /// A group of a run, if it has that: certain for who has a slot of it. The first one is always that of the page.
    pub fn group(&self, part: Part) -> Option<BlockIndex> {
        let Some(number) = part.plane.checked_sub(1) else { return Some(BlockIndex::new(part.head)) };
        let group = self.further.group(self.set_at(part.head)?, number)?;
        Some(BlockIndex::new(self.pages + group))
    }

    /// What a group is of: certain for who has a slot of it.
    fn part(&self, group: BlockIndex) -> Part {
        let Some(further) = group.get().checked_sub(self.pages) else { return Part { head: group.get(), plane: 0 } };
        let head = self.further.owner(further).head;
        let before = self.set_at(head).map_or(0, |set| further.saturating_sub(set));
        Part { head, plane: before + 1 }
    }

    /// Takes up to `most` slots of a class for a thread of a lane, and hands them to `put`, group by group; returns how many. Of runs that are
    /// at home there first; then, if there are other lanes, of a new one, and of what others have left of theirs, in this order or
    /// the other one. The heap does not grow for it. Lock-free.
    pub fn take(&self, class: Class, most: u32, limit: u32, lane: Lane, mut put: impl FnMut(Part, Slots)) -> u32 {
        let put = &mut put;
        let mut taken = self.take_listed(class, most, lane, Whose::Own, put);
        if taken > 0 || !self.groups.are_in_lanes() {
            return taken;
        }
        let rather = self.opens_rather(class, most);
        for opens in [rather, !rather] {
            if taken == 0 {
                taken = match opens {
                    true => self.open(class, most, limit, false, lane, put),
                    false => self.take_listed(class, most, lane, Whose::Others, put),
                };
            }
        }
        taken
    }

    /// The same, of a new run, for which the heap may grow. Lock-free.
    pub fn take_new(&self, class: Class, most: u32, limit: u32, lane: Lane, mut put: impl FnMut(Part, Slots)) -> u32 {
        self.open(class, most, limit, true, lane, &mut put)
    }

    /// Is a new run better than what others have left of theirs? It is where half of a group of it is used at once, or pages that have
    /// memory are many: then what two threads have lies apart, and the heap needs no more for it.
    fn opens_rather(&self, class: Class, most: u32) -> bool {
        let slots = self.shapes[class].slots_of(0).count();
        most >= slots.div_ceil(2) || self.dirty() > self.grown() / PLENTY_PART
    }

    /// Takes up to `most` slots of runs that are open.
    fn take_listed(&self, class: Class, most: u32, lane: Lane, whose: Whose, put: &mut impl FnMut(Part, Slots)) -> u32 {
        let mut taken = 0;
        while taken < most {
            let run_of = |group| self.run(self.part(group).head).map(|run| (run.class, run.home));
            let next = self.groups.take(class, most - taken, lane, whose, run_of);
            let Some((now, group, got)) = next else { break };
            let part = self.part(group);
            if now != class {
                // What stood in the wrong stack stands there no more, so that this comes to an end.
                self.put_back(now, part, got.before, got.slots);
                continue;
            }
            self.count_idle(class, part, got.before, false);
            put(part, got.slots);
            taken += got.slots.count();
        }
        taken
    }

    /// Cuts a new run up, which is at home in a lane. `grows`: the heap may, for it.
    #[cold]
    fn open(
        &self,
        class: Class,
        most: u32,
        limit: u32,
        grows: bool,
        home: Lane,
        put: &mut impl FnMut(Part, Slots),
    ) -> u32 {
        let shape = self.shapes[class];
        let Some((head, _)) = self.take_span(shape.pages, Order::ZERO, limit, grows) else { return 0 };
        let set = match shape.further() {
            0 => None,
            count => {
                let Some(set) = self.further.take(count, Owner { class, head, home }) else {
                    // There are as many as pages may need, but there may be no memory for them.
                    self.release_pages(head, shape.pages);
                    return 0;
                };
                Some(set)
            }
        };
        for before in 0..shape.pages {
            self.set(head + before, set.map_or(Entry::run(class, before, home), Entry::several));
        }
        let mut taken = 0;
        for plane in 0..PLANES {
            let (part, all) = (Part { head, plane }, shape.slots_of(plane));
            let mine = all.lowest(most - taken);
            if !mine.is_empty() {
                put(part, mine);
                taken += mine.count();
            }
            let rest = all.without(mine);
            if !rest.is_empty()
                && let Some(group) = self.group(part)
            {
                // Nobody else had a slot of it.
                _ = self.groups.give(class, group, rest, home);
            }
        }
        taken
    }

    /// Gives slots of a group back, which are the caller's; returns those that were free already. Pages that are free then may go
    /// back to the heap. Lock-free.
    pub fn give(&self, class: Class, part: Part, slots: Slots) -> Slots {
        let shape = self.shapes[class];
        let all = shape.slots_of(part.plane);
        // Whoever has no slot of it has nothing to give.
        let Some(group) = self.group(part) else { return slots };
        // A run of several groups is closed as soon as it can be: it has the smallest slots, so that this does not come often.
        let close = || !shape.is_one_group() || self.is_too_idle(shape.pages);
        let outcome = self.groups.give_or_close(class, group, slots, all, self.home(part.head), close);
        if outcome.closed {
            let mut closed: Closed = [false; PLANES as usize];
            closed[part.plane as usize] = true;
            self.close(class, part.head, closed);
        } else if outcome.full {
            self.count_idle(class, part, all, true);
        }
        outcome.given.twice
    }

    #[cfg_attr(loom, allow(clippy::unnecessary_min_or_max, reason = "the least is 0 there"))]
    fn is_too_idle(&self, more: u32) -> bool {
        let (idle, grown) = (self.idle() + more, self.grown());
        idle > (grown / IDLE_PART).max(LEAST_IDLE) && (idle > grown / CALM_IDLE_PART || !self.resident.is_calm())
    }

    /// Counts a run of one group as idle, or no more, if `free` are all its slots.
    fn count_idle(&self, class: Class, part: Part, free: Slots, more: bool) {
        let shape = self.shapes[class];
        if shape.is_one_group() && free == shape.slots_of(part.plane) {
            // Relaxed, both: a number.
            if more {
                self.idle.fetch_add(shape.pages, Ordering::Relaxed);
            } else {
                self.idle.fetch_sub(shape.pages, Ordering::Relaxed);
            }
        }
    }

    /// Makes a span of so many pages of what is free, if there may be one, and that does not come too often; false, if not. Idle runs
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
    #[cfg(not(all(loom, feature = "loom")))]
    pub fn take_has_swept(&self) -> bool {
        // Relaxed, both: nothing is published by it.
        self.has_swept.load(Ordering::Relaxed) != 0 && self.has_swept.swap(0, Ordering::Relaxed) != 0
    }

    /// Closes the runs that are idle, and merges what two releases at the same moment have missed. O(pages). Lock-free.
    pub fn sweep(&self) {
        self.with_in_hand(|| {
            let grown = self.grown();
            self.close_idle(0..grown);
            self.buddy.sweep_first(grown, None);
        });
    }
}

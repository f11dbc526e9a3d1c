//! The heap as addresses: the pages and slabs of `raw/slabs`, and the live blocks, if releases are checked.

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
use core::ptr::NonNull;

use crate::check::{at, check};
use crate::commit::Commit;
use crate::error::ReleaseError;
use crate::metadata::{Source, Unavailable};
use crate::raw::slabs::live::{Kind, Live, LivePlace, PLACES};
use crate::raw::slabs::{BitmapId, Cycle, Extent, Found, Growth, STRIDE, Slabs, Step};
use crate::raw::{Order, Shard, Slots};
use crate::sys::{self, discard};
use crate::thread;

use super::class::{COUNT, PAGE, SHAPES, SLOTS, size_of_class};

/// Bytes between two places where a block may begin: the smallest size.
const GRANULE: usize = PAGE / PLACES as usize;
const _: () = assert!(GRANULE == size_of_class(0) && COUNT < u8::MAX as usize);

/// Free blocks from this order on are worth a call of the operating system to discard them.
const DISCARDED: Order = match Order::covering(8) {
    Some(order) => order,
    None => Order::ZERO,
};

/// From this many dirty pages on, a span is zeroed by discarding them instead of writing to them. That takes longer,
/// but pages that the user does not touch are not resident then.
const ZEROED_BY_DISCARD: u32 = (32 << 20) / PAGE as u32;

/// The memory of a heap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backing {
    /// It is the system's, so unused pages are zero. Else it is the caller's region.
    pub(super) is_zero: bool,
    /// It is discarded only on request.
    pub(super) stays: bool,
}

/// The pages of an allocator. All threads use it at once, without caches; everything is lock-free.
#[derive(Debug)]
pub(super) struct PageHeap {
    base: *mut u8,
    backing: Backing,
    pub(super) slabs: Slabs<COUNT>,
    /// Where live blocks begin, if releases are checked.
    live: Option<Live>,
}

// SAFETY: it owns its pages as a box does; `base` is for arithmetic.
unsafe impl Send for PageHeap {}
// SAFETY: as above; everything that changes is atomic.
unsafe impl Sync for PageHeap {}

impl PageHeap {
    /// Bytes of an area that the tables for `pages` pages take.
    pub(super) const fn room(pages: usize, checked: bool) -> usize {
        Slabs::room(pages, &SHAPES) + if checked { Live::room(pages) } else { 0 }
    }

    /// Bytes of the tables that are in use.
    pub(super) fn table_bytes(&self) -> usize {
        let live = if self.is_checked() { Live::bytes(self.slabs.grown() as usize) } else { 0 };
        self.slabs.table_bytes() + live
    }

    /// Bytes of these that are not in memory, as far as the operating system tells.
    pub(super) fn absent_table_bytes(&self) -> usize {
        self.slabs.absent_table_bytes()
    }

    /// Bytes of the heap that are in memory; where the operating system does not tell, those that were used and not
    /// discarded.
    pub(super) fn resident_bytes(&self) -> usize {
        // A huge page may reach behind the end of the heap.
        let committed = self.slabs.committed() as usize * PAGE;
        // SAFETY: they are committed, or the caller's.
        let known = unsafe { sys::resident(self.base, committed) };
        known.unwrap_or(self.slabs.resident() as usize * PAGE)
    }

    /// A heap of at most `pages` pages from `base` on, the beginning of a page, that `commit` puts memory behind.
    /// `checked`: the heap knows which blocks are live. At most `limit` pages are in use at once.
    pub(super) fn new(
        base: *mut u8,
        pages: u32,
        limit: u32,
        backing: Backing,
        checked: bool,
        commit: Commit,
        source: &mut Source,
    ) -> Result<Self, Unavailable> {
        // First, so that it is one of the tables that are committed as far as the heap has grown.
        let live = if checked { Some(Live::in_source(pages, source)?) } else { None };
        let slabs = Slabs::in_source(pages, (base.addr() / PAGE) as u64, &SHAPES, commit, source)?.with_limit(limit);
        Ok(Self { base, backing, slabs, live })
    }

    /// Are releases checked?
    pub(super) fn is_checked(&self) -> bool {
        self.live.is_some()
    }

    /// Bytes that it has grown to.
    pub(super) fn bytes(&self) -> usize {
        self.slabs.grown() as usize * PAGE
    }

    /// Bytes of the addresses that it may grow to.
    fn most_bytes(&self) -> usize {
        self.slabs.pages() as usize * PAGE
    }

    /// Bytes that may be in use at once.
    pub(super) fn limit(&self) -> usize {
        self.slabs.limit() as usize * PAGE
    }

    /// Bytes from an address to the end of the heap, as far as it has grown, if its memory is the system's.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    pub(super) fn end_offset(&self, start: NonNull<u8>) -> Option<usize> {
        self.backing.is_zero.then(|| self.base.addr() + self.bytes() - start.addr().get())
    }

    /// The heap grows no more.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    pub(super) fn end_growth(&mut self) {
        self.slabs.end_growth();
    }

    /// Bytes of slabs without a live block.
    pub(super) fn idle_bytes(&self) -> usize {
        self.slabs.idle() as usize * PAGE
    }

    /// Bytes of free pages.
    pub(super) fn free_bytes(&self) -> usize {
        self.slabs.free() as usize * PAGE
    }

    /// Gives the memory behind free pages back to the operating system; returns how many bytes. A region of the
    /// caller's stays.
    pub(super) fn trim(&self) -> usize {
        self.slabs.sweep();
        self.discard(Order::ZERO, Extent::All)
    }

    fn discard(&self, order: Order, extent: Extent) -> usize {
        if !self.backing.is_zero {
            return 0;
        }
        let mut bytes = 0;
        self.slabs.discard(order, extent, |page, pages| {
            let mut discarded = 0;
            let (start, len) = (self.pointer(page), pages as usize * PAGE);
            // SAFETY: pages of the heap.
            let resident = if extent == Extent::All { unsafe { sys::resident(start, len) } } else { None };
            // SAFETY: free pages, which are this thread's until this returns.
            let are_all = unsafe { self.discard_pages(page, pages, &mut discarded) };
            bytes += discarded.min(resident.unwrap_or(len));
            are_all
        });
        bytes
    }

    /// Discards pages, and adds their bytes to `bytes`; false, if not all were discarded.
    ///
    /// # Safety
    ///
    /// They are the caller's.
    unsafe fn discard_pages(&self, page: u32, pages: u32, bytes: &mut usize) -> bool {
        let len = pages as usize * PAGE;
        // SAFETY: the caller vouches for them.
        let discarded = unsafe { discard(self.pointer(page), len) };
        *bytes += discarded;
        if let Some(live) = &self.live {
            let slots = live.slots_of(page, pages);
            // SAFETY: a part of a table in a reservation. It is all zeroes, and stays so while the pages are the
            // caller's: nothing is live there, so a claim sees a zero and changes nothing.
            unsafe { discard(slots.as_ptr().cast_mut().cast(), size_of_val(slots)) };
        }
        discarded == len
    }

    /// The next step of a sweeper's cycle, and how many bytes it discarded. A region of the caller's stays.
    pub(super) fn sweep_step(&self, cycle: &mut Cycle, pages: u32) -> (Step, usize) {
        let mut bytes = 0;
        let step = self.slabs.sweep_step(cycle, pages, |page, pages| {
            // SAFETY: free pages, which are this thread's until this returns.
            self.backing.is_zero && unsafe { self.discard_pages(page, pages, &mut bytes) }
        });
        (step, bytes.saturating_sub(step.clean as usize * PAGE))
    }

    /// Discards dirty pages, if there are too many of them.
    #[inline]
    fn balance(&self) {
        if !self.backing.is_zero || self.backing.stays {
            return;
        }
        let is_excessive = self.slabs.is_excessive();
        if self.slabs.is_over_limit() {
            self.discard(Order::ZERO, Extent::Dirty);
        } else if is_excessive {
            self.discard(DISCARDED, Extent::Half);
        }
    }

    /// Resizes a span in place to `pages` pages.
    pub(super) fn resize_span(&self, address: usize, pages: u32) -> bool {
        let is_resized = self.page_at(address).is_some_and(|page| self.slabs.resize_span(page, pages));
        if is_resized {
            self.balance();
        }
        is_resized
    }

    fn pointer(&self, page: u32) -> *mut u8 {
        self.base.wrapping_add(page as usize * PAGE)
    }

    /// The page of an address, as far as the heap has grown.
    fn page_at(&self, address: usize) -> Option<u32> {
        let page = address.wrapping_sub(self.base.addr()) / PAGE;
        (page < self.slabs.grown() as usize).then_some(page as u32)
    }

    /// The shard of a block's slab.
    pub(super) fn shard_of(&self, block: *mut u8) -> Shard {
        self.page_at(block.addr()).map_or_else(thread::shard, |page| self.slabs.shard_of(page))
    }

    /// The meaning of the page at an address.
    pub(super) fn find(&self, address: usize) -> Found {
        self.page_at(address).map_or(Found::Nothing, |page| self.slabs.find(page))
    }

    /// The class of the block at an address, if it is of a slab. Certain for a thread that has the block.
    #[inline(always)]
    pub(super) fn class_at(&self, address: usize) -> Option<usize> {
        self.slabs.class_at(address.wrapping_sub(self.base.addr()) / PAGE)
    }

    /// The share of a block in the free bytes of its slab.
    pub(super) fn pinned_by(&self, address: usize) -> usize {
        let Found::Slab { class, head } = self.find(address) else { return 0 };
        let (free, taken) = self.slabs.count_slots(class, head);
        (free as usize * size_of_class(class)).checked_div(taken as usize).unwrap_or(0)
    }

    /// Makes a block of the caller live, as this kind.
    #[inline]
    pub(super) fn hand_out(&self, block: *mut u8, kind: Kind) {
        if let Some(live) = &self.live
            && let Some(place) = self.place_at(block.addr())
        {
            live.begin(place, kind);
        }
    }

    /// Claims the block that begins at an address, if it is live, and of `kind`, if one is said. Returns its slab or
    /// span. Only for heaps in which releases are checked.
    ///
    /// # Errors
    ///
    /// When no such block is live there. Nothing has changed.
    pub(super) fn claim(&self, address: usize, kind: Option<Kind>) -> Result<Found, ReleaseError> {
        let claimed = self.live.as_ref().zip(self.place_at(address)).filter(|(live, place)| match kind {
            Some(kind) => live.claim(*place, kind),
            None => live.claim_any(*place),
        });
        // Certain from now on.
        claimed.map(|(_, place)| self.slabs.find(place.page)).ok_or_else(|| self.why_not_live(address))
    }

    /// Why no live block begins at an address, or none of the kind that was said.
    #[cold]
    fn why_not_live(&self, address: usize) -> ReleaseError {
        let Some(page) = self.page_at(address) else {
            let is_inside = address.wrapping_sub(self.base.addr()) < self.most_bytes();
            return if is_inside { ReleaseError::NotLive } else { ReleaseError::Foreign };
        };
        let within = match self.slabs.find(page) {
            Found::Slab { class, head } => {
                let start = self.pointer(head).addr();
                let before = address.wrapping_sub(start) % size_of_class(class);
                (before > 0).then(|| address - before)
            }
            Found::Span { .. } => {
                let before = address.wrapping_sub(self.base.addr()) % PAGE;
                (before > 0).then(|| address - before)
            }
            Found::Nothing => return self.slabs.why_nothing(page).into(),
        };
        let live = self.live.as_ref();
        let is_live =
            |address| live.zip(self.place_at(address)).is_some_and(|(live, place)| live.find(place).is_some());
        if within.is_some_and(is_live) { ReleaseError::Interior } else { ReleaseError::NotLive }
    }

    /// The place of an address, if a block may begin there.
    fn place_at(&self, address: usize) -> Option<LivePlace> {
        let offset = address.wrapping_sub(self.base.addr());
        let number = (offset % PAGE / GRANULE) as u32;
        self.page_at(address).filter(|_| offset.is_multiple_of(GRANULE)).map(|page| LivePlace { page, number })
    }

    /// The slab or span at an address, in a heap that does not know which blocks are live.
    pub(super) fn find_block(&self, address: usize) -> Result<Found, ReleaseError> {
        match self.find(address) {
            Found::Nothing => Err(self.why_not_live(address)),
            found => Ok(found),
        }
    }

    /// Allocates a span of `pages` pages, aligned to 2^`align` of them. The second value: it is known to be zero.
    pub(super) fn alloc_span(&self, pages: u32, align: Order, growth: Growth) -> Option<(*mut u8, bool)> {
        let (head, is_clean) = self.slabs.alloc_span(pages, align, growth)?;
        self.balance();
        Some((self.pointer(head), self.backing.is_zero && is_clean))
    }

    /// Zeroes the first `len` bytes of a span that was allocated just now. Clean pages stay as they are.
    ///
    /// # Safety
    ///
    /// The span is the caller's, and has `len` bytes.
    #[cold]
    pub(super) unsafe fn zero_span(&self, span: *mut u8, len: usize) {
        let pages = len.div_ceil(PAGE) as u32;
        let Some(head) = self.page_at(span.addr()).filter(|_| self.backing.is_zero) else {
            // SAFETY: the caller vouches for them.
            return unsafe { span.write_bytes(0, len) };
        };
        let mut dirty = 0;
        self.slabs.visit_dirty(head, pages, |_, pages| dirty += pages);
        let discards = dirty >= ZEROED_BY_DISCARD && !self.backing.stays;
        self.slabs.visit_dirty(head, pages, |page, pages| {
            let (start, offset) = (self.pointer(page), (page - head) as usize * PAGE);
            let bytes = (pages as usize * PAGE).min(len - offset);
            // SAFETY: both: some of the caller's bytes.
            unsafe { if discards { sys::zero(start, bytes) } else { start.write_bytes(0, bytes) } };
        });
    }

    /// Releases a span that begins at this address.
    pub(super) fn release_span(&self, address: usize) -> bool {
        self.page_at(address).is_some_and(|page| self.slabs.release_span(page))
    }

    /// Takes slots of a class, and returns how many. Where the heap may grow, they are of a new slab.
    pub(super) fn take_slots(&self, class: usize, growth: Growth, out: &mut [*mut u8]) -> usize {
        let size = size_of_class(class);
        let most = out.len() as u32;
        let mut places = out.iter_mut();
        let put = |id: BitmapId, slots: Slots| {
            let first = self.pointer(id.head).wrapping_add((id.nth * STRIDE) as usize * size);
            for slot in slots {
                if let Some(place) = places.next() {
                    *place = first.wrapping_add(slot as usize * size);
                }
            }
        };
        let shard = thread::shard();
        let taken = match growth {
            Growth::No => self.slabs.take(class, most, shard, put),
            growth => self.slabs.take_new(class, most, growth, shard, put),
        };
        self.balance();
        taken as usize
    }

    /// Gives back blocks that caches had. Whatever class they were cached as, each goes back to its own slab, or as a
    /// span. Blocks of one bitmap that follow each other go back at once.
    pub(super) fn give_slots(&self, blocks: &[*mut u8]) {
        let mut rest = blocks.iter().map(|block| block.addr().wrapping_sub(self.base.addr()));
        let mut next = rest.next();
        while let Some(offset) = next {
            let page = (offset / PAGE) as u32;
            let Found::Slab { head, class } = self.slabs.find(page) else {
                // This does not fail: a cached block that is no slot is a span.
                _ = self.slabs.release_span(page);
                next = rest.next();
                continue;
            };
            let (first, bytes) = (head as usize * PAGE, at(&SHAPES, class).pages as usize * PAGE);
            let slot = at(&SLOTS, class).number_at(offset.wrapping_sub(first));
            let (nth, mut slots) = (slot / STRIDE, Slots::one(slot % STRIDE));
            // The slot at an offset, if it is one of the same bitmap.
            let slot_at = |offset: usize| {
                let within = Some(offset.wrapping_sub(first)).filter(|within| *within < bytes)?;
                let slot = at(&SLOTS, class).number_at(within);
                (slot / STRIDE == nth).then(|| Slots::one(slot % STRIDE))
            };
            loop {
                next = rest.next();
                let Some(slot) = next.and_then(slot_at) else { break };
                slots = slots.and(slot);
            }
            let twice = self.slabs.give(class, BitmapId { head, nth }, slots);
            check!(twice.is_empty(), "a block was released twice");
        }
    }
}

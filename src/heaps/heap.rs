//! One heap: a region of addresses, and the buddy system over it. Addresses ↔ indices.

use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use crate::error::{AddHeapError, ReleaseError};
use crate::id::HeapId;
#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::raw::{BlockIndex, Buddy, Geometry, LastFailure, Listing, NotLive, Order, Owner, Shard};
use crate::sync::{Alive, AtomicU8, Ordering, model_or};
use crate::thread;

/// The addresses of a heap, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    base: *mut u8,
    size: usize,
    /// A unit has 2^`address_shift` addresses.
    address_shift: u32,
    /// A unit has 2^`min_shift` bytes. An address is a byte, but in a pool of offsets, where it is a unit.
    min_shift: u32,
    /// The address of the first unit, in units; the end of the address space is one past what a `usize` in bytes
    /// holds.
    first_unit: u64,
    units: u32,
    /// Addresses before the first unit.
    lead: usize,
    /// The user's own.
    word: u64,
}

impl Region {
    /// Checks a region to be cut into units of 2^`min_shift` bytes.
    pub(crate) fn new(base: *mut u8, size: usize, min_shift: u32) -> Result<Self, AddHeapError> {
        let start = base.addr();
        if base.is_null() {
            return Err(AddHeapError::Null);
        }
        if size == 0 {
            return Err(AddHeapError::Empty);
        }
        let max_bytes = u128::from(Geometry::MAX_UNITS) << min_shift;
        let max = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(isize::MAX as usize);
        if size > isize::MAX as usize {
            return Err(AddHeapError::TooLarge { size, max });
        }
        let overflow = AddHeapError::AddressOverflow { base: start, size };
        let last = start.checked_add(size - 1).ok_or(overflow)?;
        // In units: so the end of the address space is a number.
        let first_unit = (start as u64 >> min_shift) + u64::from(start & ((1 << min_shift) - 1) != 0);
        let end_unit = (last as u64 >> min_shift) + u64::from(!last & ((1 << min_shift) - 1) == 0);
        match end_unit.saturating_sub(first_unit) {
            0 => Err(AddHeapError::TooSmall { base: start, size, min_block: 1 << min_shift }),
            units => match u32::try_from(units) {
                Ok(units) => {
                    // The difference is less than a unit, whatever wraps.
                    let lead = ((first_unit << min_shift) as usize).wrapping_sub(start);
                    Ok(Self { base, size, address_shift: min_shift, min_shift, first_unit, units, lead, word: 0 })
                }
                Err(_) => Err(AddHeapError::TooLarge { size, max }),
            },
        }
    }

    /// A region of offsets, whose addresses are units: `units` from the address `first` on, which is neither null nor
    /// so large that they go past the end of the address space. `first_unit` is the number of the first one in its
    /// space.
    pub(crate) fn of_units(first: NonZeroUsize, units: u32, first_unit: u64, min_shift: u32, word: u64) -> Self {
        Self {
            base: ptr::without_provenance_mut(first.get()),
            // There is room for them behind `first`.
            size: units as usize,
            address_shift: 0,
            min_shift,
            first_unit,
            units,
            lead: 0,
            word,
        }
    }

    /// The user's own word.
    pub(crate) fn word(&self) -> u64 {
        self.word
    }

    /// The number of its first unit in its space.
    pub(crate) fn first_unit(&self) -> u64 {
        self.first_unit
    }

    /// The first address.
    pub(crate) fn start(&self) -> usize {
        self.base.addr()
    }

    /// The last address. A region may end with the address space.
    pub(crate) fn last(&self) -> usize {
        self.start() + (self.size - 1)
    }

    #[inline]
    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start()) < self.size
    }

    /// Does it share addresses with these `size` bytes?
    pub(crate) fn meets(&self, base: usize, size: usize) -> bool {
        size > 0 && self.start() <= base + (size - 1) && base <= self.last()
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.start() <= other.last() && other.start() <= self.last()
    }

    /// Units of it.
    pub(crate) fn units(&self) -> u32 {
        self.units
    }
}

/// One heap of a pool.
#[derive(Debug)]
pub(crate) struct Heap {
    pub(crate) id: HeapId,
    /// The number of its first unit in the pool, for the caches. `None`: the pool's numbers were used up.
    start: Option<u32>,
    region: Region,
    /// The pointer to the first unit, derived from the base that the user gave.
    first: *mut u8,
    buddy: Buddy,
    /// For each tile, the cache whose blocks lie there. A hint.
    tiles: Table<AtomicU8>,
    /// The last certified failure of an allocation from this heap alone.
    last_failure: LastFailure,
    alive: Alive,
}

// SAFETY: the pointers are for arithmetic only; no method reads or writes through them.
unsafe impl Send for Heap {}
// SAFETY: as above; all that changes is atomic.
unsafe impl Sync for Heap {}

impl Heap {
    /// Units with states in the same two cache lines, which processors fetch in pairs. Two threads with blocks of one
    /// tile slow each other down.
    /// Under loom two: no model has 64 units.
    pub(crate) const TILE: u32 = model_or(2, 64);

    pub(crate) fn new(region: Region, max_order: Order, source: &mut Source) -> Result<Self, Unavailable> {
        let buddy = Buddy::in_source(Geometry::new(region.units, region.first_unit, max_order), source)?;
        Ok(Self {
            id: HeapId(0),
            start: None,
            region,
            first: region.base.wrapping_add(region.lead),
            tiles: source.table(Self::tiles(region.units as usize))?,
            buddy,
            last_failure: LastFailure::new(),
            alive: Alive::default(),
        })
    }

    const fn tiles(units: usize) -> usize {
        units / Self::TILE as usize + 1
    }

    /// Most bytes that the tables of `units` units take.
    #[cfg(not(modelled))]
    pub(crate) const fn room(units: usize) -> usize {
        Buddy::room(units) + room::<AtomicU8>(Self::tiles(units))
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// It tells on the board what it has from now on. For a heap that others don't see yet.
    pub(crate) fn list(&mut self, listing: Listing) {
        self.buddy.list(listing);
    }

    #[inline]
    pub(crate) fn buddy(&self) -> &Buddy {
        &self.buddy
    }

    /// The number of its first unit in the pool. Units of a pool are numbered heap after heap. A heap without numbers
    /// is used without caches.
    #[inline]
    pub(crate) fn start(&self) -> Option<u32> {
        self.start
    }

    /// Sets [`start`](Self::start). For a heap that others don't see yet.
    pub(crate) fn set_start(&mut self, start: Option<u32>) {
        self.start = start;
    }

    /// A thread has come to the heap; for models.
    #[inline]
    pub(crate) fn touch(&self) {
        self.alive.touch();
    }

    /// The heap is about to be freed; for models.
    pub(crate) fn end_of_life(&self) {
        self.alive.end();
    }

    /// The pointer to its first unit, derived from the base that the user gave.
    pub(crate) fn first(&self) -> *mut u8 {
        self.first
    }

    /// The block that begins at the unit of this number in the pool, if that is in this heap.
    pub(crate) fn numbered(&self, number: u32) -> Option<BlockIndex> {
        let unit = number.wrapping_sub(self.start?);
        (unit < self.region.units).then(|| BlockIndex::new(unit))
    }

    /// One past the number of its last unit.
    pub(crate) fn end(&self) -> Option<u64> {
        self.start.map(|start| u64::from(start) + u64::from(self.region.units))
    }

    /// The cache that carved up the tile of a block. A hint.
    pub(crate) fn tile_owner(&self, block: BlockIndex) -> Owner {
        // Relaxed: a hint.
        Owner::from_code(self.tiles[(block.get() / Self::TILE) as usize].load(Ordering::Relaxed))
    }

    /// The shard in which the owner of a block's tile looks first.
    pub(crate) fn shard(&self, block: BlockIndex) -> Shard {
        thread::shard_of(self.tile_owner(block))
    }

    /// A cache took this block for its own: the tile is its from now on.
    pub(crate) fn set_tile_owner(&self, block: BlockIndex, owner: Owner) {
        if self.tile_owner(block) != owner {
            // Relaxed: a hint.
            self.tiles[(block.get() / Self::TILE) as usize].store(owner.code(), Ordering::Relaxed);
        }
    }

    pub(crate) fn last_failure(&self) -> &LastFailure {
        &self.last_failure
    }

    /// Bytes of all its units.
    pub(crate) fn capacity(&self) -> u64 {
        u64::from(self.region.units) << self.region.min_shift
    }

    /// The address of a block.
    #[inline]
    pub(crate) fn pointer(&self, block: BlockIndex) -> NonNull<u8> {
        let pointer = self.first.wrapping_add(block.place() << self.region.address_shift);
        // SAFETY: a region begins above null and does not wrap around, and the block is inside.
        unsafe { NonNull::new_unchecked(pointer) }
    }

    /// Bytes between the base that the user gave and a block.
    pub(crate) fn offset(&self, block: BlockIndex) -> u64 {
        self.region.lead as u64 + (u64::from(block.get()) << self.region.min_shift)
    }

    /// The block that may begin at an address of this heap.
    #[inline]
    pub(crate) fn block_at(&self, address: usize) -> Result<BlockIndex, ReleaseError> {
        let offset = address.wrapping_sub(self.first.addr());
        let unit = offset >> self.region.address_shift;
        if offset & ((1 << self.region.address_shift) - 1) != 0 || unit >= self.region.units as usize {
            return Err(self.misplaced_slow(unit));
        }
        Ok(BlockIndex::new(unit as u32))
    }

    /// Why no block begins at an address inside `unit`, or in the ends of the heap that no block fits into.
    #[cold]
    fn misplaced_slow(&self, unit: usize) -> ReleaseError {
        if unit >= self.region.units as usize {
            return ReleaseError::NotLive;
        }
        self.inside_slow(BlockIndex::new(unit as u32))
    }

    /// Why no block begins inside `unit`.
    #[cold]
    pub(crate) fn inside_slow(&self, unit: BlockIndex) -> ReleaseError {
        match self.buddy.live_class(unit) {
            Ok(_) => ReleaseError::Interior,
            Err(reason) => reason.into(),
        }
    }
}

impl From<NotLive> for ReleaseError {
    fn from(reason: NotLive) -> Self {
        match reason {
            NotLive::Interior => Self::Interior,
            NotLive::Vacant => Self::NotLive,
        }
    }
}

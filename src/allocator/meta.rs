//! Memory for the allocator's own caches, bins and magazines, whose number nobody knows beforehand. A freed block
//! becomes a block of the same size again, or several smaller ones.

use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::check::at;
use crate::commit::Commit;
use crate::metadata::{Source, Unavailable};
use crate::raw::BlockIndex;
use crate::raw::stack::{Chain, FreeStack, Links};
use crate::raw::watermark::Watermark;

/// Bytes of the smallest size.
const GRANULE: usize = 64;
/// Number of sizes: from 64 bytes to 16 KiB.
const SIZES: usize = 9;

/// Memory is committed for at least this many granules at once.
const LEAST_STEP: u32 = (64 << 10) / GRANULE as u32;

/// A size of metadata: [`GRANULE`] by a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MetaSize(usize);

impl MetaSize {
    /// The smallest size of at least `bytes` bytes; [`LARGEST`](Self::LARGEST), if there is none.
    pub(super) const fn covering(bytes: usize) -> Self {
        let mut size = 0;
        while size < SIZES - 1 && GRANULE << size < bytes {
            size += 1;
        }
        Self(size)
    }

    /// The size of this [`number`](Self::number).
    pub(super) const fn of_number(number: usize) -> Self {
        Self(number)
    }

    /// Its number, from 0.
    pub(super) const fn number(self) -> usize {
        self.0
    }

    /// Bytes of this size.
    pub(super) const fn bytes(self) -> usize {
        GRANULE << self.0
    }

    /// Bytes of the largest size.
    pub(super) const LARGEST: usize = GRANULE << (SIZES - 1);
}

/// Metadata of any number, in one range of zeroed memory.
#[derive(Debug)]
pub(super) struct Meta {
    base: NonNull<u8>,
    granules: u32,
    /// The next granule that was never used.
    watermark: Watermark,
    links: Links,
    commit: Commit,
    /// Free blocks of each size.
    free: [CachePadded<FreeStack>; SIZES],
}

// SAFETY: it owns its memory as a box does.
unsafe impl Send for Meta {}
// SAFETY: as above; everything that changes is atomic.
unsafe impl Sync for Meta {}

impl Meta {
    /// Bytes of an area that the tables for `bytes` bytes take.
    pub(super) const fn room(bytes: usize) -> usize {
        Links::room(bytes / GRANULE)
    }

    /// Metadata in the `bytes` bytes from `base` on.
    ///
    /// # Safety
    ///
    /// They lie in the reservation of `source`'s area; if it has none, they are memory. Nobody else uses them.
    pub(super) unsafe fn new(base: NonNull<u8>, bytes: usize, source: &mut Source) -> Result<Self, Unavailable> {
        let granules = u32::try_from(bytes / GRANULE).unwrap_or(u32::MAX - 1);
        let links = Links::of(granules, source)?;
        // SAFETY: the caller vouches for them.
        unsafe { source.add_to_commit(base, bytes) };
        Ok(Self {
            base,
            granules,
            watermark: Watermark::default(),
            links,
            commit: source.commit(granules, LEAST_STEP),
            free: core::array::from_fn(|_| CachePadded::default()),
        })
    }

    /// Bytes that were ever used.
    pub(super) fn bytes(&self) -> usize {
        self.watermark.next() as usize * GRANULE
    }

    /// A block of this size, zeroed, or as its last owner left it. `None`: there is none. Lock-free.
    pub(super) fn alloc(&self, size: MetaSize) -> Option<NonNull<u8>> {
        let granule = match at(&self.free, size.0).pop(&self.links).or_else(|| self.split(size)) {
            Some(block) => block.get(),
            None => self.take_watermark(1 << size.0)?,
        };
        Some(self.place(granule))
    }

    /// At least `bytes` bytes, zeroed, which are never freed.
    pub(super) fn alloc_for_ever(&self, bytes: usize) -> Option<NonNull<u8>> {
        let granules = u32::try_from(bytes.div_ceil(GRANULE)).ok()?;
        Some(self.place(self.take_watermark(granules)?))
    }

    fn take_watermark(&self, granules: u32) -> Option<u32> {
        self.watermark.take(granules, self.granules, |end| self.commit.cover(end))
    }

    /// Splits the smallest larger block that is free: returns its lowest part, and frees one block of each size in
    /// between.
    fn split(&self, size: MetaSize) -> Option<BlockIndex> {
        let (larger, block) =
            (size.0 + 1..SIZES).find_map(|larger| Some((larger, at(&self.free, larger).pop(&self.links)?)))?;
        for part in size.0..larger {
            at(&self.free, part).push(&self.links, Chain::new(BlockIndex::new(block.get() + (1 << part))));
        }
        Some(block)
    }

    fn place(&self, granule: u32) -> NonNull<u8> {
        // SAFETY: one of the granules.
        unsafe { self.base.add(granule as usize * GRANULE) }
    }

    fn node(&self, block: NonNull<u8>) -> BlockIndex {
        BlockIndex::new((block.addr().get().wrapping_sub(self.base.addr().get()) / GRANULE) as u32)
    }

    /// Frees a block of this size.
    pub(super) fn free(&self, block: NonNull<u8>, size: MetaSize) {
        self.push(at::<CachePadded<FreeStack>>(&self.free, size.0), block);
    }

    /// Pushes a block of the caller onto a stack. The stack may be the caller's own.
    pub(super) fn push(&self, stack: &FreeStack, block: NonNull<u8>) {
        stack.push(&self.links, Chain::new(self.node(block)));
    }

    /// Is a stack of the caller empty? A hint.
    pub(super) fn is_empty(&self, stack: &FreeStack) -> bool {
        stack.is_empty(&self.links)
    }

    /// Takes the top of a stack that has only blocks from [`push`](Self::push).
    pub(super) fn pop(&self, stack: &FreeStack) -> Option<NonNull<u8>> {
        Some(self.place(stack.pop(&self.links)?.get()))
    }
}

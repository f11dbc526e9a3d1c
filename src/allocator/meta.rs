//! Memory for what the allocator needs itself and the number of which nobody knows beforehand: caches, their bins, magazines.
//! A piece that was freed becomes a piece of the same size again, or several of smaller ones.

use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::commit::Commit;
use crate::metadata::{Source, Unavailable};
use crate::raw::BlockIndex;
use crate::raw::stack::{Chain, FreeStack, Links};
use crate::raw::watermark::Watermark;

/// Bytes of the smallest piece.
const GRANULE: usize = 64;
/// Sizes: 64 bytes to 16 KiB.
const SIZES: usize = 9;

/// Memory is asked for, for so many granules at least.
const LEAST_STEP: u32 = (64 << 10) / GRANULE as u32;

/// A size of pieces, as a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MetaSize(usize);

impl MetaSize {
    /// The smallest size of at least `bytes` bytes; at most [`LARGEST`](Self::LARGEST).
    pub(super) const fn covering(bytes: usize) -> Self {
        let mut size = 0;
        while size < SIZES - 1 && GRANULE << size < bytes {
            size += 1;
        }
        Self(size)
    }

    /// The size of this number, as [`number`](Self::number) tells it.
    pub(super) const fn of_number(number: usize) -> Self {
        Self(number)
    }

    /// Which of the sizes it is, from 0.
    pub(super) const fn number(self) -> usize {
        self.0
    }

    /// Bytes of a piece.
    pub(super) const fn bytes(self) -> usize {
        GRANULE << self.0
    }

    /// Bytes of the largest pieces.
    pub(super) const LARGEST: usize = GRANULE << (SIZES - 1);
}

/// Pieces, all of them within one stretch of zeroed memory.
#[derive(Debug)]
pub(super) struct Meta {
    base: NonNull<u8>,
    granules: u32,
    /// Those that were never used.
    watermark: Watermark,
    links: Links,
    /// How many granules there is memory for.
    commit: Commit,
    free: [CachePadded<FreeStack>; SIZES],
}

// SAFETY: it owns its memory as a box does.
unsafe impl Send for Meta {}
// SAFETY: as above; all that changes is atomic.
unsafe impl Sync for Meta {}

impl Meta {
    /// Bytes that tables for so many bytes take in an area.
    pub(super) const fn room(bytes: usize) -> usize {
        Links::room(bytes / GRANULE)
    }

    /// Pieces of the `bytes` bytes from `base` on.
    ///
    /// # Safety
    ///
    /// They lie in the reservation that `source` has its area in; if it has none, they are memory. Nobody else uses them.
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

    /// Bytes of all pieces there ever were.
    pub(super) fn bytes(&self) -> usize {
        self.watermark.next() as usize * GRANULE
    }

    /// A piece; zeroed, or as the last owner left it. `None`: there are no more. Lock-free.
    pub(super) fn alloc(&self, size: MetaSize) -> Option<NonNull<u8>> {
        let granule = match self.free[size.0].pop(&self.links).or_else(|| self.split(size)) {
            Some(piece) => piece.get(),
            None => self.take_watermark(1 << size.0)?,
        };
        Some(self.place(granule))
    }

    /// Zeroed memory of at least so many bytes, which is never freed.
    pub(super) fn alloc_for_ever(&self, bytes: usize) -> Option<NonNull<u8>> {
        let granules = u32::try_from(bytes.div_ceil(GRANULE)).ok()?;
        Some(self.place(self.take_watermark(granules)?))
    }

    fn take_watermark(&self, granules: u32) -> Option<u32> {
        self.watermark.take(granules, self.granules, |end| self.commit.reach(end))
    }

    /// The lower part of the smallest free piece that is larger; the rest of it is free, as one piece of each size in between.
    fn split(&self, size: MetaSize) -> Option<BlockIndex> {
        let (larger, piece) =
            (size.0 + 1..SIZES).find_map(|larger| Some((larger, self.free[larger].pop(&self.links)?)))?;
        for part in size.0..larger {
            self.free[part].push(&self.links, Chain::new(BlockIndex::new(piece.get() + (1 << part))));
        }
        Some(piece)
    }

    fn place(&self, granule: u32) -> NonNull<u8> {
        // SAFETY: a granule of the meta.
        unsafe { self.base.add(granule as usize * GRANULE) }
    }

    fn node(&self, piece: NonNull<u8>) -> BlockIndex {
        BlockIndex::new((piece.addr().get().wrapping_sub(self.base.addr().get()) / GRANULE) as u32)
    }

    /// Frees a piece of this meta, which had this size.
    pub(super) fn free(&self, piece: NonNull<u8>, size: MetaSize) {
        self.free[size.0].push(&self.links, Chain::new(self.node(piece)));
    }

    /// Puts a piece that nobody else has into a stack of the caller's own.
    pub(super) fn push(&self, stack: &FreeStack, piece: NonNull<u8>) {
        stack.push(&self.links, Chain::new(self.node(piece)));
    }

    /// Has a stack of the caller's own nothing, as far as one can tell?
    pub(super) fn is_empty(&self, stack: &FreeStack) -> bool {
        stack.is_empty(&self.links)
    }

    /// Takes the top of a stack that only [`push`](Self::push) puts pieces into.
    pub(super) fn pop(&self, stack: &FreeStack) -> Option<NonNull<u8>> {
        let piece = stack.pop(&self.links)?;
        Some(self.place(piece.get()))
    }
}

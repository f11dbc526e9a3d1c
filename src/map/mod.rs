//! The blocks of a pool, one by one, and pictures of them.

mod cells;
#[cfg(feature = "alloc")]
mod drawing;
#[cfg(feature = "alloc")]
mod svg;
mod text;

use crate::heaps::Heaps;
use crate::id::HeapId;
use crate::raw::{Class, Kind, State};
use crate::units::saturated;

/// Where tests have a huge heap, how many bytes that is, and what they are called.
#[cfg(test)]
const HUGE: (usize, &str) = if usize::BITS > 32 { (1 << (usize::BITS - 24), "1 TiB") } else { (1 << 30, "1 GiB") };

#[cfg(feature = "alloc")]
pub use svg::SvgMap;
pub use text::TextMap;

/// What a block is.
///
/// # Examples
///
/// ```
/// use mempool::{BlockState, MemoryPool};
///
/// let pool = MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// assert!(!pool.hl_alloc(1024).is_null());
/// let live = pool.heap_map().filter(|block| block.state == BlockState::Live);
/// assert_eq!(live.map(|block| block.size).sum::<usize>(), 1024);
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BlockState {
    /// Anyone may have it.
    Free,
    /// It is in a thread's cache.
    Cached,
    /// It is with the user.
    Live,
    /// A part of a block that some thread was splitting, merging or resizing.
    InTransit,
}

/// What a scan has seen, in the user's terms. A unit in transit counts as a smallest block.
fn look(seen: State) -> (BlockState, Class) {
    match seen.kind() {
        Kind::Inner => (BlockState::InTransit, Class::UNIT),
        Kind::Free => (BlockState::Free, seen.order().into()),
        Kind::Cached => (BlockState::Cached, seen.class()),
        Kind::Live => (BlockState::Live, seen.class()),
        // The block was another one when the scan came to its beginning.
        Kind::Tail => (BlockState::Live, seen.order().into()),
    }
}

/// One block of a heap.
///
/// # Examples
///
/// ```
/// use mempool::{BlockState, MemoryPool};
///
/// let pool = MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// let block = pool.heap_map().next().expect("the heap has a block");
/// assert_eq!((block.offset, block.size, block.state), (0, 4096, BlockState::Free));
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Block {
    /// The heap that it is in.
    pub heap: HeapId,
    /// Bytes between the heap's base, as given to `add_heap`, and the block. `usize::MAX` if a `usize` can't count
    /// them, as in a large range of offsets.
    pub offset: usize,
    /// Its order: it has 2^order smallest blocks, or more, but not twice as many.
    pub order: u32,
    /// Its size in bytes.
    pub size: usize,
    /// What it is.
    pub state: BlockState,
}

/// The blocks of a pool, made by [`MemoryPool::heap_map`](crate::MemoryPool::heap_map): heap by heap in the order in
/// which those were added, and ascending by address within a heap.
///
/// Each block existed at one moment. All of them existed at once only if nobody changed anything. Within a heap the
/// blocks follow each other without a gap. A heap that is removed meanwhile ends there.
///
/// # Examples
///
/// ```
/// let pool = mempool::MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// assert!(!pool.hl_alloc(1024).is_null());
/// let sizes: Vec<usize> = pool.heap_map().map(|block| block.size).collect();
/// assert_eq!(sizes, [1024, 1024, 2048]);
/// print!("{}", pool.heap_map().text(64, 4));
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeapMap<'a> {
    heaps: &'a Heaps,
    min_shift: u32,
    /// The heap of the next block, and the unit where it begins.
    next: (HeapId, u64),
}

impl<'a> HeapMap<'a> {
    pub(crate) fn new(heaps: &'a Heaps, min_shift: u32) -> Self {
        Self { heaps, min_shift, next: (HeapId(0), 0) }
    }

    /// A picture of all heaps in characters, wherever the iterator stands: for each heap up to `rows` rows of up to
    /// `columns` cells, with a scale and the heap's figures.
    ///
    /// `columns` is rounded down to a power of two, so that rows begin at round offsets. Both are clamped to
    /// `1..=1024`. The text is plain unless [`colored`](TextMap::colored). The blocks are looked at when it is
    /// formatted, each time anew; nothing is allocated for it.
    ///
    /// # Progress
    ///
    /// Lock-free: it begins anew only where a heap is added or removed as it begins.
    ///
    /// # Complexity
    ///
    /// O(blocks + heaps × rows × columns) for the formatting.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// # #[repr(align(8192))]
    /// # struct Aligned([u8; 8192]);
    /// # let mut heap = Aligned([0; 8192]);
    /// # let heap = &mut heap.0;
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?; // 8 KiB, aligned to 8 KiB
    /// let block = pool.hl_alloc(2048);
    /// assert_eq!(
    ///     pool.heap_map().text(32, 4).to_string(),
    ///     "\
    /// heap 0: 8 KiB, each character 64 B
    ///    0x0 ████████████████████████████████
    ///  0x800 ································
    /// 0x1000 ································
    /// 0x1800 ································
    /// live 2 KiB (25.0 %), cached 0 B, free 6 KiB, largest free block 4 KiB
    /// · free  ░ up to 1/3 live  ▒ up to 2/3  ▓ more  █ all live  c cached only  t in transit
    /// "
    /// );
    /// # assert!(!block.is_null());
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn text(&self, columns: usize, rows: usize) -> TextMap<'a> {
        TextMap::new(self.heaps, self.min_shift, columns, rows)
    }

    /// A picture of all heaps as a self-contained SVG document, wherever the iterator stands.
    ///
    /// One panel for each heap, with its figures. Blocks that are large enough are drawn one by one, and the largest
    /// bear their size; where blocks are smaller than a column of the picture, the column is filled from below by
    /// as much as is live or cached. The document has less than a megabyte, however many blocks there are; of more
    /// than 32 heaps, only the first 32 are shown. The blocks are looked at when it is formatted, each time anew.
    ///
    /// # Progress
    ///
    /// Lock-free, as [`text`](Self::text), except for the global allocator: formatting allocates the whole document.
    ///
    /// # Complexity
    ///
    /// O(blocks) for the formatting.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 1 << 16];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.hl_alloc(2048);
    /// let picture = pool.heap_map().svg().title("after one allocation");
    /// let svg = picture.to_string();
    /// assert!(svg.starts_with("<svg ") && svg.contains("after one allocation"));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "alloc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "alloc")))]
    pub fn svg(&self) -> SvgMap<'a> {
        SvgMap::new(self.heaps, self.min_shift)
    }
}

impl Iterator for HeapMap<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let pinned = self.heaps.pin();
        loop {
            let (id, unit) = self.next;
            let heap = pinned.view().from(id)?;
            let mut scan = heap.buddy().scan_from(if heap.id == id { unit } else { 0 });
            let Some((block, seen)) = scan.next() else {
                self.next = (heap.id.next(), 0);
                continue;
            };
            self.next = (heap.id, scan.at());
            let (state, class) = look(seen);
            let (order, size) = (class.order().get(), saturated(u64::from(class.units()) << self.min_shift));
            return Some(Block { heap: heap.id, offset: saturated(heap.offset(block)), order, size, state });
        }
    }
}

impl core::iter::FusedIterator for HeapMap<'_> {}

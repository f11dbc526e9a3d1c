//! The backend of a `ShmProvider`: a pool over a segment of zenoh's POSIX shared memory.
//!
//! A subscriber maps the segment by zenoh's own client and finds a message by its place in it. So it needs nothing of
//! the pool, whose tables are in the publisher's memory.

use std::alloc::Layout;
use std::sync::Arc;

use mempool::MemoryPool;
use zenoh::Wait;
use zenoh::shm::{
    AllocAlignment, AllocatedChunk, ChunkAllocResult, ChunkDescriptor, ChunkID, MemoryLayout, PosixShmProviderBackend,
    ProtocolID, PtrInSegment, SegmentID, ShmProviderBackend, WithProtocolID, ZAllocError, ZLayoutError,
};

/// Bytes that zenoh's backend needs for itself before it hands out the rest of a segment as one chunk.
const MAKER: usize = 64 << 10;

/// A pool as a backend. Copies of it share the pool.
#[derive(Clone, Debug)]
pub struct PoolBackend {
    pool: Arc<MemoryPool>,
    /// The memory of the pool's one heap. It keeps the segment.
    heap: Arc<PtrInSegment>,
    protocol: ProtocolID,
    segment: SegmentID,
    /// The place of the heap in the segment.
    start: ChunkID,
}

impl PoolBackend {
    /// A heap of `size` bytes in a segment of its own.
    pub fn new(size: usize) -> zenoh::Result<Self> {
        // Only zenoh's own backends make segments. This one hands all of it out as one chunk, and is not asked again.
        let maker = PosixShmProviderBackend::builder(size + MAKER).wait()?;
        let whole = maker.alloc(&MemoryLayout::new(size, AllocAlignment::new(12)?)?)?;
        // Of powers of two, which are the fastest. `Sizes::Eighths` waste less of a segment that is scarce.
        let pool = MemoryPool::builder().min_block(256).build()?;
        pool.add_heap(whole.data.ptr().cast_mut(), size)?;
        let ChunkDescriptor { segment, chunk: start, .. } = whole.descriptor;
        Ok(Self { pool: Arc::new(pool), heap: Arc::new(whole.data), protocol: maker.id(), segment, start })
    }

    /// The pool, to look at.
    pub fn pool(&self) -> &MemoryPool {
        &self.pool
    }
}

impl WithProtocolID for PoolBackend {
    fn id(&self) -> ProtocolID {
        self.protocol
    }
}

impl ShmProviderBackend for PoolBackend {
    fn alloc(&self, layout: &MemoryLayout) -> ChunkAllocResult {
        let (size, align) = (layout.size(), layout.alignment().get_alignment_value());
        let wanted = Layout::from_size_align(size.get(), align.get()).map_err(|_| ZAllocError::Other)?;
        // A pool merges what is free before it says no, so to defragment would be of no use.
        let block = self.pool.alloc(wanted).map_err(|_| ZAllocError::OutOfMemory)?;
        let place = block.addr().get() - self.heap.ptr().addr();
        let chunk = self.start + place as ChunkID;
        let data = PtrInSegment::new(block.as_ptr(), self.heap.clone());
        Ok(AllocatedChunk::new(ChunkDescriptor::new(self.segment, chunk, size), data))
    }

    fn free(&self, chunk: &ChunkDescriptor) {
        let place = chunk.chunk.wrapping_sub(self.start) as usize;
        let block = self.heap.ptr().cast_mut().wrapping_add(place);
        self.pool.hl_release(block).expect("zenoh frees what it was given, once");
    }

    fn defragment(&self) -> usize {
        self.pool.flush_thread_cache();
        self.pool.sweep().largest_after
    }

    fn available(&self) -> usize {
        let stats = self.pool.stats();
        stats.free + stats.cached
    }

    fn layout_for(&self, layout: MemoryLayout) -> Result<MemoryLayout, ZLayoutError> {
        // Any alignment will do.
        Ok(layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1 << 20;

    fn layout(size: usize, align: u8) -> MemoryLayout {
        let align = AllocAlignment::new(align).expect("a power of two");
        MemoryLayout::new(size, align).expect("a multiple of its alignment")
    }

    #[test]
    fn chunks_lie_in_the_segment_and_apart_until_none_is_left() {
        let backend = PoolBackend::new(SIZE).expect("a segment");
        assert_eq!(backend.available(), SIZE);
        let mut chunks = Vec::new();
        for size in (1..40).cycle().map(|number| number * 512) {
            let wanted = backend.layout_for(layout(size, 9)).expect("any layout");
            match backend.alloc(&wanted) {
                Ok(chunk) => {
                    assert!(chunk.data.ptr().addr().is_multiple_of(512));
                    assert!(chunk.descriptor.len.get() >= size);
                    chunks.push((chunk.descriptor.chunk as usize, chunk.descriptor));
                }
                Err(ZAllocError::OutOfMemory) => break,
                Err(other) => panic!("{other}"),
            }
        }
        // In zenoh's own words: no two share a byte, and the first and the last are within the segment.
        chunks.sort_by_key(|(place, _)| *place);
        assert!(chunks.windows(2).all(|pair| pair[0].0 + pair[0].1.len.get() <= pair[1].0));
        let (first, last) = (&chunks[0].0, chunks.last().expect("some"));
        assert!(last.0 + last.1.len.get() <= first + SIZE);
        assert!(SIZE - backend.available() >= chunks.iter().map(|(_, chunk)| chunk.len.get()).sum());

        for (_, chunk) in chunks {
            backend.free(&chunk);
        }
        assert_eq!((backend.available(), backend.defragment()), (SIZE, largest(&backend)));
    }

    /// The largest block of an untouched heap at that address.
    fn largest(backend: &PoolBackend) -> usize {
        let fresh = MemoryPool::builder().min_block(256).build().expect("valid");
        fresh.add_heap(backend.heap.ptr().cast_mut(), SIZE).expect("nothing looks at it");
        fresh.largest_free_block()
    }

    #[test]
    #[should_panic(expected = "once")]
    fn a_chunk_that_is_freed_twice_is_told() {
        let backend = PoolBackend::new(SIZE).expect("a segment");
        let chunk = backend.alloc(&layout(1000, 0)).expect("room").descriptor;
        backend.free(&chunk);
        backend.free(&chunk);
    }
}

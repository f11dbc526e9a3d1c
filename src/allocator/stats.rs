//! Figures of an allocator.

use core::fmt;

use crate::units::Bytes;

/// What a [`PoolAllocator`](crate::PoolAllocator) has, in bytes, at one moment; while others allocate, about so much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllocatorStats {
    /// What the heap may grow to.
    pub limit: usize,
    /// The heap now.
    pub heap: usize,
    /// Of that, free: in no block, and in no cache.
    pub free: usize,
    /// Of that, kept for blocks of one size class until it is needed elsewhere.
    pub idle: usize,
    /// The allocator's own tables and caches, besides the heap.
    pub metadata: usize,
    /// Caches of threads, also of such that are gone.
    pub caches: usize,
    /// Releases and reallocations that it refused since it was made. A [checked](crate::AllocatorBuilder::checked) allocator refuses
    /// all that are wrong; another one those of addresses at which it sees that nothing can be.
    pub refused_releases: u64,
}

impl fmt::Display for AllocatorStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, heap, free, idle, metadata, caches, refused_releases } = *self;
        let [limit, heap, free, idle, metadata] = [limit, heap, free, idle, metadata].map(|bytes| Bytes(bytes as u64));
        write!(
            f,
            "heap {heap} (at most {limit}), free {free}, of that idle {idle}; metadata {metadata}; {caches} caches"
        )?;
        if refused_releases > 0 { write!(f, "; {refused_releases} releases refused") } else { Ok(()) }
    }
}

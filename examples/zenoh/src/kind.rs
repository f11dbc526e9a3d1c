//! The backends that are beside each other, and how fast they are alone.

use std::fmt;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use clap::ValueEnum;
use zenoh::Wait;
use zenoh::shm::{
    ChunkAllocResult, ChunkDescriptor, MemoryLayout, PosixShmProviderBackendBinaryHeap, PosixShmProviderBackendBuddy,
    PosixShmProviderBackendTalc, ProtocolID, ShmProviderBackend, WithProtocolID, ZLayoutError,
};

use crate::backend::PoolBackend;
use crate::message::random_size;

/// Which allocator a backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// zenoh's default
    Talc,
    /// zenoh's on `buddy_system_allocator`
    Buddy,
    /// zenoh's first one
    BinaryHeap,
    /// ours
    Heapmaster,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Talc, Self::Buddy, Self::BinaryHeap, Self::Heapmaster];

    pub fn name(self) -> &'static str {
        match self {
            Self::Talc => "talc (zenoh's default)",
            Self::Buddy => "buddy",
            Self::BinaryHeap => "binary heap",
            Self::Heapmaster => "heapmaster",
        }
    }

    /// A backend over `heap` bytes of shared memory.
    pub fn backend(self, heap: usize) -> zenoh::Result<Backend> {
        Ok(match self {
            Self::Talc => Backend::of(PosixShmProviderBackendTalc::builder(heap).wait()?),
            Self::Buddy => Backend::of(PosixShmProviderBackendBuddy::builder(heap).wait()?),
            Self::BinaryHeap => Backend::of(PosixShmProviderBackendBinaryHeap::builder(heap).wait()?),
            Self::Heapmaster => {
                let backend = PoolBackend::new(heap)?;
                Backend { pool: Some(backend.clone()), ..Backend::of(backend) }
            }
        })
    }
}

/// A backend of any kind.
pub struct Backend {
    any: Box<dyn ShmProviderBackend + Send + Sync>,
    /// Ours, to look at.
    pub pool: Option<PoolBackend>,
}

impl Backend {
    fn of(backend: impl ShmProviderBackend + Send + Sync + 'static) -> Self {
        Self { any: Box::new(backend), pool: None }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl WithProtocolID for Backend {
    fn id(&self) -> ProtocolID {
        self.any.id()
    }
}

impl ShmProviderBackend for Backend {
    fn alloc(&self, layout: &MemoryLayout) -> ChunkAllocResult {
        self.any.alloc(layout)
    }

    fn free(&self, chunk: &ChunkDescriptor) {
        self.any.free(chunk);
    }

    fn defragment(&self) -> usize {
        self.any.defragment()
    }

    fn available(&self) -> usize {
        self.any.available()
    }

    fn layout_for(&self, layout: MemoryLayout) -> Result<MemoryLayout, ZLayoutError> {
        self.any.layout_for(layout)
    }
}

/// Chunks a second that so many threads allocate and free, without messages: each has 256 at once, and replaces one at
/// random.
pub fn alone(kind: Kind, heap: usize, threads: usize, chunks: u64) -> zenoh::Result<f64> {
    const LIVE: usize = 256;
    let backend = &kind.backend(heap)?;
    let start = &Barrier::new(threads + 1);
    let begun = thread::scope(|scope| {
        for number in 0..threads {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(number as u64);
                let mut chunk = || {
                    let layout = MemoryLayout::try_from(random_size(random.u64(..))).expect("some bytes");
                    let layout = backend.layout_for(layout).expect("any layout");
                    let chunk = backend.alloc(&layout).or_else(|_| {
                        // zenoh's binary heap merges only when it is told to.
                        backend.defragment();
                        backend.alloc(&layout)
                    });
                    chunk.expect("the heap is ample").descriptor
                };
                let mut live: Vec<_> = (0..LIVE).map(|_| chunk()).collect();
                let mut random = fastrand::Rng::with_seed(number as u64);
                start.wait();
                for _ in 0..chunks / threads as u64 {
                    let place = random.usize(..LIVE);
                    backend.free(&live[place]);
                    live[place] = chunk();
                }
                live.iter().for_each(|chunk| backend.free(chunk));
            });
        }
        start.wait();
        Instant::now()
    });
    Ok(chunks as f64 / begun.elapsed().as_secs_f64())
}

//! The contenders: allocators in one region, which one thread uses, with the layouts that it asks for.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{self, NonNull};

use buddy_system_allocator::LockedHeap;
use mempool::{MemoryPool, ResizeError, Sizes};
use rlsf::Tlsf;
use spinning_top::RawSpinlock;
use talc::TalcLock;
use talc::source::Manual;

/// An allocator in a region.
pub trait InRegion {
    /// A block for `layout`, whose size is not 0; null if there is none.
    fn alloc(&mut self, layout: Layout) -> *mut u8;

    /// Releases a block.
    ///
    /// # Safety
    ///
    /// It is a live block of this allocator, asked for with this layout, and used no more.
    unsafe fn release(&mut self, block: *mut u8, layout: Layout);

    /// Resizes a block in the allocator's own way, to a size above 0; null if it can't, and the block stays.
    ///
    /// # Safety
    ///
    /// As `release`.
    unsafe fn resize(&mut self, block: *mut u8, layout: Layout, size: usize) -> *mut u8;
}

/// An entry of the table.
#[derive(Debug)]
pub struct Contender {
    pub label: &'static str,
    /// Its smallest block, if it is this crate's pool, whose tables lie outside of the heap.
    pub min_block: Option<usize>,
    make: unsafe fn(*mut u8, usize) -> Box<dyn InRegion>,
}

/// In the order of the table.
pub const CONTENDERS: &[Contender] = &[
    Contender { label: "heapmaster", min_block: Some(64), make: |base, size| pool(64, Sizes::PowersOfTwo, base, size) },
    Contender {
        label: "heapmaster, 16 B",
        min_block: Some(16),
        make: |base, size| pool(16, Sizes::PowersOfTwo, base, size),
    },
    Contender {
        label: "heapmaster, eighths",
        min_block: Some(64),
        make: |base, size| pool(64, Sizes::Eighths, base, size),
    },
    Contender {
        label: "heapmaster, eighths, 16 B",
        min_block: Some(16),
        make: |base, size| pool(16, Sizes::Eighths, base, size),
    },
    Contender { label: "talc", min_block: None, make: talc },
    Contender { label: "rlsf", min_block: None, make: rlsf },
    Contender { label: "buddy_system_allocator", min_block: None, make: buddies },
];

impl Contender {
    /// Over one region.
    ///
    /// # Safety
    ///
    /// The region is readable and writable, and nobody else's as long as the allocator and its blocks are used.
    pub unsafe fn make(&self, base: *mut u8, size: usize) -> Box<dyn InRegion> {
        // SAFETY: the same contract.
        unsafe { (self.make)(base, size) }
    }

    /// Bytes of tables outside of a heap of `size` bytes, as documented: 6 for each smallest block, and 1 for 64 of
    /// them. The others have all that grows with the heap inside of it.
    pub fn tables(&self, size: usize) -> usize {
        self.min_block.map_or(0, |min_block| {
            let units = size / min_block;
            6 * units + units.div_ceil(8) + units.div_ceil(64)
        })
    }
}

fn pool(min_block: usize, sizes: Sizes, base: *mut u8, size: usize) -> Box<dyn InRegion> {
    let builder = MemoryPool::builder().min_block(min_block).sizes(sizes);
    let pool = builder.build().expect("a size of blocks that is allowed");
    pool.add_heap(base, size).expect("a region that holds a block");
    Box::new(pool)
}

unsafe fn talc(base: *mut u8, size: usize) -> Box<dyn InRegion> {
    let heap = TalcLock::<RawSpinlock, _>::new(Manual);
    // SAFETY: the caller vouches for the region.
    unsafe { heap.lock().claim(base, size) }.expect("the region is large enough");
    Box::new(Global(heap))
}

unsafe fn buddies(base: *mut u8, size: usize) -> Box<dyn InRegion> {
    let heap = LockedHeap::<32>::new();
    // SAFETY: the caller vouches for the region.
    unsafe { heap.lock().init(base.expose_provenance(), size) };
    Box::new(Global(heap))
}

unsafe fn rlsf(base: *mut u8, size: usize) -> Box<dyn InRegion> {
    let mut heap = Tlsf::<'static, u32, u32, 26, 32>::new();
    let whole = NonNull::new(ptr::slice_from_raw_parts_mut(base, size)).expect("a region");
    // SAFETY: the caller vouches for the region.
    unsafe { heap.insert_free_block_ptr(whole) }.expect("the region is large enough");
    Box::new(heap)
}

impl InRegion for MemoryPool {
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        MemoryPool::alloc(self, layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn release(&mut self, block: *mut u8, _: Layout) {
        self.hl_release(block).expect("a live block is released");
    }

    /// As `hl_resize`, which knows of no alignment.
    unsafe fn resize(&mut self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match self.resize_in_place(NonNull::new(block).expect("a block"), size) {
            Ok(_) => return block,
            Err(error) => assert!(matches!(error, ResizeError::NoRoom { .. }), "{error}"),
        }
        let new_layout = Layout::from_size_align(size, layout.align()).expect("a size of a trace");
        let new = InRegion::alloc(self, new_layout);
        if !new.is_null() {
            // SAFETY: both are blocks of at least that length, and no two blocks overlap.
            unsafe { new.copy_from_nonoverlapping(block, layout.size().min(size)) };
            // SAFETY: the caller vouches for the block.
            unsafe { InRegion::release(self, block, layout) };
        }
        new
    }
}

/// An implementation of `GlobalAlloc`, called as a program calls it.
struct Global<A>(A);

impl<A: GlobalAlloc> InRegion for Global<A> {
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not 0.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn release(&mut self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller vouches for the block.
        unsafe { self.0.dealloc(block, layout) };
    }

    unsafe fn resize(&mut self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for the block; the size is not 0.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

impl InRegion for Tlsf<'static, u32, u32, 26, 32> {
    fn alloc(&mut self, layout: Layout) -> *mut u8 {
        self.allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn release(&mut self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller vouches for the block.
        unsafe { self.deallocate(NonNull::new(block).expect("a block"), layout.align()) };
    }

    unsafe fn resize(&mut self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let layout = Layout::from_size_align(size, layout.align()).expect("a size of a trace");
        // SAFETY: the caller vouches for the block.
        let new = unsafe { self.reallocate(NonNull::new(block).expect("a block"), layout) };
        new.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

//! Allocators over a region that the user gives, as this crate is.

use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};
use std::sync::Mutex;

use buddy_system_allocator::LockedHeap;
use frame_alloc::{AllocError, PageSize, PhysicalAllocator, Provenance, RegionInit, SummaryBuddyAllocator};
use recordings::Region;
use rlsf::Tlsf;
use spinning_top::RawSpinlock;
use talc::TalcLock;
use talc::source::Manual;

use super::general::{Global, layout};
use crate::subject::{Subject, moved};

/// A region for the rest of the program: base and size.
pub fn region(size: usize) -> (*mut u8, usize) {
    let region = ManuallyDrop::new(Region::new(size).expect("there is memory for the region"));
    (region.base(), region.size())
}

/// talc behind a spin lock, as its documentation shows it for several threads.
pub type Talc = Global<&'static TalcLock<RawSpinlock, Manual>>;

/// One with a region of `size` bytes.
pub fn talc(size: usize) -> Talc {
    let heap = Box::leak(Box::new(TalcLock::new(Manual)));
    let (base, size) = region(size);
    // SAFETY: the region is readable and writable, nobody else's, and never freed.
    unsafe { heap.lock().claim(base, size) }.expect("the region is large enough");
    Global(heap)
}

/// The locked heap of `buddy_system_allocator`.
pub fn locked_buddy(size: usize) -> Global<&'static LockedHeap<31>> {
    let heap = Box::leak(Box::new(LockedHeap::new()));
    let (base, size) = region(size);
    // SAFETY: the region is readable and writable, nobody else's, and never freed.
    unsafe { heap.lock().init(base.expose_provenance(), size) };
    Global(heap)
}

/// rlsf's pool for one thread, behind a mutex.
#[derive(Debug)]
pub struct Rlsf {
    // Blocks up to 2 GiB.
    heap: Mutex<Tlsf<'static, u32, u32, 26, 32>>,
}

impl Rlsf {
    pub fn new(size: usize) -> Self {
        let (base, size) = region(size);
        let mut heap = Tlsf::new();
        let whole = ptr::slice_from_raw_parts_mut(base, size);
        // SAFETY: the region is readable and writable, nobody else's, and never freed.
        unsafe { heap.insert_free_block_ptr(NonNull::new(whole).expect("a region")) }
            .expect("the region is large enough");
        Self { heap: Mutex::new(heap) }
    }
}

impl Subject for Rlsf {
    #[inline]
    fn alloc(&self, size: u32) -> *mut u8 {
        let block = self.heap.lock().expect("no panic under the lock").allocate(layout(size));
        block.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn release(&self, block: *mut u8, size: u32) {
        // SAFETY: the caller vouches for the block, which is not null, and for the size, hence the alignment.
        unsafe {
            let block = NonNull::new_unchecked(block);
            self.heap.lock().expect("no panic under the lock").deallocate(block, layout(size).align());
        }
    }

    #[inline]
    unsafe fn resize(&self, block: *mut u8, old_size: u32, size: u32) -> *mut u8 {
        if layout(old_size).align() != layout(size).align() {
            // SAFETY: the same contract.
            return unsafe { moved(self, block, old_size, size) };
        }
        // SAFETY: as for `release`, and the alignment stays.
        let new = unsafe {
            let block = NonNull::new_unchecked(block);
            self.heap.lock().expect("no panic under the lock").reallocate(block, layout(size))
        };
        new.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// frame-alloc is made for the page frames of a kernel. Its frames may have any power of two of bytes and its requests
/// several frames, so that it can do all of the work here, with frames as large as this crate's smallest blocks.
pub struct Frames {
    frames: SummaryBuddyAllocator<ORDERS, Exposed>,
}

const FRAME: PageSize = PageSize::from_log2(6);
/// Blocks up to 1 GiB.
const ORDERS: usize = 25;
/// It may fail while there is memory, if others keep changing what it looks at; its documentation says to try again.
const ATTEMPTS: usize = 1000;

/// Addresses in a region whose provenance was exposed.
struct Exposed;

// SAFETY: the only addresses that are given are those of a region, all of which `Frames::new` has exposed.
unsafe impl Provenance for Exposed {
    unsafe fn create(address: usize) -> NonNull<u8> {
        NonNull::new(ptr::with_exposed_provenance_mut(address)).expect("an address in a region")
    }

    unsafe fn destroy<T>(pointer: NonNull<T>) -> usize {
        pointer.addr().get()
    }
}

fn frames(size: u32) -> NonZeroUsize {
    NonZeroUsize::new((size as usize).div_ceil(FRAME.bytes())).expect("a size above 0")
}

impl Frames {
    pub fn new(size: usize) -> Self {
        let (base, size) = region(size);
        let frames = SummaryBuddyAllocator::new(FRAME);
        // SAFETY: the region is readable and writable through its exposed base, nobody else's, and never freed; no
        // other thread has the allocator yet.
        unsafe { frames.init_region(base.expose_provenance(), size) };
        Self { frames }
    }

    #[cold]
    fn alloc_slow(&self, frames: NonZeroUsize) -> *mut u8 {
        let mut attempts = (0..ATTEMPTS).map(|_| {
            std::thread::yield_now();
            self.frames.allocate_physical(FRAME, frames)
        });
        attempts.find_map(Result::ok).map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }
}

impl Subject for Frames {
    #[inline]
    fn alloc(&self, size: u32) -> *mut u8 {
        match self.frames.allocate_physical(FRAME, frames(size)) {
            Ok(address) => ptr::with_exposed_provenance_mut(address),
            Err(AllocError::OutOfMemory) => self.alloc_slow(frames(size)),
            Err(AllocError::InvalidPageSize | AllocError::RequestTooLarge) => ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn release(&self, block: *mut u8, size: u32) {
        // SAFETY: the caller vouches for the block and the size, hence for the number of frames.
        unsafe { self.frames.deallocate_physical(FRAME, frames(size), block.addr()) };
    }
}

//! Do blocks overlap? Every subject must pass, and the same check finds the allocators that are left out for it.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::Mutex;
use std::thread;

use branch_allocator::{Atomic, BranchAllocator};

use crate::seed::Random;
use crate::subject::Subject;
use crate::subjects::{ALL, region};

/// The live blocks, by address.
#[derive(Debug, Default)]
struct Shadow(BTreeMap<usize, u32>);

/// A block was handed out that lies on a live one: addresses and sizes.
#[derive(Debug, PartialEq, Eq)]
struct Overlap {
    new: (usize, u32),
    live: (usize, u32),
}

impl Shadow {
    fn take(&mut self, at: usize, size: u32) -> Result<(), Overlap> {
        let before_end = self.0.range(..at + size as usize).next_back();
        match before_end.map(|(live, live_size)| (*live, *live_size)) {
            Some((live, live_size)) if live + live_size as usize > at => {
                Err(Overlap { new: (at, size), live: (live, live_size) })
            }
            _ => {
                self.0.insert(at, size);
                Ok(())
            }
        }
    }

    fn give_back(&mut self, at: usize) {
        self.0.remove(&at).expect("the block is live");
    }
}

/// What a program does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate(u32),
    /// Releases the block of this number, of those that are live, in the order of allocation.
    Release(usize),
}

/// A live block and the byte that it was filled with.
#[derive(Debug)]
struct Filled {
    at: *mut u8,
    size: u32,
    byte: u8,
}

impl Filled {
    /// Allocates a block; `None` if there is none. It is looked up in the shadow before anything is written to it.
    fn new(subject: &dyn Subject, shadow: &Mutex<Shadow>, size: u32, byte: u8) -> Result<Option<Self>, Overlap> {
        let at = subject.alloc(size);
        if at.is_null() {
            return Ok(None);
        }
        assert_eq!(at.addr() % if size >= 8 { 8 } else { 1 }, 0, "a block of {size} bytes at {at:?}");
        shadow.lock().unwrap().take(at.addr(), size)?;
        // SAFETY: the block is that long.
        unsafe { at.write_bytes(byte, size as usize) };
        Ok(Some(Self { at, size, byte }))
    }

    fn check(&self) {
        // SAFETY: the block is that long, and all were written.
        let bytes = unsafe { std::slice::from_raw_parts(self.at, self.size as usize) };
        assert!(bytes.iter().all(|byte| *byte == self.byte), "a block of {} bytes was overwritten", self.size);
    }

    fn release(self, subject: &dyn Subject, shadow: &Mutex<Shadow>) {
        self.check();
        // Before another thread can have it.
        shadow.lock().unwrap().give_back(self.at.addr());
        // SAFETY: it is a live block of this size, and not used any more.
        unsafe { subject.release(self.at, self.size) };
    }

    fn resize(&mut self, subject: &dyn Subject, shadow: &Mutex<Shadow>, size: u32) -> Result<(), Overlap> {
        self.check();
        shadow.lock().unwrap().give_back(self.at.addr());
        // SAFETY: it is a live block of this size, and nobody else uses it.
        let at = unsafe { subject.resize(self.at, self.size, size) };
        assert!(!at.is_null());
        shadow.lock().unwrap().take(at.addr(), size)?;
        *self = Self { at, size: self.size.min(size), byte: self.byte };
        self.check();
        // SAFETY: the block is that long.
        unsafe { at.write_bytes(self.byte, size as usize) };
        self.size = size;
        Ok(())
    }
}

/// Runs a program.
fn run(subject: &dyn Subject, program: &[Step]) -> Result<(), Overlap> {
    let shadow = Mutex::default();
    let mut blocks = Vec::new();
    for (number, step) in program.iter().enumerate() {
        match *step {
            Step::Allocate(size) => blocks.extend(Filled::new(subject, &shadow, size, number as u8)?),
            Step::Release(place) => {
                if place < blocks.len() {
                    blocks.remove(place).release(subject, &shadow);
                }
            }
        }
    }
    blocks.into_iter().for_each(|block| block.release(subject, &shadow));
    Ok(())
}

/// Random allocations, releases and resizings of many sizes, by `threads` threads, which exchange blocks.
fn run_random(label: &str, subject: &dyn Subject, threads: u64, random: &Random) -> Result<(), Overlap> {
    const STEPS: usize = 20_000;
    const LIVE: usize = 200;
    let shadow = Mutex::default();
    let left: Mutex<Vec<Sent>> = Mutex::default();
    let work = |mut random: Random| {
        let mut blocks: Vec<Sent> = Vec::new();
        for _ in 0..STEPS {
            let most = 8 << random.below(12);
            let size = 1 + random.below(most) as u32;
            let place = random.below(LIVE);
            match random.below(32) {
                0 => std::mem::swap(&mut blocks, &mut left.lock().unwrap()),
                1..4 if place < blocks.len() => blocks[place].0.resize(subject, &shadow, size)?,
                _ if place < blocks.len() => blocks.swap_remove(place).0.release(subject, &shadow),
                _ => {
                    let block = Filled::new(subject, &shadow, size, random.next() as u8)?;
                    blocks.push(Sent(block.unwrap_or_else(|| panic!("{label}: no block of {size} bytes"))));
                }
            }
        }
        blocks.into_iter().for_each(|block| block.0.release(subject, &shadow));
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(random.stream(number)))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap())
    })?;
    left.into_inner().unwrap().into_iter().for_each(|block| block.0.release(subject, &shadow));
    assert!(shadow.into_inner().unwrap().0.is_empty());
    Ok(())
}

/// A block that goes to another thread.
struct Sent(Filled);

// SAFETY: a block is its holder's, whatever thread that is.
unsafe impl Send for Sent {}

/// The programs that find the faults of the allocators below.
const TAKE_OVER_A_NEIGHBOUR: &[Step] = &[Step::Allocate(64), Step::Allocate(64), Step::Release(0), Step::Allocate(256)];
const SMALL_THEN_LARGE: &[Step] = &[Step::Allocate(64), Step::Allocate(512)];

#[test]
fn no_subject_hands_out_blocks_that_overlap() {
    let random = Random::from_environment();
    for entry in ALL {
        let made = entry.make();
        let subject: &dyn Subject = &*made;
        for program in [TAKE_OVER_A_NEIGHBOUR, SMALL_THEN_LARGE] {
            assert_eq!(run(subject, program), Ok(()), "{}", entry.label);
        }
        for threads in [1, 2] {
            assert_eq!(
                run_random(entry.label, subject, threads, &random),
                Ok(()),
                "{} on {threads} threads",
                entry.label
            );
        }
    }
}

#[test]
fn the_shadow_sees_every_overlap_and_no_other() {
    let mut shadow = Shadow::default();
    for (at, size) in [(100, 10), (120, 10), (110, 10)] {
        assert_eq!(shadow.take(at, size), Ok(()));
    }
    shadow.give_back(110);
    for (new, live) in
        [((100, 10), 100), ((95, 6), 100), ((109, 1), 100), ((105, 2), 100), ((110, 11), 120), ((90, 99), 120)]
    {
        assert_eq!(shadow.take(new.0, new.1), Err(Overlap { new, live: (live, 10) }));
    }
    assert_eq!(shadow.take(110, 10), Ok(()));
    assert_eq!(shadow.take(99, 1), Ok(()));
}

/// A heap of 16 units of 64 bytes.
const UNIT: usize = 64;
const HEAP_ORDER: usize = 4;

fn order(size: u32) -> usize {
    (size as usize).div_ceil(UNIT).next_power_of_two().ilog2() as usize
}

/// branch_allocator, which is asked for a block at a place, asked for one place after the other.
struct Branches {
    units: BranchAllocator<'static>,
    base: *mut u8,
}

// SAFETY: the base is only a base for pointers; the allocator is one for several threads.
unsafe impl Sync for Branches {}

impl Branches {
    fn new() -> Self {
        let storage: Vec<Atomic> = (0..BranchAllocator::required(HEAP_ORDER)).map(|_| Atomic::new(0)).collect();
        let units = BranchAllocator::new(storage.leak(), HEAP_ORDER).expect("the storage is large enough");
        Self { units, base: region(UNIT << HEAP_ORDER).0 }
    }
}

impl Subject for Branches {
    fn alloc(&self, size: u32) -> *mut u8 {
        let mut places = (0..1 << HEAP_ORDER).step_by(1 << order(size));
        let found = places.find(|place| self.units.try_allocate(*place, order(size)).is_some());
        found.map_or(ptr::null_mut(), |place| self.base.wrapping_add(place * UNIT))
    }

    unsafe fn release(&self, block: *mut u8, size: u32) {
        let place = (block.addr() - self.base.addr()) / UNIT;
        self.units.deallocate(place, order(size)).expect("the block is live");
    }
}

/// It is left out of the comparison for this: an allocation takes no notice of live blocks inside it, once another
/// one of them was released.
#[test]
fn branch_allocator_hands_out_blocks_that_overlap() {
    let subject = Branches::new();
    let base = subject.base.addr();
    let overlap = Overlap { new: (base, 256), live: (base + UNIT, 64) };
    assert_eq!(run(&subject, TAKE_OVER_A_NEIGHBOUR), Err(overlap));
}

/// lock_free_buddy_allocator, which builds with nightly compilers only.
#[cfg(feature = "nightly")]
mod lock_free_buddy {
    use std::alloc::Global;

    use lock_free_buddy_allocator::buddy_alloc::BuddyAlloc;
    use lock_free_buddy_allocator::cpuid::Cpu;

    use super::*;

    struct OneCpu;

    impl Cpu for OneCpu {
        fn current_cpu() -> usize {
            0
        }
    }

    struct Buddies {
        units: BuddyAlloc<'static, OneCpu, Global, UNIT>,
        base: *mut u8,
    }

    // SAFETY: the base is only a base for pointers; the allocator is one for several threads.
    unsafe impl Sync for Buddies {}

    impl Subject for Buddies {
        fn alloc(&self, size: u32) -> *mut u8 {
            self.units.alloc(order(size)).map_or(ptr::null_mut(), |address| self.base.with_addr(address))
        }

        unsafe fn release(&self, block: *mut u8, size: u32) {
            self.units.free(block.addr(), order(size)).expect("the block is live");
        }
    }

    /// It is left out of the comparison for this: two allocations and no release, and the second lies on the first.
    #[test]
    fn lock_free_buddy_allocator_hands_out_blocks_that_overlap() {
        let (base, _) = region(UNIT << HEAP_ORDER);
        let units = BuddyAlloc::new(base.addr() / UNIT, HEAP_ORDER as u8, &Global).expect("there is memory");
        let subject = Buddies { units, base };
        let overlap = Overlap { new: (base.addr(), 512), live: (base.addr(), 64) };
        assert_eq!(run(&subject, SMALL_THEN_LARGE), Err(overlap));
    }
}

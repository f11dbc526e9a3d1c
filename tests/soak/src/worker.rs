//! A thread that allocates and releases blocks, whose sizes drift. It allocates nothing else and waits for nobody, so
//! that a worker which is stopped stops no other one.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{self, NonNull};

use fastrand::Rng;
use mempool::HeapId;

use crate::world::{Count, LIMIT, PILE, World};

/// The origin of a block.
#[derive(Clone, Copy, Debug)]
enum From {
    Pool,
    Offsets,
    Allocator(usize),
}

/// A live block. It knows its address, and its memory does as well.
#[derive(Debug)]
pub struct Block {
    from: From,
    /// The address or offset.
    at: u64,
    size: usize,
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

impl Block {
    fn pointer(&self) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.at as usize)
    }

    /// The first and the last word of its memory.
    fn words(&self) -> [*mut u64; 2] {
        let has = !matches!(self.from, From::Offsets);
        let last = self.pointer().wrapping_add((self.size - 8) / 8 * 8);
        if has { [self.pointer().cast(), last.cast()] } else { [ptr::null_mut(); 2] }
    }

    fn signed(self) -> Self {
        for word in self.words().into_iter().filter(|word| !word.is_null()) {
            // SAFETY: a word of a live block, which is this thread's.
            unsafe { word.write(self.at ^ self.size as u64) };
        }
        self
    }

    fn check(&self) {
        for word in self.words().into_iter().filter(|word| !word.is_null()) {
            // SAFETY: as above.
            assert_eq!(unsafe { word.read() }, self.at ^ self.size as u64, "another one wrote to {self:?}");
        }
    }

    pub fn release(self, world: &World, count: &mut Count) {
        self.check();
        match self.from {
            From::Pool => {
                world.pool.hl_release(self.pointer()).expect("it is live");
                count.pool[1] += 1;
            }
            From::Offsets => world.offsets.release(self.at).expect("it is live"),
            // SAFETY: it is live, of this layout, and given up.
            From::Allocator(number) => unsafe { world.allocators[number].dealloc(self.pointer(), layout(self.size)) },
        }
    }

    /// In place, or elsewhere, or not at all.
    fn resize(&mut self, world: &World, size: usize) {
        self.check();
        match self.from {
            From::Pool => {
                let block = NonNull::new(self.pointer()).expect("no block is null");
                self.size = world.pool.resize_in_place(block, size).map_or(self.size, |_| size);
            }
            From::Offsets => {
                self.size = world.offsets.resize_in_place(self.at, size as u64).map_or(self.size, |_| size)
            }
            From::Allocator(number) => {
                // SAFETY: it is live, and of this layout.
                let new = unsafe { world.allocators[number].realloc(self.pointer(), layout(self.size), size) };
                if !new.is_null() {
                    // SAFETY: the first word was copied.
                    let first = unsafe { new.cast::<u64>().read() };
                    assert_eq!(first, self.at ^ self.size as u64, "a copy of {self:?}");
                    (self.at, self.size) = (new.expose_provenance() as u64, size);
                }
            }
        }
        *self = Self { from: self.from, at: self.at, size: self.size }.signed();
    }
}

#[derive(Debug)]
pub struct Worker<'a> {
    world: &'a World,
    random: Rng,
    live: Vec<Block>,
    bytes: usize,
    /// The logarithm of sizes in the mean.
    mean: f64,
    /// So many bytes it tries to have.
    wish: f64,
    most: f64,
    pub count: Count,
}

/// Most blocks of one worker.
const MOST: usize = 20_000;

impl<'a> Worker<'a> {
    /// A worker that has at most about `most` bytes and `blocks` blocks.
    pub fn new(world: &'a World, seed: u64, most: f64, blocks: usize) -> Self {
        let mut random = Rng::with_seed(seed);
        let (mean, wish) = (5.0 + 9.0 * random.f64(), most * random.f64());
        Self {
            world,
            random,
            live: Vec::with_capacity(blocks.min(MOST)),
            bytes: 0,
            mean,
            wish,
            most,
            count: Count::default(),
        }
    }

    /// A worker of which `threads` together may ask for more than there is.
    pub fn greedy(world: &'a World, seed: u64, threads: u64) -> Self {
        // Two allocators, a pool of as much, and a space.
        Self::new(world, seed, 4.0 * 1.2 * LIMIT as f64 / threads as f64, MOST)
    }

    fn size(&mut self) -> usize {
        let tail = if self.random.u8(..) == 0 { 6.0 } else { 2.0 };
        let log = self.mean + tail * (self.random.f64() + self.random.f64() - 1.0);
        (log.clamp(4.0, 21.0).exp2() as usize).max(16)
    }

    /// A block of any origin, or of one heap.
    fn alloc(&mut self, heap: Option<HeapId>) {
        let (world, size) = (self.world, self.size());
        let from = match self.random.u8(..8) {
            _ if heap.is_some() => From::Pool,
            0..3 => From::Pool,
            3 => From::Offsets,
            number => From::Allocator(usize::from(number % 2)),
        };
        let got = match (from, heap) {
            (From::Pool, Some(heap)) => world.pool.alloc_in(heap, layout(size)).ok().map(|block| block.as_ptr()),
            (From::Pool, None) => Some(world.pool.hl_alloc(size)),
            (From::Offsets, _) => {
                let got = world.offsets.alloc(size as u64, 1).ok();
                got.map(|offset| ptr::without_provenance_mut(offset as usize))
            }
            // SAFETY: the size is not 0.
            (From::Allocator(number), _) => Some(unsafe { world.allocators[number].alloc(layout(size)) }),
        };
        let is_none = |block: &*mut u8| block.is_null() && !matches!(from, From::Offsets);
        let Some(block) = got.filter(|block| !is_none(block)) else {
            self.count.failures += 1;
            // There is less than it wished for.
            self.wish *= 0.75;
            return;
        };
        self.count.allocations += 1;
        self.count.pool[0] += u64::from(matches!(from, From::Pool));
        self.bytes += size;
        self.live.push(Block { from, at: block.expose_provenance() as u64, size }.signed());
    }

    fn release(&mut self) {
        if !self.live.is_empty() {
            let block = self.live.swap_remove(self.random.usize(..self.live.len()));
            self.bytes -= block.size.min(self.bytes);
            block.release(self.world, &mut self.count);
        }
    }

    /// Leaves some blocks to others, and takes some of theirs. Another one may have the pile: then not now.
    fn exchange(&mut self) {
        let Ok(mut pile) = self.world.pile.try_lock() else { return };
        for _ in 0..self.random.usize(..20) {
            if pile.len() < PILE
                && let Some(block) = self.live.pop()
            {
                self.bytes -= block.size.min(self.bytes);
                pile.push(block);
            }
        }
        for _ in 0..self.random.usize(..20) {
            if self.live.len() < self.live.capacity() && !pile.is_empty() {
                let number = self.random.usize(..pile.len());
                let block = pile.swap_remove(number);
                self.bytes += block.size;
                self.live.push(block);
            }
        }
    }

    /// One operation.
    pub fn step(&mut self) {
        match self.random.u16(..4096) {
            0 => self.world.pool.flush_thread_cache(),
            1..16 => {
                self.mean = (self.mean + self.random.f64() - 0.5).clamp(4.5, 16.0);
                self.wish = (self.wish + self.most * 0.1 * (self.random.f64() - 0.5)).clamp(0.0, self.most);
            }
            16..64 => self.exchange(),
            64..500 if !self.live.is_empty() => {
                let (size, place) = (self.size(), self.random.usize(..self.live.len()));
                let before = self.live[place].size;
                self.live[place].resize(self.world, size);
                self.bytes = (self.bytes + self.live[place].size).saturating_sub(before);
            }
            _ if self.bytes as f64 > self.wish || self.live.len() == self.live.capacity() => self.release(),
            number if number % 3 == 0 => self.release(),
            _ => self.alloc(None),
        }
    }

    /// Uses a heap that came, and leaves nothing of its own in it.
    pub fn use_heap(&mut self, heap: HeapId) {
        (0..50).for_each(|_| self.alloc(Some(heap)));
        while !self.live.is_empty() {
            self.release();
        }
    }

    /// Leaves about half to others, and releases the rest.
    pub fn end(mut self) {
        self.exchange();
        while !self.live.is_empty() {
            self.release();
        }
        self.world.count.add(self.count);
    }
}

//! A program's allocations and releases, played by one thread, and what the pool has in between.
//!
//! A sweeper may take part: it has a pass at certain places of the trace, each over all of the heap, while the player
//! waits. So it does what it does, and all runs are the same.

use std::alloc::Layout;
use std::error::Error;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use mempool::{BlockState, Budget, MemoryPool, ResizeError, Sweeper};
use recordings::Event;
use serde::Serialize;

/// A pool over a heap that is no memory at all: addresses are all that a pool needs, and this example writes to none of
/// its blocks. The address is one to which any heap is aligned.
pub fn pool(min_block: usize, heap: usize) -> Result<Arc<MemoryPool>, Box<dyn Error>> {
    let pool = MemoryPool::builder().min_block(min_block).build()?;
    pool.add_heap(ptr::without_provenance_mut(1 << 46), heap)?;
    Ok(Arc::new(pool))
}

/// A sweeper, and when it has its passes.
#[derive(Debug)]
struct Passes {
    sweeper: Sweeper,
    /// After this number of events each.
    every: usize,
}

impl Passes {
    fn over(pool: &Arc<MemoryPool>, every: usize) -> Result<Self, Box<dyn Error>> {
        // No pass but those that are asked for, and in each all that there is to do.
        let builder =
            Sweeper::builder().interval(Duration::MAX).wake_on_demand(false).budget(Budget::Units(usize::MAX));
        let passes = Self { sweeper: builder.pool(Arc::clone(pool)).spawn()?, every };
        // The first one comes by itself, so not in the middle of what is played.
        passes.have_one()?;
        Ok(passes)
    }

    fn have_one(&self) -> Result<(), Box<dyn Error>> {
        if self.sweeper.wait_for_pass() { Ok(()) } else { Err("the sweeper has ended".into()) }
    }
}

/// One thread, and what it has.
#[derive(Debug)]
pub struct Player<'a> {
    pub pool: &'a MemoryPool,
    passes: Option<Passes>,
    objects: Vec<Option<(NonNull<u8>, Layout)>>,
    events: usize,
    requested: usize,
    /// Allocations and reallocations for which there was no memory; the rest is played all the same.
    pub failures: usize,
}

/// The state of the pool at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Events so far.
    pub events: usize,
    /// The sizes that the live objects were asked for.
    pub requested: usize,
    /// The sizes of their blocks.
    pub live: usize,
    pub cached: usize,
    pub free: usize,
    /// The largest free block as it stands.
    pub largest: usize,
    /// The largest one that merging would form.
    pub merged: usize,
}

impl Moment {
    /// External fragmentation: the share of the free bytes that are outside of a free block of `largest` bytes.
    pub fn fragmentation(&self, largest: usize) -> f64 {
        if self.free == 0 { 0.0 } else { 1.0 - largest as f64 / self.free as f64 }
    }
}

impl<'a> Player<'a> {
    /// A player of a trace of `objects` objects, with a sweeper that has a pass after every `pass_every` events, or
    /// without one.
    pub fn new(pool: &'a Arc<MemoryPool>, objects: usize, pass_every: Option<usize>) -> Result<Self, Box<dyn Error>> {
        let passes = pass_every.map(|every| Passes::over(pool, every)).transpose()?;
        Ok(Self { pool, passes, objects: vec![None; objects], events: 0, requested: 0, failures: 0 })
    }

    /// Plays the next events.
    pub fn play(&mut self, events: &[Event]) -> Result<(), Box<dyn Error>> {
        for event in events {
            match *event {
                Event::Allocate { object, layout } => self.allocate(object, layout),
                Event::Reallocate { object, size } => self.reallocate(object, size)?,
                Event::Free { object } => self.free(object)?,
            }
            self.events += 1;
            if let Some(passes) = self.passes.as_ref().filter(|passes| self.events.is_multiple_of(passes.every)) {
                passes.have_one()?;
            }
        }
        Ok(())
    }

    fn allocate(&mut self, object: u32, layout: Layout) {
        match self.pool.alloc(layout) {
            Ok(block) => {
                self.requested += layout.size();
                self.objects[object as usize] = Some((block, layout));
            }
            Err(_) => self.failures += 1,
        }
    }

    fn free(&mut self, object: u32) -> Result<(), Box<dyn Error>> {
        if let Some((block, layout)) = self.objects[object as usize].take() {
            self.pool.release(block)?;
            self.requested -= layout.size();
        }
        Ok(())
    }

    /// In place where that can be, else in another block, which here has nothing to be copied to.
    fn reallocate(&mut self, object: u32, size: usize) -> Result<(), Box<dyn Error>> {
        let Some((block, layout)) = self.objects[object as usize] else { return Ok(()) };
        let new_layout = Layout::from_size_align(size, layout.align())?;
        let new = match self.pool.resize_in_place(block, size) {
            Ok(_) => block,
            Err(ResizeError::NoRoom { .. }) => {
                let Ok(new) = self.pool.alloc(new_layout) else {
                    self.failures += 1;
                    return Ok(());
                };
                self.pool.release(block)?;
                new
            }
            Err(error) => return Err(error.into()),
        };
        self.requested = self.requested - layout.size() + size;
        self.objects[object as usize] = Some((new, new_layout));
        Ok(())
    }

    /// Looks at the pool.
    pub fn moment(&self) -> Moment {
        let stats = self.pool.stats();
        let free_blocks = self.pool.heap_map().filter(|block| block.state == BlockState::Free);
        Moment {
            events: self.events,
            requested: self.requested,
            live: stats.live,
            cached: stats.cached,
            free: stats.free,
            largest: free_blocks.map(|block| block.size).max().unwrap_or(0),
            merged: stats.largest_free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recordings::Trace;

    #[test]
    fn moments_tell_what_is_live_and_what_stands_unmerged() {
        let text = "a 0 0 5000\na 0 1 100\na 0 2 0\nr 0 1 3000\nr 0 0 9\nf 0 0\nf 0 1\nf 0 2\n";
        // More than half of the heap in small blocks.
        let lines = |kind, size| (3..800).map(move |object| format!("{kind} 0 {object}{size}\n")).collect::<String>();
        let trace = Trace::read([text, &lines("a", " 64"), &lines("f", "")].concat().as_bytes()).unwrap();
        let mut swept = Vec::new();
        for pass_every in [None, Some(trace.events.len())] {
            let pool = pool(64, 1 << 16).unwrap();
            let mut player = Player::new(&pool, trace.objects, pass_every).unwrap();
            player.play(&trace.events[..5]).unwrap();
            let Moment { events, requested, live, cached, free, .. } = player.moment();
            assert_eq!((events, requested, live), (5, 9 + 3000 + 1, 64 + 4096 + 64));
            assert_eq!(live + cached + free, 1 << 16);
            player.play(&trace.events[5..]).unwrap();
            assert_eq!((player.failures, player.moment().requested, player.moment().live), (0, 0, 0));
            swept.push(player.moment());
        }
        let [without, with] = [swept[0], swept[1]];
        assert!(without.largest < without.merged, "nobody has merged: {without:?}");
        assert_eq!(with.largest, with.merged);
        assert!(with.fragmentation(with.largest) < without.fragmentation(without.largest));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_passed_over() {
        let trace = Trace::read(b"a 0 0 5000\na 0 1 5000\nr 0 0 9000\nr 0 1 1\nf 0 1\nf 0 0\n").unwrap();
        let pool = pool(64, 1 << 13).unwrap();
        let mut player = Player::new(&pool, trace.objects, None).unwrap();
        player.play(&trace.events).unwrap();
        assert_eq!((player.failures, player.moment().requested), (2, 0));
    }
}

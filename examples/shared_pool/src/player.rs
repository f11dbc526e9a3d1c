//! One thread of a replay: its objects, and what it does for each event.

use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::thread;

use mempool::ResizeError;
use recordings::Event;

use crate::pattern::Pattern;
use crate::replay::{Shared, Sum, Tally};

/// A thread looks for objects that were handed to it each time that it did this number of events.
const EVENTS_A_LOOK: usize = 64;
/// So often a thread tries to hand an object over, while it lets others run; then it releases the object itself. So no
/// thread waits for one that does not run.
const PATIENCE: u32 = 200;
/// A thread moves the progress bar after this number of events.
const EVENTS_A_TICK: usize = 4096;

/// A thread's objects; they stay when it ends.
#[derive(Debug)]
pub struct Player {
    thread: u32,
    objects: Vec<Option<Placed>>,
    /// Grows by the share of releases that are handed over; at 100 one is due.
    due: u32,
    pub tally: Tally,
}

/// Which object of which thread.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    thread: u32,
    object: u32,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thread, object } = self;
        write!(f, "object {object} of thread {thread}")
    }
}

/// An object in its block, which is nobody else's.
#[derive(Debug)]
pub struct Placed {
    name: Name,
    block: NonNull<u8>,
    layout: Layout,
    /// Bytes of the block.
    held: usize,
}

// SAFETY: the pointer is to a block that nobody else uses, so it may go to any thread.
unsafe impl Send for Placed {}

impl Placed {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block was handed out for this object and has at least its size; the region that it lies in is
        // zeroed when it is new, and outlives the replay. If the pool handed out one block twice, there would be a
        // second such slice: that is what a replay is there to find.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr(), self.layout.size()) }
    }

    fn pattern(&self) -> Pattern {
        Pattern::new(self.name.thread, self.name.object)
    }
}

impl Player {
    /// Thread number `thread`, for `objects` objects.
    pub fn new(thread: u32, objects: usize) -> Self {
        let objects = std::iter::repeat_with(|| None).take(objects).collect();
        Self { thread, objects, due: 0, tally: Tally::default() }
    }
}

/// A player while it plays.
#[derive(Debug)]
pub struct Turn<'s> {
    shared: &'s Shared<'s>,
    player: &'s mut Player,
    handed: Receiver<Placed>,
    /// Bytes that the sums of all threads don't have yet.
    live: isize,
    held: isize,
}

impl<'s> Turn<'s> {
    /// A turn of `player`, to whom objects come by `handed`.
    pub fn new(shared: &'s Shared<'s>, player: &'s mut Player, handed: Receiver<Placed>) -> Self {
        Self { shared, player, handed, live: 0, held: 0 }
    }

    /// Plays `events`, and hands some of the objects that they free over to the next thread.
    pub fn play(&mut self, events: &[Event], next: &SyncSender<Placed>) {
        for some in events.chunks(EVENTS_A_TICK) {
            for few in some.chunks(EVENTS_A_LOOK) {
                for event in few {
                    match *event {
                        Event::Allocate { object, layout } => self.allocate(object, layout),
                        Event::Reallocate { object, size } => self.reallocate(object, size),
                        Event::Free { object } => self.free(object, next),
                    }
                }
                self.release_what_was_handed();
            }
            self.shared.progress.inc(some.len() as u64);
        }
    }

    /// Releases all objects of this thread.
    pub fn release_all(&mut self) {
        for object in 0..self.player.objects.len() {
            if let Some(placed) = self.player.objects[object].take() {
                self.release(placed);
            }
        }
    }

    /// Releases what is handed to this thread until no other can hand over more.
    pub fn finish(mut self) {
        while let Ok(placed) = self.handed.recv() {
            self.release_handed(placed);
        }
        self.shared.live.add(self.live);
        self.shared.held.add(self.held);
    }

    fn allocate(&mut self, object: u32, layout: Layout) {
        // If it fails, the object is not there, and its later events are passed over.
        let Some(mut placed) = self.place(object, layout) else { return };
        placed.pattern().fill(placed.bytes(), 0);
        self.player.objects[object as usize] = Some(placed);
        self.player.tally.operations += 1;
    }

    fn reallocate(&mut self, object: u32, size: usize) {
        let Some(mut placed) = self.player.objects[object as usize].take() else { return };
        let old_size = placed.layout.size();
        self.check(&mut placed, old_size);
        let kept = old_size.min(size);
        if self.resize(&mut placed, size) {
            self.player.tally.operations += 1;
            self.check(&mut placed, kept);
            placed.pattern().fill(placed.bytes(), kept);
        }
        self.player.objects[object as usize] = Some(placed);
    }

    /// In place where that can be, else in another block. If there is none, the object stays as it was.
    fn resize(&mut self, placed: &mut Placed, size: usize) -> bool {
        let Ok(layout) = Layout::from_size_align(size, placed.layout.align()) else { return false };
        match self.shared.pool.resize_in_place(placed.block, size) {
            Ok(held) => {
                self.account(placed, -1);
                (placed.layout, placed.held) = (layout, held);
                self.account(placed, 1);
                self.player.tally.resized_in_place += 1;
            }
            Err(ResizeError::NoRoom { .. }) => {
                let Some(mut new) = self.place(placed.name.object, layout) else { return false };
                for (to, from) in new.bytes().iter_mut().zip(placed.bytes()) {
                    *to = *from;
                }
                self.give_back(std::mem::replace(placed, new));
                self.player.tally.moved += 1;
            }
            Err(error) => {
                self.player.tally.fault(placed.name, error);
                return false;
            }
        }
        true
    }

    fn free(&mut self, object: u32, next: &SyncSender<Placed>) {
        let Some(mut placed) = self.player.objects[object as usize].take() else { return };
        self.player.due += self.shared.handed_over;
        if self.player.due >= 100 {
            self.player.due -= 100;
            for _ in 0..PATIENCE {
                match next.try_send(placed) {
                    Ok(()) => return,
                    Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => placed = back,
                }
                // The next thread is behind. Perhaps it has no processor.
                self.release_what_was_handed();
                thread::yield_now();
            }
        }
        self.release(placed);
    }

    fn release_what_was_handed(&mut self) {
        while let Ok(placed) = self.handed.try_recv() {
            self.release_handed(placed);
        }
    }

    fn release_handed(&mut self, placed: Placed) {
        self.player.tally.handed_over += 1;
        self.release(placed);
    }

    fn release(&mut self, mut placed: Placed) {
        let size = placed.layout.size();
        self.check(&mut placed, size);
        self.give_back(placed);
        self.player.tally.operations += 1;
    }

    /// Checks the first `size` bytes of an object.
    fn check(&mut self, placed: &mut Placed, size: usize) {
        self.player.tally.checks += 1;
        let (name, pattern) = (placed.name, placed.pattern());
        let bytes = &mut placed.bytes()[..size];
        if let Some(byte) = pattern.first_damage(bytes) {
            self.player.tally.fault(name, format_args!("byte {byte} of {size} is not as it was written"));
            // So that it is told once.
            pattern.fill(bytes, 0);
        }
    }

    /// Allocates the block of an object, which is not filled yet.
    fn place(&mut self, object: u32, layout: Layout) -> Option<Placed> {
        let name = Name { thread: self.player.thread, object };
        let block = match self.shared.pool.alloc(layout) {
            Ok(block) => block,
            Err(error) => {
                self.player.tally.failure(error);
                return None;
            }
        };
        let held = self.shared.pool.block_size(block).unwrap_or_else(|error| {
            self.player.tally.fault(name, error);
            layout.size()
        });
        let placed = Placed { name, block, layout, held };
        self.account(&placed, 1);
        Some(placed)
    }

    fn give_back(&mut self, placed: Placed) {
        self.account(&placed, -1);
        if let Err(error) = self.shared.pool.release(placed.block) {
            self.player.tally.fault(placed.name, error);
        }
    }

    fn account(&mut self, placed: &Placed, sign: isize) {
        self.live += sign * placed.layout.size() as isize;
        self.held += sign * placed.held as isize;
        for (more, sum) in [(&mut self.live, &self.shared.live), (&mut self.held, &self.shared.held)] {
            if more.unsigned_abs() >= Sum::STEP {
                sum.add(std::mem::take(more));
            }
        }
    }
}

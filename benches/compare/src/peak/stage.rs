//! Where a script is played: by as many threads as the program had, each call by the thread whose it was, in the
//! recorded order.
//!
//! Whoever has the lock plays. When a thread's calls are done up to the next change of thread, it hands the turn
//! over, and starts the next thread if that has not played before. A thread that has no more calls exits, and the
//! next one goes on when it is gone, with all that its exit made the allocator do. `threads` has how a thread is
//! started.

use std::alloc::GlobalAlloc;
use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::blocks::{Blocks, PAGE};
use super::resident::{AtStart, Meter, Parts, bring_files_in};
use super::script::Script;
use super::threads::{self, Create, STACK, create_of_the_library, thread_time, use_stack};

/// Where a heap begins that comes behind its metadata.
const HEAP_ALIGN: usize = 2 << 20;
/// So often, at even distances, the resident memory is looked at.
const LOOKS: usize = 256;

/// How an allocator is measured.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// It has everything in one mapping, so that this can be looked at alone. First its metadata, then, from a
    /// multiple of [`HEAP_ALIGN`] on, a heap, whose beginning is used first.
    pub asks_for_mapping: bool,
    /// Threads are started by the `pthread_create` that the program is linked with, and not by that of the C library.
    /// The first is rpmalloc's, which gives memory to each thread at its start.
    pub threads_as_linked: bool,
}

/// The measurement.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The processor's, so that it is the same while others use it.
    pub time: Duration,
    /// Most resident bytes that there were not before.
    pub peak: u64,
    /// Did the kernel keep the peak? Else it is from looks.
    pub kept: bool,
    /// Most bytes in huge pages, from looks.
    pub huge: u64,
    /// Most resident bytes of the mapping that the first block is in, if that was asked for; from looks.
    pub mapping: Option<Parts>,
}

/// The state that goes from thread to thread.
#[derive(Debug)]
struct Play {
    /// Which turn it is, and the call that comes next.
    turn: usize,
    call: usize,
    blocks: Blocks,
    /// Those that have played and did not exit; the first needs none.
    threads: Vec<Option<libc::pthread_t>>,
    /// One that has played its last call: whoever goes on waits until it is gone.
    leaving: Option<libc::pthread_t>,
    /// The processor's time for the calls, without that for changes of thread.
    time: Duration,
    meter: Meter,
    /// Where the heap begins, if the mapping of the allocator is asked for, and there was a block.
    heap: Option<usize>,
}

/// Everything that the threads share.
#[derive(Debug)]
struct Stage<A: 'static> {
    allocator: &'static A,
    script: &'static Script,
    how: How,
    create: Create,
    /// Of each thread.
    roles: Vec<Role<A>>,
    /// So many calls between looks.
    step: usize,
    /// The time of one look at the clock.
    clock: Duration,
    play: Mutex<Play>,
}

/// A thread, started or not.
#[derive(Debug)]
struct Role<A: 'static> {
    number: usize,
    /// Written, so that all of it is resident.
    stack: *mut [u8],
    /// The last of its turns.
    last: usize,
    turn: Condvar,
    stage: *const Stage<A>,
}

// SAFETY: the stack is the thread's alone, and the stage outlives the thread.
unsafe impl<A: Sync> Send for Role<A> {}
// SAFETY: as above.
unsafe impl<A: Sync> Sync for Role<A> {}

/// Plays a script with an allocator and measures. All memory that it takes stays: it is for a process that ends then.
pub fn play<A: GlobalAlloc + Sync>(
    allocator: &'static A,
    script: &'static Script,
    at_start: AtStart,
    how: How,
) -> io::Result<Measured> {
    let stage: &'static Stage<A> = Box::leak(Stage::new(allocator, script, at_start, how));
    use_stack();
    bring_files_in()?;
    stage.lock().meter.begin()?;
    stage.act(0);
    let mut play = stage.lock();
    Ok(Measured {
        time: play.time,
        peak: play.meter.peak()?,
        kept: play.meter.is_kept(),
        huge: play.meter.huge(),
        mapping: how.asks_for_mapping.then(|| play.meter.mapping()),
    })
}

impl<A: GlobalAlloc + Sync + 'static> Stage<A> {
    fn new(allocator: &'static A, script: &'static Script, at_start: AtStart, how: How) -> Box<Self> {
        // One page more, so that stacks can begin with a page.
        let stacks = vec![1u8; script.threads.max(1) * STACK + PAGE].leak();
        let lead = stacks.as_ptr().align_offset(PAGE);
        let role = |(number, stack)| Role { number, stack, last: 0, turn: Condvar::new(), stage: ptr::null() };
        let stacks = stacks[lead..].chunks_exact_mut(STACK).map(ptr::from_mut);
        let mut stage = Box::new(Self {
            allocator,
            script,
            how,
            create: if how.threads_as_linked { libc::pthread_create } else { create_of_the_library() },
            roles: stacks.enumerate().map(role).collect(),
            step: script.calls.len().div_ceil(LOOKS).max(1),
            clock: (0..1000).map(|_| (thread_time(), thread_time())).map(|(a, b)| b - a).min().unwrap_or_default(),
            play: Mutex::new(Play {
                turn: 0,
                call: 0,
                blocks: Blocks::new(script.slots),
                leaving: None,
                threads: vec![None; script.threads.max(1)],
                time: Duration::ZERO,
                meter: Meter::new(at_start),
                heap: None,
            }),
        });
        let itself = ptr::from_ref(&*stage);
        for role in &mut stage.roles {
            role.stage = itself;
        }
        for (number, turn) in script.turns.iter().enumerate() {
            stage.roles[turn.thread].last = number;
        }
        stage
    }

    fn lock(&self) -> MutexGuard<'_, Play> {
        self.play.lock().expect("no thread panics with the lock")
    }

    /// Whose turn it is. At the end it is the first thread's.
    fn whose(&self, play: &Play) -> usize {
        self.script.turns.get(play.turn).map_or(0, |turn| turn.thread)
    }

    /// The work of one thread.
    fn act(&self, me: usize) {
        let role = &self.roles[me];
        loop {
            let turn = role.turn.wait_while(self.lock(), |play| self.whose(play) != me);
            let mut play = turn.expect("no thread panics with the lock");
            if let Some(thread) = play.leaving.take() {
                // SAFETY: the thread was started and is joined once; it does not need the lock any more.
                let error = unsafe { libc::pthread_join(thread, ptr::null_mut()) };
                assert_eq!(error, 0, "a thread that was started can be joined");
            }
            let Some(turn) = self.script.turns.get(play.turn) else { return };
            self.play_calls(&mut play, turn.calls);
            // The first thread is there until all is done, as that of a program.
            let is_last = me != 0 && role.last == play.turn;
            if is_last {
                play.leaving = play.threads[me].take();
            }
            play.turn += 1;
            let next = self.whose(&play);
            if next != 0 && play.threads[next].is_none() {
                let thread = self.start(next).unwrap_or_else(|error| super::fail(&format!("a thread: {error}")));
                play.threads[next] = Some(thread);
            }
            drop(play);
            self.roles[next].turn.notify_one();
            if is_last {
                return;
            }
        }
    }

    fn start(&self, number: usize) -> io::Result<libc::pthread_t> {
        let role = &self.roles[number];
        let argument = ptr::from_ref(role).cast_mut().cast();
        // SAFETY: the stack is nobody else's, now and later; the argument is what `begin` takes.
        unsafe { threads::start(self.create, role.stack, begin::<A>, argument) }
    }

    fn play_calls(&self, play: &mut Play, mut calls: usize) {
        while calls > 0 {
            // Looks are at multiples of the step, and where most bytes are live.
            let call = play.call;
            let until_look = self.step - call % self.step;
            let until_live = self.script.live_at.checked_sub(call).filter(|until| *until > 0).unwrap_or(usize::MAX);
            let count = calls.min(until_look).min(until_live);
            let begun = thread_time();
            for call in &self.script.calls[call..][..count] {
                play.blocks.play(self.allocator, *call);
            }
            play.time += thread_time().saturating_sub(begun + self.clock);
            (play.call, calls) = (call + count, calls - count);
            if count == until_look || count == until_live {
                self.look(play);
            }
        }
    }

    /// Between calls; nothing of it is in the time.
    fn look(&self, play: &mut Play) {
        play.meter.look().expect("the kernel tells what is resident");
        if self.how.asks_for_mapping {
            // By the first block. Later ones of the slot may have mappings of their own.
            if play.heap.is_none()
                && let Some(first) = play.blocks.address(0)
            {
                let heap = first / HEAP_ALIGN * HEAP_ALIGN;
                play.meter.part_at(heap).expect("the kernel tells what is mapped");
                play.heap = Some(heap);
            }
            play.meter.look_at(play.heap.unwrap_or(0)).expect("the kernel tells what is mapped");
        }
    }
}

/// The input of a thread.
extern "C" fn begin<A: GlobalAlloc + Sync + 'static>(role: *mut c_void) -> *mut c_void {
    // SAFETY: `start` gave it, in a stage that is leaked.
    let role = unsafe { &*role.cast_const().cast::<Role<A>>() };
    // SAFETY: as above.
    unsafe { &*role.stage }.act(role.number);
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use std::alloc::{Layout, System};
    use std::cell::RefCell;
    use std::thread::{self, ThreadId};

    use super::super::resident::tests::ONE_AT_A_TIME;
    use super::*;
    use recordings::Trace;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Seen {
        Allocated(usize),
        Resized(usize),
        Released(usize),
        Exit,
    }

    /// Notes who calls it and when threads that did are gone.
    struct Recorder {
        seen: Mutex<Vec<(ThreadId, Seen)>>,
    }

    /// A value that a thread which called the recorder drops at its exit.
    struct Guest(&'static Recorder, ThreadId);

    impl Drop for Guest {
        fn drop(&mut self) {
            // Long enough for the next thread to be first, if it did not wait; an error is seen without luck then.
            (0..100).for_each(|_| thread::yield_now());
            self.0.seen.lock().unwrap().push((self.1, Seen::Exit));
        }
    }

    thread_local! {
        static GUEST: RefCell<Option<Guest>> = const { RefCell::new(None) };
    }

    impl Recorder {
        fn see(&'static self, seen: Seen) {
            let id = thread::current().id();
            GUEST.with_borrow_mut(|guest| _ = guest.get_or_insert_with(|| Guest(self, id)));
            self.seen.lock().unwrap().push((id, seen));
        }
    }

    // SAFETY: all is the system's.
    unsafe impl GlobalAlloc for &'static Recorder {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.see(Seen::Allocated(layout.size()));
            // SAFETY: the same contract.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            self.see(Seen::Released(layout.size()));
            // SAFETY: the same contract.
            unsafe { System.dealloc(block, layout) };
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            self.see(Seen::Resized(size));
            // SAFETY: the same contract.
            unsafe { System.realloc(block, layout, size) }
        }
    }

    fn leak<T>(value: T) -> &'static T {
        Box::leak(Box::new(value))
    }

    #[test]
    fn each_call_is_by_its_thread_in_order_and_who_has_no_more_is_gone_before_the_next() {
        use Seen::{Allocated, Exit, Released, Resized};
        let _one = ONE_AT_A_TIME.lock();
        let text = "a 5 0 100\na 7 1 200\nr 5 1 9000\na 3 2 300\nf 7 0\nf 5 2\na 3 3 400 4096\n";
        let script = leak(Script::new(&Trace::read(text.as_bytes()).unwrap()));
        for threads_as_linked in [false, true] {
            let recorder: &&Recorder = leak(leak(Recorder { seen: Mutex::default() }));
            let how = How { asks_for_mapping: true, threads_as_linked };
            let measured = thread::spawn(move || {
                // The first thread is this one, which stays until all is done.
                let measured = play(recorder, script, AtStart::note().unwrap(), how).unwrap();
                (measured, thread::current().id())
            });
            let (measured, first) = measured.join().unwrap();
            let seen = recorder.seen.lock().unwrap();
            let (second, third) = (seen[1].0, seen[3].0);
            assert!(first != second && first != third && second != third);
            assert_eq!(
                *seen,
                [
                    (first, Allocated(100)),
                    (second, Allocated(200)),
                    (first, Resized(9000)),
                    (third, Allocated(300)),
                    (second, Released(100)),
                    (second, Exit),
                    (first, Released(300)),
                    (third, Allocated(400)),
                    (third, Exit),
                    (first, Exit),
                ]
            );
            assert!(
                measured.time > Duration::ZERO && measured.mapping.is_some_and(|parts| parts.sum() > 0),
                "{measured:?}"
            );
        }
    }

    #[test]
    fn a_program_that_does_nothing_ends() {
        let _one = ONE_AT_A_TIME.lock();
        let script = leak(Script::new(&Trace::read(b"").unwrap()));
        let how = How { asks_for_mapping: false, threads_as_linked: false };
        let measured = play(&System, script, AtStart::note().unwrap(), how).unwrap();
        assert_eq!((measured.time, measured.mapping), (Duration::ZERO, None));
    }
}

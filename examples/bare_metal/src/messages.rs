//! The program: messages of many sizes in a queue, in blocks of a static pool over a static region.

use core::alloc::Layout;
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};

use mempool::{AddHeapError, AllocError, MemoryPool, ReleaseError};

/// Bytes of the region: blocks, and the pool's tables behind them.
pub const REGION: usize = 256 << 10;

/// Bytes of the smallest block, that of [`MemoryPool::new`].
const MIN_BLOCK: usize = 64;

/// Known when the program is compiled.
const TABLES: usize = MemoryPool::tables_size_within(REGION, MIN_BLOCK);

static POOL: MemoryPool = MemoryPool::new();

/// Aligned to its size, so that the largest blocks are as large as can be.
#[repr(align(0x40000))]
struct Region([u8; REGION]);

/// On a machine it would be what a linker script or a memory map says.
fn region() -> Option<&'static mut [u8]> {
    static mut MEMORY: Region = Region([0; REGION]);
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    // Relaxed: the winner of the exchange is the only one that uses the memory.
    let is_first = !IS_TAKEN.swap(true, Ordering::Relaxed);
    let memory = &raw mut MEMORY;
    // SAFETY: nothing else names the memory, and it is given out once.
    is_first.then(|| unsafe { &mut *memory }.0.as_mut_slice())
}

/// How it went.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_os = "none", expect(dead_code, reason = "there is nobody to read all of it"))]
pub struct Summary {
    /// Messages that were sent and received.
    pub messages: usize,
    /// Bytes of blocks.
    pub capacity: usize,
    /// Most bytes of messages at a time.
    pub most: usize,
    /// Bytes that are free at the end.
    pub free: usize,
}

/// Why it did not go.
#[derive(Clone, Copy, Debug)]
pub enum Error {
    /// Somebody has the region.
    Taken,
    /// The region is no heap.
    Heap(AddHeapError),
    /// There is no room for a message even when the queue is empty.
    Full(AllocError),
    /// A message was released twice: it can't be.
    Lost(ReleaseError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("the region is given once"),
            Self::Heap(error) => error.fmt(f),
            Self::Full(error) => error.fmt(f),
            Self::Lost(error) => error.fmt(f),
        }
    }
}

/// The beginning of a message. Its bytes follow.
struct Message {
    next: *mut Message,
    len: usize,
}

/// Messages that were sent and not received yet, the first one first.
struct Queue {
    first: *mut Message,
    last: *mut Message,
    bytes: usize,
}

impl Queue {
    /// Copies `text` into a block. An error: there is none.
    fn send(&mut self, text: &[u8]) -> Result<(), AllocError> {
        let size = size_of::<Message>() + text.len();
        let layout = Layout::from_size_align(size, align_of::<Message>()).expect("messages are small");
        let message: *mut Message = POOL.alloc(layout)?.cast().as_ptr();
        // SAFETY: all: the block is this message's, and has room for its beginning and its text.
        unsafe {
            message.write(Message { next: ptr::null_mut(), len: text.len() });
            message.add(1).cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
        }
        match NonNull::new(self.last) {
            // SAFETY: the last message is in the queue, which alone uses it.
            Some(mut last) => unsafe { last.as_mut() }.next = message,
            None => self.first = message,
        }
        self.last = message;
        self.bytes += text.len();
        Ok(())
    }

    /// Takes the first message, and shows its text. `None`: there is none.
    fn receive(&mut self, read: impl FnOnce(&[u8])) -> Option<Result<(), ReleaseError>> {
        let message = NonNull::new(self.first)?;
        // SAFETY: the message is in the queue, which alone uses it.
        let Message { next, len } = unsafe { message.read() };
        // SAFETY: that many bytes follow, which `send` has written.
        read(unsafe { core::slice::from_raw_parts(message.add(1).cast().as_ptr(), len) });
        self.first = next;
        if next.is_null() {
            self.last = next;
        }
        self.bytes -= len;
        Some(POOL.release(message.cast()))
    }
}

/// Sends a thousand messages, and receives the oldest ones whenever the pool is full.
pub fn run() -> Result<Summary, Error> {
    let (heap, tables) = region().ok_or(Error::Taken)?.split_at_mut(REGION - TABLES);
    POOL.add_heap_with(heap.as_mut_ptr(), heap.len(), tables).map_err(Error::Heap)?;
    let mut queue = Queue { first: ptr::null_mut(), last: ptr::null_mut(), bytes: 0 };
    let (mut received, mut most) = (0, 0);
    let mut receive = |queue: &mut Queue| {
        let is_right = |text: &[u8]| assert!(text.iter().all(|byte| *byte == text.len() as u8), "it was overwritten");
        queue.receive(is_right).map(|released| released.map(|()| received += 1).map_err(Error::Lost))
    };
    for number in 0..1000_usize {
        let len = 1 + number * number % 3000;
        let text = [len as u8; 3000];
        while let Err(full) = queue.send(&text[..len]) {
            receive(&mut queue).unwrap_or(Err(Error::Full(full)))?;
        }
        most = most.max(queue.bytes);
    }
    while let Some(received) = receive(&mut queue) {
        received?;
    }
    POOL.sweep();
    let stats = POOL.stats();
    Ok(Summary { messages: received, capacity: stats.capacity, most, free: stats.free })
}

//! The raw file: what threads write to while the program runs.
//!
//! | chunk | what |
//! |---|---|
//! | 0 | the header |
//! | others | a head and records, of one thread: the thread takes the next chunk when its own is full |
//!
//! A record is there when its first word is not 0, which is written last. So a program that ends in the middle leaves
//! whole records. The file is sparse; its end was never written to.

use std::sync::atomic::AtomicU64;

/// Bytes of a chunk.
pub const CHUNK: usize = 64 << 10;
/// Bytes of a record: three words.
pub const RECORD: usize = 24;
/// Records of a chunk. Its head takes as much room as one.
pub const RECORDS: usize = CHUNK / RECORD - 1;
/// The first word of the file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"hmtrace1");
/// Most bytes of the command line that are kept.
pub const NAME: usize = 4096;

/// The first chunk.
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// Bytes of the command line.
    pub name_len: u64,
    /// Events so far. On a line of its own: all threads write to it.
    pub sequence: Line,
    /// Chunks so far, besides the header.
    pub chunks: Line,
    /// Events that had no room.
    pub lost: Line,
    /// The command line, with a 0 between its words.
    pub name: [u8; NAME],
}
const _: () = assert!(size_of::<Header>() <= CHUNK);

/// A number on a cache line of its own.
#[repr(C, align(128))]
pub struct Line(pub AtomicU64);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A block was allocated: its address and size.
    Allocated = 1,
    /// The same, and it was zero.
    Zeroed = 2,
    /// A block is about to be freed.
    Freed = 3,
    /// A block is about to be resized: its address. The same thread's next event is the end of that.
    ResizeBegins = 4,
    /// The new address, or 0 if there was no memory, and the size.
    ResizeEnded = 5,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Allocated, Self::Zeroed, Self::Freed, Self::ResizeBegins, Self::ResizeEnded];
}

/// Bits of the first word: the number of the event above, the logarithm of the alignment, and the kind.
const KIND: u32 = 3;
const ALIGN: u32 = 6;

/// The first word of a record.
pub fn first_word(sequence: u64, kind: Kind, align: usize) -> u64 {
    sequence << (KIND + ALIGN) | u64::from(align.trailing_zeros()) << KIND | kind as u64
}

/// What the first word says. `None`: there is no record.
pub fn read_first_word(word: u64) -> Option<(u64, Kind, usize)> {
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u64 == word & ((1 << KIND) - 1))?;
    let align = 1_usize.checked_shl((word >> KIND) as u32 & ((1 << ALIGN) - 1))?;
    Some((word >> (KIND + ALIGN), kind, align))
}

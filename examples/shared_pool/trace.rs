//! Traces: what a program asked of its allocator, event by event. Reading them, and saying where they are damaged.
//!
//! A trace is text, plain or compressed with zstd. Lines that begin with `#` are comments, the others are events:
//!
//! | line | meaning |
//! |---|---|
//! | `a THREAD OBJECT SIZE [ALIGN]` | allocate SIZE bytes (ALIGN 16 unless given) |
//! | `z THREAD OBJECT SIZE [ALIGN]` | the same, zeroed; here it is as `a`, since a replay writes all bytes anyway |
//! | `r THREAD OBJECT SIZE` | reallocate the object to SIZE bytes, contents kept |
//! | `f THREAD OBJECT` | free the object |
//!
//! OBJECT is a small number from 0. SIZE can be 0, because C programs do ask for 0 bytes and free what they got; such an
//! object is replayed as one of 1 byte. THREAD is a number, too; the examples play all events in the recorded order and
//! don't use it.

use std::alloc::Layout;
use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::{fmt, fs};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, StreamingDecoder};

/// The trace that is played unless another one is named: the whole run of an unmodified sqlite3 on a table of 20 000
/// rows (insert, index, group by, update, delete, vacuum), every call of malloc, calloc, realloc and free recorded in
/// the order in which the calls returned.
pub const SQLITE3: &[u8] = include_bytes!("sqlite3.trace.zst");

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const DEFAULT_ALIGN: usize = 16;
/// Objects are numbered from 0 on, so that a far larger number than any program has objects is damage, and no reason
/// to reserve memory.
const MOST_OBJECTS: usize = 1 << 26;

/// One call of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Allocate { object: u32, layout: Layout },
    Reallocate { object: u32, size: usize },
    Free { object: u32 },
}

/// A whole run of a program. Every event is possible: objects are allocated before they are used, and freed once.
#[derive(Debug)]
pub struct Trace {
    /// From the comment `# program: …`.
    pub program: String,
    pub events: Vec<Event>,
    /// One more than the largest number of an object.
    pub objects: usize,
    /// Whose the events are: all of them, in order. Threads change seldom, so this takes far less memory than a number
    /// in each event.
    #[allow(dead_code, reason = "not everyone who reads traces asks")]
    pub stretches: Vec<Stretch>,
}

/// Consecutive events of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "as above")]
pub struct Stretch {
    /// As in the trace; not the same as in the stretch before.
    pub thread: usize,
    /// At least 1.
    pub events: usize,
}

/// How much memory a trace has at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Most live requested bytes.
    pub live: usize,
    /// How many events it takes to get there.
    pub events: usize,
    /// Most bytes of live blocks, which are powers of two, before or after.
    pub held: usize,
}

/// Why a trace is not one.
#[derive(Debug, PartialEq, Eq)]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    pub content: String,
    pub problem: Problem,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    UnknownEvent,
    Missing(&'static str),
    NotANumber(&'static str),
    TooManyFields,
    BadAlign,
    TooLarge,
    ObjectNumber,
    NeverAllocated,
    AllocatedTwice,
    AlreadyFreed,
    Compression(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEvent => write!(f, "unknown event; the events are a, z, r and f"),
            Self::Missing(field) => write!(f, "{field} is missing"),
            Self::NotANumber(field) => write!(f, "{field} is not a number from 0 to {}", usize::MAX),
            Self::TooManyFields => write!(f, "too many fields"),
            Self::BadAlign => write!(f, "ALIGN is not a power of two"),
            Self::TooLarge => write!(f, "so many bytes can't be allocated"),
            Self::ObjectNumber => write!(f, "OBJECT is {MOST_OBJECTS} or more; objects are numbered from 0"),
            Self::NeverAllocated => write!(f, "the object was never allocated"),
            Self::AllocatedTwice => write!(f, "the object is live and is allocated once more"),
            Self::AlreadyFreed => write!(f, "the object was freed already"),
            Self::Compression(error) => write!(f, "here at the latest, the compressed trace is damaged: {error}"),
        }
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)?;
        if self.content.is_empty() { Ok(()) } else { write!(f, ": `{}`", self.content) }
    }
}

impl Error for TraceError {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    NotYet,
    Live,
    Freed,
}

impl Trace {
    /// From a file, which must have an allocation; without one, the trace that is built in.
    pub fn open(path: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let Some(path) = path else { return Ok(Self::read(SQLITE3)?) };
        let in_file = |error: &dyn Error| format!("{}: {error}", path.display());
        let bytes = fs::read(path).map_err(|error| in_file(&error))?;
        let trace = Self::read(&bytes).map_err(|error| in_file(&error))?;
        if trace.events.is_empty() {
            return Err(format!("{}: the trace has no allocations", path.display()).into());
        }
        Ok(trace)
    }

    /// Reads a trace, compressed or plain.
    pub fn read(bytes: &[u8]) -> Result<Self, TraceError> {
        if !bytes.starts_with(&ZSTD_MAGIC) {
            return Self::parse(bytes);
        }
        let mut text = Vec::new();
        match decompress(bytes, &mut text) {
            Ok(()) => Self::parse(&text),
            Err(error) => {
                // The whole lines before the damage; an error in them is the damage, too.
                let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
                Self::parse(&text[..whole])?;
                let line = text[..whole].iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(TraceError { line, content: excerpt(&text[whole..]), problem: Problem::Compression(error) })
            }
        }
    }

    fn parse(text: &[u8]) -> Result<Self, TraceError> {
        let mut trace =
            Self { program: String::from("unnamed"), events: Vec::new(), objects: 0, stretches: Vec::new() };
        let mut lives = Vec::new();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            match line {
                [] => {}
                [b'#', comment @ ..] => {
                    if let Some(program) = comment.trim_ascii_start().strip_prefix(b"program:") {
                        trace.program = String::from_utf8_lossy(program.trim_ascii()).into_owned();
                    }
                }
                _ => {
                    let parsed = parse_event(line).and_then(|parsed| live(&mut lives, parsed.1).map(|()| parsed));
                    let (thread, event) =
                        parsed.map_err(|problem| TraceError { line: number + 1, content: excerpt(line), problem })?;
                    trace.events.push(event);
                    match trace.stretches.last_mut() {
                        Some(stretch) if stretch.thread == thread => stretch.events += 1,
                        _ => trace.stretches.push(Stretch { thread, events: 1 }),
                    }
                }
            }
        }
        trace.objects = lives.len();
        Ok(trace)
    }

    /// The peak with blocks of at least `min_block` bytes.
    pub fn peak(&self, min_block: usize) -> Peak {
        let mut peak = Peak::default();
        let mut layouts = vec![None; self.objects];
        let (mut live, mut held) = (0usize, 0usize);
        for (index, event) in self.events.iter().enumerate() {
            let (object, layout) = match *event {
                Event::Allocate { object, layout } => (object, Some(layout)),
                Event::Reallocate { object, size } => (object, Layout::from_size_align(size, 1).ok()),
                Event::Free { object } => (object, None),
            };
            // Saturating: sums that no memory could have are as good as any such.
            if let Some(layout) = layout {
                live = live.saturating_add(layout.size());
                held = held.saturating_add(block_size(layout, min_block));
            }
            if let Some(layout) = std::mem::replace(&mut layouts[object as usize], layout) {
                live = live.saturating_sub(layout.size());
                held = held.saturating_sub(block_size(layout, min_block));
            }
            if live > peak.live {
                (peak.live, peak.events) = (live, index + 1);
            }
            peak.held = peak.held.max(held);
        }
        peak
    }
}

/// The size of the block that a pool takes for `layout`.
pub fn block_size(layout: Layout, min_block: usize) -> usize {
    layout.size().max(layout.align()).max(min_block).checked_next_power_of_two().unwrap_or(usize::MAX)
}

/// Appends what `bytes` decompress to; on an error, what the blocks before the damage do.
fn decompress(mut bytes: &[u8], text: &mut Vec<u8>) -> Result<(), String> {
    // One frame after the other, as `zstd` does.
    while !bytes.is_empty() {
        let mut rest = bytes;
        let mut decoder = FrameDecoder::new();
        decoder.init(&mut rest).map_err(|error| error.to_string())?;
        while !decoder.is_finished() {
            let whole = bytes.len() - rest.len();
            if let Err(error) = decoder.decode_blocks(&mut rest, BlockDecodingStrategy::UptoBlocks(1)) {
                // The decoder yields the last part of a frame only when that is complete, so complete it: with an empty
                // last block, and a checksum, which nobody looks at.
                const END: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];
                let mended = [&bytes[..whole], &END].concat();
                // What can't be mended leaves the text as it is.
                let _ = StreamingDecoder::new(mended.as_slice()).map(|mut decoder| decoder.read_to_end(text));
                return Err(error.to_string());
            }
        }
        text.extend(decoder.collect().unwrap_or_default());
        match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
            (Some(recorded), Some(calculated)) if recorded != calculated => {
                return Err(String::from("its checksum is wrong"));
            }
            _ => bytes = rest,
        }
    }
    Ok(())
}

/// The thread and the event of a line.
fn parse_event(line: &[u8]) -> Result<(usize, Event), Problem> {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let kind = fields.next().unwrap_or_default();
    if !matches!(kind, [b'a' | b'z' | b'r' | b'f']) {
        return Err(Problem::UnknownEvent);
    }
    let mut required = |name| number(fields.next().ok_or(Problem::Missing(name))?, name);
    let thread = required("THREAD")?;
    let object = required("OBJECT")?;
    if object >= MOST_OBJECTS {
        return Err(Problem::ObjectNumber);
    }
    let object = object as u32;
    let event = if kind == b"f" {
        Event::Free { object }
    } else {
        let size = required("SIZE")?.max(1);
        let align = match fields.next() {
            Some(_) if kind == b"r" => return Err(Problem::TooManyFields),
            Some(field) => number(field, "ALIGN")?,
            None => DEFAULT_ALIGN,
        };
        if !align.is_power_of_two() {
            return Err(Problem::BadAlign);
        }
        let layout = Layout::from_size_align(size, align).map_err(|_| Problem::TooLarge)?;
        match kind {
            b"r" => Event::Reallocate { object, size },
            _ => Event::Allocate { object, layout },
        }
    };
    match fields.next() {
        Some(_) => Err(Problem::TooManyFields),
        None => Ok((thread, event)),
    }
}

fn number(field: &[u8], name: &'static str) -> Result<usize, Problem> {
    let digit = |number: usize, byte: &u8| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    field.iter().try_fold(0, digit).ok_or(Problem::NotANumber(name))
}

/// Notes what the event does to the life of its object.
fn live(lives: &mut Vec<Life>, event: Event) -> Result<(), Problem> {
    let (Event::Allocate { object, .. } | Event::Reallocate { object, .. } | Event::Free { object }) = event;
    let object = object as usize;
    if let Event::Allocate { .. } = event {
        if object >= lives.len() {
            lives.resize(object + 1, Life::NotYet);
        }
        return match std::mem::replace(&mut lives[object], Life::Live) {
            Life::Live => Err(Problem::AllocatedTwice),
            Life::NotYet | Life::Freed => Ok(()),
        };
    }
    match lives.get_mut(object) {
        None | Some(Life::NotYet) => Err(Problem::NeverAllocated),
        Some(Life::Freed) => Err(Problem::AlreadyFreed),
        Some(life @ Life::Live) => {
            if let Event::Free { .. } = event {
                *life = Life::Freed;
            }
            Ok(())
        }
    }
}

/// A line as far as it can be printed.
fn excerpt(line: &[u8]) -> String {
    const MOST: usize = 60;
    let text = String::from_utf8_lossy(&line[..line.len().min(MOST)]);
    let mut excerpt: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if line.len() > MOST {
        excerpt.push('…');
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_trace_is_sound() {
        let trace = Trace::read(SQLITE3).unwrap();
        assert!(trace.program.starts_with("sqlite3"));
        // As its header says.
        assert_eq!((trace.events.len(), trace.objects), (156_272, 78_115));
        assert_eq!(trace.peak(16).live, 6_253_591);
    }

    #[test]
    fn peaks_count_rounded_blocks() {
        let trace = Trace::read(b"a 0 0 100\nr 1 0 300\na 0 1 1\nf 0 0\na 0 2 10 1024\nf 0 2\nz 0 0 0\n").unwrap();
        assert_eq!(trace.peak(64), Peak { live: 301, events: 3, held: 64 + 1024 });
    }

    #[test]
    fn every_event_keeps_its_thread() {
        let trace = Trace::read(b"a 7 0 1\n# comment\nr 7 0 2\na 0 1 3\n\nf 7 0\nf 7 1\n").unwrap();
        let stretches: Vec<_> = trace.stretches.iter().map(|stretch| (stretch.thread, stretch.events)).collect();
        assert_eq!(stretches, [(7, 2), (0, 1), (7, 2)]);
        assert_eq!(trace.events.len(), 5);
        let own = Trace::read(SQLITE3).unwrap();
        assert_eq!(own.stretches, [Stretch { thread: 0, events: own.events.len() }]);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let sound = "# comment\n\na 0 0 8\r\n  a 3 1 0 64\n";
        let max = usize::MAX;
        for (line, expected) in [
            ("x 0 2 8", "unknown event; the events are a, z, r and f: `x 0 2 8`"),
            ("alloc 0 2 8", "unknown event; the events are a, z, r and f: `alloc 0 2 8`"),
            ("a", "THREAD is missing: `a`"),
            ("a 0", "OBJECT is missing: `a 0`"),
            ("a 0 2", "SIZE is missing: `a 0 2`"),
            ("f 0", "OBJECT is missing: `f 0`"),
            ("r 0 1", "SIZE is missing: `r 0 1`"),
            ("a 0 2 -8", &format!("SIZE is not a number from 0 to {max}: `a 0 2 -8`")),
            (
                "a 0 2 99999999999999999999",
                &format!("SIZE is not a number from 0 to {max}: `a 0 2 99999999999999999999`"),
            ),
            ("a 0 2 9223372036854775808", "so many bytes can't be allocated: `a 0 2 9223372036854775808`"),
            ("a ? 2 8", &format!("THREAD is not a number from 0 to {max}: `a ? 2 8`")),
            ("a 0 2 8 3", "ALIGN is not a power of two: `a 0 2 8 3`"),
            ("a 0 2 8 16 1", "too many fields: `a 0 2 8 16 1`"),
            ("f 0 1 8", "too many fields: `f 0 1 8`"),
            ("r 0 1 8 16", "too many fields: `r 0 1 8 16`"),
            ("a 0 4000000000 8", "OBJECT is 67108864 or more; objects are numbered from 0: `a 0 4000000000 8`"),
            ("f 0 2", "the object was never allocated: `f 0 2`"),
            ("r 0 9 1", "the object was never allocated: `r 0 9 1`"),
            ("a 0 1 8", "the object is live and is allocated once more: `a 0 1 8`"),
            ("\u{7}\u{1b}[31m", "unknown event; the events are a, z, r and f: `\u{fffd}\u{fffd}[31m`"),
        ] {
            let error = Trace::read(format!("{sound}{line}\nf 0 1\n").as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("line 5: {expected}"));
        }
        for line in ["f 0 1", "r 0 1 4"] {
            let error = Trace::read(format!("{sound}f 0 1\n{line}").as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("line 6: the object was freed already: `{line}`"));
        }
    }

    #[test]
    fn damaged_compression_is_named_with_its_line() {
        for (length, line) in [(5, 1), (10, 1), (1000, 1), (100_000, 1000), (SQLITE3.len() - 5, 10_000)] {
            let error = Trace::read(&SQLITE3[..length]).unwrap_err();
            assert!(matches!(error.problem, Problem::Compression(_)) && error.line >= line, "{length}: {error}");
        }
        let mut flipped = SQLITE3.to_vec();
        flipped[150_000] ^= 0x10;
        let error = Trace::read(&flipped).unwrap_err();
        assert!(error.line > 1000, "{error}");
    }
}

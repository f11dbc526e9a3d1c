//! Reads a trace, and says where it is damaged.
//!
//! A trace is text, plain or compressed with zstd. Lines that begin with `#` are comments, the others are events:
//!
//! | line | meaning |
//! |---|---|
//! | `a THREAD OBJECT SIZE [ALIGN]` | allocate SIZE bytes (ALIGN 16 unless given) |
//! | `z THREAD OBJECT SIZE [ALIGN]` | the same, zeroed; read as `a`, since a replay writes all bytes anyway |
//! | `r THREAD OBJECT SIZE` | reallocate the object to SIZE bytes, contents kept |
//! | `f THREAD OBJECT` | free the object |
//!
//! OBJECT is a small number from 0. After a free the number may be used again, for another object. SIZE can be 0,
//! because C programs do ask for 0 bytes and free the result; such an object is read as one of 1 byte. THREAD is a
//! number, too.

use std::alloc::Layout;
use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, StreamingDecoder};

use crate::error::{Problem, TraceError};
use crate::trace::{Event, Stretch, Trace};

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const DEFAULT_ALIGN: usize = 16;
/// Objects are numbered from 0 on. A number far above any program's count of objects is damage, and no reason to
/// reserve memory.
pub const MOST_OBJECTS: usize = 1 << 26;

/// A number of the trace, and the object that has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    NotYet,
    Live(u32),
    Freed,
}

impl Trace {
    /// Reads a trace, compressed or plain.
    ///
    /// # Errors
    ///
    /// With the line where the trace is damaged.
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
                    let parsed = parse_event(line)
                        .and_then(|(thread, event)| Ok((thread, live(&mut lives, &mut trace.objects, event)?)));
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
        Ok(trace)
    }
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
                // If that fails, the text stays as it is.
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

/// The event with the number of its object instead of the trace's number, which later objects may have again.
fn live(lives: &mut Vec<Life>, objects: &mut usize, mut event: Event) -> Result<Event, Problem> {
    let (begins, ends) = (matches!(event, Event::Allocate { .. }), matches!(event, Event::Free { .. }));
    let (Event::Allocate { object, .. } | Event::Reallocate { object, .. } | Event::Free { object }) = &mut event;
    let number = *object as usize;
    let life = lives.get(number).copied().unwrap_or(Life::NotYet);
    *object = match (begins, life) {
        (true, Life::Live(_)) => return Err(Problem::AllocatedTwice),
        (true, Life::NotYet | Life::Freed) => {
            *objects += 1;
            (*objects - 1) as u32
        }
        (false, Life::NotYet) => return Err(Problem::NeverAllocated),
        (false, Life::Freed) => return Err(Problem::AlreadyFreed),
        (false, Life::Live(object)) => object,
    };
    if number >= lives.len() {
        lives.resize(number + 1, Life::NotYet);
    }
    lives[number] = if ends { Life::Freed } else { Life::Live(*object) };
    Ok(event)
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
    use crate::trace::SQLITE3;

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
        for (length, line) in [(5, 1), (10, 1), (1000, 1), (20_000, 1000), (SQLITE3.len() - 5, 10_000)] {
            let error = Trace::read(&SQLITE3[..length]).unwrap_err();
            assert!(matches!(error.problem, Problem::Compression(_)) && error.line >= line, "{length}: {error}");
        }
        let mut flipped = SQLITE3.to_vec();
        flipped[30_000] ^= 0x10;
        let error = Trace::read(&flipped).unwrap_err();
        assert!(error.line > 1000, "{error}");
    }
}

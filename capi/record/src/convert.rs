//! Makes a trace of a raw file.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::raw::{CHUNK, Header, Kind, MAGIC, NAME, RECORD, read_first_word};

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The command line.
    pub program: String,
    /// Events of the trace.
    pub events: usize,
    /// Objects that were allocated.
    pub objects: usize,
    /// Threads that allocated or freed.
    pub threads: usize,
    /// Objects that another thread freed than the one that allocated them.
    pub cross_thread_frees: usize,
    /// Most live bytes at one time.
    pub peak: usize,
    /// Objects that were live at the end.
    pub live: usize,
    /// Events that the trace lacks: those of objects from before its beginning, and those that had no room.
    pub lost: usize,
}

/// One event.
struct Event {
    sequence: u64,
    thread: u64,
    kind: Kind,
    align: usize,
    address: u64,
    size: u64,
}

/// An object that is live.
#[derive(Clone, Copy)]
struct Object {
    number: usize,
    thread: usize,
    size: u64,
}

/// Writes the trace of a raw file, compressed with zstd.
///
/// # Errors
///
/// When a file can't be read or written, or `raw` is none.
pub fn convert(raw: &Path, trace: &Path) -> io::Result<Summary> {
    let (mut events, mut summary) = read(raw)?;
    events.sort_unstable_by_key(|event| event.sequence);
    let lines = lines(&events, &mut summary);
    let Summary { program, events, objects, threads, cross_thread_frees, peak, live, lost } = &summary;
    let text = format!(
        "# allocation trace v1\n# program: {program}\n# events {events} objects {objects} threads {threads} \
         cross-thread-frees {cross_thread_frees} peak-live-bytes {peak} live-at-exit {live} left-out {lost}\n{lines}"
    );
    fs::write(trace, compress_to_vec(text.as_bytes(), CompressionLevel::Fastest))?;
    Ok(summary)
}

/// A word at an offset.
fn word(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..offset + 8].try_into().map_or(0, u64::from_ne_bytes)
}

fn read(raw: &Path) -> io::Result<(Vec<Event>, Summary)> {
    let file = File::open(raw)?;
    let mut chunk = vec![0; CHUNK];
    file.read_exact_at(&mut chunk, 0)?;
    if word(&chunk, offset_of!(Header, magic)) != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a raw recording"));
    }
    let name = offset_of!(Header, name);
    let name = &chunk[name..name + (word(&chunk, offset_of!(Header, name_len)) as usize).min(NAME)];
    let printed = |c: char| if c.is_control() { ' ' } else { c };
    let program = String::from_utf8_lossy(name).chars().map(printed).collect::<String>().trim().to_owned();
    let lost = word(&chunk, offset_of!(Header, lost)) as usize;
    let room = file.metadata()?.len() / CHUNK as u64 - 1;
    let chunks = word(&chunk, offset_of!(Header, chunks)).min(room);
    let mut events = Vec::new();
    for number in 1..=chunks {
        file.read_exact_at(&mut chunk, number * CHUNK as u64)?;
        let thread = word(&chunk, 0);
        for record in chunk.chunks_exact(RECORD).skip(1) {
            let Some((sequence, kind, align)) = read_first_word(word(record, 0)) else { break };
            events.push(Event { sequence, thread, kind, align, address: word(record, 8), size: word(record, 16) });
        }
    }
    Ok((events, Summary { program, lost, ..Summary::default() }))
}

/// The lines of all events, which are in order.
fn lines(events: &[Event], summary: &mut Summary) -> String {
    let mut text = String::new();
    let mut threads: HashMap<u64, usize> = HashMap::new();
    let mut live: HashMap<u64, Object> = HashMap::new();
    // Of each thread, what it is resizing.
    let mut resizing: HashMap<u64, (u64, Object)> = HashMap::new();
    let (mut numbers, mut free_numbers, mut bytes) = (0, Vec::new(), 0);
    for event in events {
        let next = threads.len();
        let thread = *threads.entry(event.thread).or_insert(next);
        let align = if event.align > 16 { format!(" {}", event.align) } else { String::new() };
        // It does not fail: a string takes all.
        let mut line = |line: std::fmt::Arguments<'_>| _ = text.write_fmt(line);
        match event.kind {
            Kind::Allocated | Kind::Zeroed => {
                let number = free_numbers.pop().unwrap_or_else(|| {
                    numbers += 1;
                    numbers - 1
                });
                let letter = if event.kind == Kind::Zeroed { 'z' } else { 'a' };
                line(format_args!("{letter} {thread} {number} {}{align}\n", event.size));
                // Nobody can have an object there, unless an event of its end had no room.
                if live.insert(event.address, Object { number, thread, size: event.size }).is_some() {
                    summary.lost += 1;
                }
                summary.objects += 1;
                bytes += event.size;
            }
            Kind::Freed => match live.remove(&event.address) {
                Some(object) => {
                    line(format_args!("f {thread} {}\n", object.number));
                    free_numbers.push(object.number);
                    summary.cross_thread_frees += usize::from(object.thread != thread);
                    bytes -= object.size;
                }
                None => {
                    summary.lost += 1;
                    continue;
                }
            },
            Kind::ResizeBegins => {
                match live.remove(&event.address) {
                    Some(object) => _ = resizing.insert(event.thread, (event.address, object)),
                    None => summary.lost += 1,
                }
                continue;
            }
            Kind::ResizeEnded => {
                let Some((before, object)) = resizing.remove(&event.thread) else { continue };
                if event.address == 0 {
                    live.insert(before, object);
                    continue;
                }
                line(format_args!("r {thread} {} {}\n", object.number, event.size));
                live.insert(event.address, Object { size: event.size, ..object });
                bytes = bytes - object.size + event.size;
            }
        }
        summary.events += 1;
        summary.peak = summary.peak.max(bytes as usize);
    }
    // A program that ended in the middle of a resize has the object as it was.
    summary.live = live.len() + resizing.len();
    summary.threads = threads.len();
    text
}

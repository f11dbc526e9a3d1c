//! A trace: a program's calls of its allocator, in order.

use std::alloc::Layout;
use std::error::Error;
use std::fs;
use std::path::Path;

/// The whole run of an unmodified sqlite3 on a table of 20 000 rows: insert, index, group by, update, delete, vacuum.
/// Every call of malloc, calloc, realloc and free is recorded, in the order in which the calls returned.
pub const SQLITE3: &[u8] = include_bytes!("../sqlite3.trace.zst");

/// The whole run of RocksDB's db_bench, fillrandom and readwhilewriting, recorded in the same way. It keeps blocks of
/// many ages and sizes, so here it matters whether somebody merges them.
pub const DB_BENCH: &[u8] = include_bytes!("../db_bench.trace.zst");

/// One call of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The object comes to life.
    Allocate {
        /// Its number.
        object: u32,
        /// At least 1 byte.
        layout: Layout,
    },
    /// The object gets another size.
    Reallocate {
        /// Its number.
        object: u32,
        /// The new size, at least 1 byte.
        size: usize,
    },
    /// The object ends.
    Free {
        /// Its number.
        object: u32,
    },
}

/// A whole run of a program. Every event is possible: objects are allocated before they are used, and freed once.
#[derive(Debug)]
pub struct Trace {
    /// From the comment `# program: …`.
    pub program: String,
    /// All calls, in order.
    pub events: Vec<Event>,
    /// Objects are numbered from 0 up to this, in the order of their allocation.
    pub objects: usize,
    /// The thread of each event, as stretches of consecutive events. Threads change seldom, so stretches take far less
    /// memory than a number in each event.
    pub stretches: Vec<Stretch>,
}

/// Consecutive events of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// As in the trace; not the same as in the stretch before.
    pub thread: usize,
    /// At least 1.
    pub events: usize,
}

/// The most memory that a trace has at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Most live requested bytes.
    pub live: usize,
    /// The number of events up to that moment.
    pub events: usize,
    /// Most bytes of live blocks, which are powers of two. This may be at another moment.
    pub held: usize,
}

impl Trace {
    /// Opens a file, which must have an allocation; without a file, the trace of sqlite3.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not a trace, or has no allocation.
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

    /// The name of the program, without its arguments.
    pub fn name(&self) -> &str {
        self.program.split(',').next().unwrap_or_default()
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
            // Saturating: no memory has that many bytes, and any sum that large says so.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_traces_are_as_their_headers_say() {
        for (bytes, name, events, objects, live) in [
            (SQLITE3, "sqlite3", 156_272, 78_115, 6_253_591),
            (DB_BENCH, "RocksDB db_bench fillrandom + readwhilewriting", 1_483_233, 743_161, 9_330_038),
        ] {
            let trace = Trace::read(bytes).unwrap();
            assert_eq!((trace.name(), trace.events.len(), trace.objects), (name, events, objects));
            assert_eq!(trace.peak(16).live, live);
        }
    }

    #[test]
    fn peaks_count_rounded_blocks() {
        let trace = Trace::read(b"a 0 0 100\nr 1 0 300\na 0 1 1\nf 0 0\na 0 2 10 1024\nf 0 2\nz 0 0 0\n").unwrap();
        assert_eq!(trace.peak(64), Peak { live: 301, events: 3, held: 64 + 1024 });
    }

    #[test]
    fn a_number_used_again_is_another_object() {
        let trace = Trace::read(b"a 0 5 1\nf 0 5\na 0 5 2\na 0 0 3\nf 0 5\n").unwrap();
        let objects: Vec<_> = trace
            .events
            .iter()
            .map(|event| match *event {
                Event::Allocate { object, .. } | Event::Reallocate { object, .. } | Event::Free { object } => object,
            })
            .collect();
        assert_eq!((objects, trace.objects), (vec![0, 0, 1, 2, 1], 3));
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
}

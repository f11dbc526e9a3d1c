//! The script of a process: a trace in which nothing is left to look up, and how it gets through a pipe.
//!
//! So the process that is measured has parsed nothing, and has given no memory back that its allocator could use again.

use std::alloc::Layout;
use std::io::{self, ErrorKind, Read, Write};

use recordings::{Event, Trace};

/// One call of the program. Slots are where the blocks of live objects are; dead objects leave theirs to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// With the logarithm of the alignment.
    Allocate {
        align: u8,
        slot: u32,
        size: u64,
    },
    Resize {
        slot: u32,
        size: u64,
    },
    Release {
        slot: u32,
    },
}

/// Consecutive calls of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub thread: usize,
    pub calls: usize,
}

/// All calls of a program, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Threads are numbered from 0 in the order of their first calls, so 0 is the program's first.
    pub threads: usize,
    pub slots: usize,
    /// Most live requested bytes.
    pub live: u64,
    /// How many calls it takes to get there.
    pub live_at: usize,
    pub turns: Vec<Turn>,
    pub calls: Vec<Call>,
}

impl Script {
    /// What is live at the end of the trace stays so: it can't raise the peak.
    pub fn new(trace: &Trace) -> Self {
        let (mut names, mut turns) = (Vec::new(), Vec::with_capacity(trace.stretches.len()));
        for stretch in &trace.stretches {
            let thread = names.iter().position(|name| *name == stretch.thread).unwrap_or(names.len());
            if thread == names.len() {
                names.push(stretch.thread);
            }
            turns.push(Turn { thread, calls: stretch.events });
        }
        let mut slot_of = vec![0; trace.objects];
        let (mut idle, mut slots) = (Vec::new(), 0);
        let call = |event: &Event| match *event {
            Event::Allocate { object, layout } => {
                let slot = idle.pop().unwrap_or_else(|| {
                    slots += 1;
                    slots - 1
                });
                slot_of[object as usize] = slot;
                Call::Allocate { align: layout.align().trailing_zeros() as u8, slot, size: layout.size() as u64 }
            }
            Event::Reallocate { object, size } => Call::Resize { slot: slot_of[object as usize], size: size as u64 },
            Event::Free { object } => {
                let slot = slot_of[object as usize];
                idle.push(slot);
                Call::Release { slot }
            }
        };
        let calls = trace.events.iter().map(call).collect();
        let peak = trace.peak(1);
        let (live, live_at) = (peak.live as u64, peak.events);
        Self { threads: names.len(), slots: slots as usize, live, live_at, turns, calls }
    }

    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for number in [self.threads, self.slots, self.live_at, self.turns.len(), self.calls.len()] {
            out.write_all(&(number as u64).to_le_bytes())?;
        }
        out.write_all(&self.live.to_le_bytes())?;
        for turn in &self.turns {
            out.write_all(&(turn.thread as u64).to_le_bytes())?;
            out.write_all(&(turn.calls as u64).to_le_bytes())?;
        }
        for call in &self.calls {
            let (kind, align, slot, size) = match *call {
                Call::Allocate { align, slot, size } => (0, align, slot, size),
                Call::Resize { slot, size } => (1, 0, slot, size),
                Call::Release { slot } => (2, 0, slot, 0),
            };
            out.write_all(&[kind, align, 0, 0])?;
            out.write_all(&slot.to_le_bytes())?;
            out.write_all(&size.to_le_bytes())?;
        }
        Ok(())
    }

    /// Reads what [`Script::write`] wrote. Allocates exactly what it keeps, and releases nothing.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut number = || Ok::<_, io::Error>(u64::from_le_bytes(bytes(from)?));
        let (threads, slots, live_at) = (number()? as usize, number()? as usize, number()? as usize);
        let (turns, calls) = (number()? as usize, number()? as usize);
        let live = number()?;
        let mut script =
            Self { threads, slots, live, live_at, turns: Vec::with_capacity(turns), calls: Vec::with_capacity(calls) };
        for _ in 0..turns {
            let (thread, calls) = (number()? as usize, number()? as usize);
            script.turns.push(Turn { thread, calls });
        }
        for _ in 0..calls {
            let [kind, align, _, _] = bytes(from)?;
            let slot = u32::from_le_bytes(bytes(from)?);
            let size = u64::from_le_bytes(bytes(from)?);
            script.calls.push(match kind {
                0 => Call::Allocate { align, slot, size },
                1 => Call::Resize { slot, size },
                2 => Call::Release { slot },
                _ => return Err(ErrorKind::InvalidData.into()),
            });
        }
        Ok(script)
    }
}

fn bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map(|()| bytes)
}

/// The layout of a size and the logarithm of an alignment, which a trace had.
pub fn layout(size: u64, align: u8) -> Layout {
    Layout::from_size_align(size as usize, 1 << align).expect("a layout of a trace")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        Script::new(&Trace::read(text.as_bytes()).unwrap())
    }

    #[test]
    fn dead_objects_leave_their_slots_and_threads_are_numbered_as_they_come() {
        let script = script("a 9 0 8\na 9 1 9 64\nf 2 0\na 2 2 10\nr 9 2 40\na 0 3 5\n");
        assert_eq!((script.threads, script.slots, script.live, script.live_at), (3, 3, 54, 6));
        let turns: Vec<_> = script.turns.iter().map(|turn| (turn.thread, turn.calls)).collect();
        assert_eq!(turns, [(0, 2), (1, 2), (0, 1), (2, 1)]);
        assert_eq!(
            script.calls,
            [
                Call::Allocate { align: 4, slot: 0, size: 8 },
                Call::Allocate { align: 6, slot: 1, size: 9 },
                Call::Release { slot: 0 },
                Call::Allocate { align: 4, slot: 0, size: 10 },
                Call::Resize { slot: 0, size: 40 },
                Call::Allocate { align: 4, slot: 2, size: 5 },
            ]
        );
    }

    #[test]
    fn a_script_comes_through_a_pipe() {
        let script = script("a 9 0 8\na 9 1 900000 4096\nf 2 0\nr 0 1 77\nz 2 2 0\n");
        let mut written = Vec::new();
        script.write(&mut written).unwrap();
        assert_eq!(Script::read(&mut written.as_slice()).unwrap(), script);
        assert!(Script::read(&mut &written[..written.len() - 1]).is_err());
    }

    #[test]
    fn the_built_in_trace_has_its_peak() {
        let script = Script::new(&Trace::open(None).unwrap());
        assert_eq!((script.live, script.threads, script.turns.len()), (6_253_591, 1, 1));
        assert!(script.slots < script.calls.len() / 10, "{}", script.slots);
    }
}

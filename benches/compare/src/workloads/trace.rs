//! The calls of a real program, played by each thread on objects of its own.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use recordings::{Event, Trace};

use super::{Block, Workload, failed, give_back, take, touch};
use crate::subject::Subject;

/// One call of the program. Slots are where the blocks of live objects are; dead objects leave theirs to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Allocate { slot: u32, size: u32 },
    Resize { slot: u32, size: u32 },
    Release { slot: u32 },
}

/// A trace as it is played: nothing is left to look up, and nothing is live at the end.
#[derive(Clone, Debug)]
pub struct Program {
    /// From the head of the trace.
    pub name: String,
    calls: Arc<[Call]>,
    slots: usize,
    /// Blocks that no subject is asked for, since a [`Subject`] knows no alignment.
    pub left_out: usize,
}

impl Program {
    /// From a file; without one, the program that is built in.
    pub fn read(path: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        Self::new(&Trace::open(path)?)
    }

    fn new(trace: &Trace) -> Result<Self, Box<dyn Error>> {
        let mut slot_of = vec![None; trace.objects];
        let (mut idle, mut slots, mut left_out) = (Vec::new(), 0, 0);
        let narrow = |size| u32::try_from(size).map_err(|_| "the trace has a block of 4 GiB or more");
        let mut calls = Vec::with_capacity(trace.events.len());
        for event in &trace.events {
            calls.push(match *event {
                Event::Allocate { object, layout } => {
                    if layout.align() > 16 {
                        left_out += 1;
                        continue;
                    }
                    let slot = idle.pop().unwrap_or_else(|| {
                        slots += 1;
                        slots - 1
                    });
                    slot_of[object as usize] = Some(slot);
                    Call::Allocate { slot, size: narrow(layout.size())? }
                }
                Event::Reallocate { object, size } => {
                    let Some(slot) = slot_of[object as usize] else { continue };
                    Call::Resize { slot, size: narrow(size)? }
                }
                Event::Free { object } => {
                    let Some(slot) = slot_of[object as usize].take() else { continue };
                    idle.push(slot);
                    Call::Release { slot }
                }
            });
        }
        calls.extend(slot_of.into_iter().flatten().map(|slot| Call::Release { slot }));
        Ok(Self { name: trace.program.clone(), calls: calls.into(), slots: slots as usize, left_out })
    }
}

/// The program, again and again.
#[derive(Debug)]
pub struct Replay {
    program: Program,
}

#[derive(Debug)]
pub struct Player {
    blocks: Vec<Option<Block>>,
    next: usize,
}

impl Replay {
    /// So few that threads stop at about the same time.
    const STEP: usize = 1000;

    pub fn of(program: &Program) -> Self {
        Self { program: program.clone() }
    }
}

impl Workload for Replay {
    type Local = Player;

    fn begin<S: Subject>(&self, _: &S, _: usize) -> Player {
        Player { blocks: (0..self.program.slots).map(|_| None).collect(), next: 0 }
    }

    fn step<S: Subject>(&self, subject: &S, player: &mut Player) -> u64 {
        let Player { blocks, next } = player;
        let rest = &self.program.calls[*next..];
        let calls = &rest[..rest.len().min(Self::STEP)];
        let mut count = 0;
        for call in calls {
            count += 1;
            match *call {
                Call::Allocate { slot, size } => blocks[slot as usize] = Some(take(subject, size)),
                Call::Release { slot } => {
                    give_back(subject, blocks[slot as usize].take().expect("the object is live"));
                }
                Call::Resize { slot, size } => {
                    // An allocation and a release, however it is done.
                    count += 1;
                    resize(subject, blocks[slot as usize].as_mut().expect("the object is live"), size);
                }
            }
        }
        *next = if calls.len() == rest.len() { 0 } else { *next + calls.len() };
        count
    }

    fn end<S: Subject>(&self, subject: &S, player: Player) {
        player.blocks.into_iter().flatten().for_each(|block| give_back(subject, block));
    }
}

fn resize<S: Subject>(subject: &S, block: &mut Block, size: u32) {
    // SAFETY: the block is the subject's, as in `give_back`, and the one that stands for it from now on is the new one.
    let at = unsafe { subject.resize(block.at, block.size, size) };
    if at.is_null() {
        failed(size);
    }
    *block = Block { at, size };
    touch(block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_that_died_leave_their_slots_and_the_rest_is_released() {
        let trace = Trace::read(b"a 0 0 8\na 0 1 9\nf 0 0\na 0 2 10\nr 0 2 40\na 0 3 5\n").unwrap();
        let program = Program::new(&trace).unwrap();
        assert_eq!(program.slots, 3);
        assert_eq!(
            *program.calls,
            [
                Call::Allocate { slot: 0, size: 8 },
                Call::Allocate { slot: 1, size: 9 },
                Call::Release { slot: 0 },
                Call::Allocate { slot: 0, size: 10 },
                Call::Resize { slot: 0, size: 40 },
                Call::Allocate { slot: 2, size: 5 },
                Call::Release { slot: 1 },
                Call::Release { slot: 0 },
                Call::Release { slot: 2 },
            ]
        );
    }

    #[test]
    fn an_alignment_above_16_is_left_out() {
        let trace = Trace::read(b"a 0 0 8 64\na 0 1 9\nr 0 0 20\nf 0 0\n").unwrap();
        let program = Program::new(&trace).unwrap();
        assert_eq!((program.slots, program.left_out), (1, 1));
        assert_eq!(*program.calls, [Call::Allocate { slot: 0, size: 9 }, Call::Release { slot: 0 }]);
    }
}

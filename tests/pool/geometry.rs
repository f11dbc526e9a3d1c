//! Every small geometry against the oracle: all heaps of up to 32 units at every place between the boundaries of
//! blocks, and in each all sequences of a few operations, all sets of released blocks, all sizes of the largest block.

use crate::common::{Lockstep, Op};

const UNIT: usize = 16;

/// Goes through every program of `depth` operations over one geometry, one run for each: at each step the state
/// decides which operations there are.
struct Explorer {
    /// For each step, which operation was chosen, and of how many.
    choices: Vec<(usize, usize)>,
    programs: u64,
    ops: u64,
}

/// Which operations a program is made of.
#[derive(Clone, Copy)]
struct Alphabet {
    orders: u32,
    /// Resize to every order; else only to the next larger and smaller one.
    resize_far: bool,
    batches: bool,
}

impl Alphabet {
    /// The operations in a state with these live blocks, which have these orders.
    fn ops(&self, live: &[(usize, u32)]) -> Vec<Op> {
        let mut ops: Vec<Op> = (0..self.orders).map(Op::Alloc).collect();
        ops.push(Op::Sweep);
        for (place, (_, order)) in live.iter().enumerate() {
            ops.push(Op::Release(place));
            let near = |to: &u32| to != order && (self.resize_far || to.abs_diff(*order) == 1);
            ops.extend((0..self.orders).filter(near).map(|to| Op::Resize(place, to)));
        }
        if self.batches {
            ops.extend([Op::AllocBatch(0, 3), Op::AllocBatch(1, 2), Op::AllocBatch(self.orders - 1, 2)]);
            ops.extend((live.len() > 1).then_some(Op::ReleaseBatch(0, live.len(), 1)));
        }
        ops
    }
}

impl Explorer {
    fn new() -> Self {
        Self { choices: Vec::new(), programs: 0, ops: 0 }
    }

    fn explore(&mut self, depth: usize, alphabet: Alphabet, fresh: impl Fn() -> Lockstep) {
        loop {
            let mut pool = fresh();
            let mut program = Vec::new();
            for step in 0..depth {
                let ops = alphabet.ops(&pool.oracle.live());
                if step == self.choices.len() {
                    self.choices.push((0, ops.len()));
                }
                program.push(ops[self.choices[step].0]);
                pool.run(program[step]);
            }
            // All prefixes are programs of their own, so the whole state is looked at only here.
            pool.check();
            pool.finish_alone(|blocks| (self.programs as usize) % blocks);
            self.programs += 1;
            self.ops += depth as u64;
            while let Some((choice, count)) = self.choices.pop() {
                if choice + 1 < count {
                    self.choices.push((choice + 1, count));
                    break;
                }
            }
            if self.choices.is_empty() {
                return;
            }
        }
    }
}

/// A heap of `units` units, the first of which is number `skew` of 32, with some bytes too many at both ends.
fn heap(units: usize, skew: usize, lead: usize, tail: usize, max_block: Option<usize>) -> Lockstep {
    let mut pool = Lockstep::new(UNIT, max_block);
    let first = (64 + skew) * UNIT;
    pool.add(first - lead, lead + units * UNIT + tail);
    assert_eq!(pool.oracle.capacity(), units * UNIT);
    pool
}

/// Orders that a heap of `units` units might have, and one that it can't.
fn orders(units: usize) -> u32 {
    units.ilog2() + 2
}

fn explore_all(units: std::ops::RangeInclusive<usize>, skews: usize, depth: usize, far: bool, batches: bool) {
    let mut explorer = Explorer::new();
    for units in units.clone() {
        for skew in 0..skews {
            // Odd bytes at the ends, other ones for each geometry; they are too few for a block.
            let (lead, tail) = (skew * 5 % UNIT, units * 7 % UNIT);
            let alphabet = Alphabet { orders: orders(units), resize_far: far, batches };
            explorer.explore(depth, alphabet, || heap(units, skew, lead, tail, None));
        }
    }
    println!("{units:?} units, {skews} skews: {} programs, {} operations", explorer.programs, explorer.ops);
}

#[test]
fn tiny_heaps_six_operations() {
    explore_all(1..=3, 4, 6, false, false);
}

#[test]
fn tiny_heaps_four_operations_of_every_kind() {
    explore_all(1..=4, 8, 4, true, true);
}

#[test]
fn small_heaps_four_operations() {
    explore_all(5..=8, 16, 4, false, false);
}

#[test]
fn all_heaps_up_to_32_units_three_operations() {
    explore_all(9..=32, 32, 3, false, false);
}

#[test]
fn all_heaps_up_to_32_units_two_operations_of_every_kind() {
    explore_all(1..=32, 32, 2, true, true);
}

/// Every set of released units: a heap full of smallest blocks, some of them released, and then the largest blocks
/// that there are, until there are none.
fn all_subsets(units: usize, skews: impl Iterator<Item = usize>) {
    let mut programs = 0;
    for skew in skews {
        for subset in 0..1u32 << units {
            let mut pool = heap(units, skew, subset as usize % UNIT, 3, None);
            let blocks = pool.alloc_batch(0, units + 1);
            assert_eq!(blocks.len(), units);
            let chosen = |address: &usize| subset >> (address / UNIT - 64 - skew) & 1 == 1;
            let mut released: Vec<usize> = blocks.into_iter().filter(chosen).collect();
            released.sort_unstable();
            // Ascending, descending, and as one batch.
            match subset % 3 {
                0 => released.iter().for_each(|address| pool.release(*address).expect("the block is live")),
                1 => released.iter().rev().for_each(|address| pool.release(*address).expect("the block is live")),
                _ => pool.release_batch(&released),
            }
            for order in (0..orders(units)).rev() {
                while pool.alloc(order).is_some() {}
            }
            assert_eq!(pool.oracle.live_bytes(), units * UNIT, "every unit could be had again");
            pool.check();
            pool.finish_alone(|blocks| subset as usize % blocks);
            programs += 1;
        }
    }
    println!("{units} units: {programs} sets");
}

#[test]
fn every_set_of_free_units() {
    for units in 1..=8 {
        all_subsets(units, 0..16);
    }
    all_subsets(12, [0, 3, 22].into_iter());
    all_subsets(15, [17].into_iter());
}

#[test]
fn every_largest_block() {
    for units in 1..=32 {
        for skew in 0..32 {
            for max_order in 0..6 {
                let mut pool = heap(units, skew, 0, 0, Some(UNIT << max_order));
                assert_eq!(pool.alloc(max_order + 1), None);
                for order in (0..=max_order).rev() {
                    while pool.alloc(order).is_some() {}
                }
                pool.check();
                pool.finish_alone(|blocks| (units + skew) % blocks);
                let largest = pool.oracle.largest_free(|_| true);
                assert!(largest <= UNIT << max_order);
            }
        }
    }
}

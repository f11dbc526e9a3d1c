//! The curves of a plot: figures of a pool at equal distances over a trace, with the sweeper or without.

use std::error::Error;
use std::sync::Arc;

use mempool::{BlockState, MemoryPool};
use recordings::Trace;

use crate::play::{Moment, Player};

/// Points of a curve, about.
const POINTS: usize = 800;

/// A pool at one moment: bytes, shares, and a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub events: f64,
    pub requested: f64,
    pub live: f64,
    /// The share of the free bytes outside of the largest free block as it stands.
    pub fragmentation: f64,
    /// The least that it can be: no block is larger than the power of two that the free bytes reach.
    pub least: f64,
    pub free_blocks: f64,
    /// Allocations that have failed so far.
    pub failures: usize,
}

/// Plays a trace, with a sweeper that has a pass after every `pass_every` events, or without one.
pub fn curve(trace: &Trace, pool: &Arc<MemoryPool>, pass_every: Option<usize>) -> Result<Vec<Point>, Box<dyn Error>> {
    let mut player = Player::new(pool, trace.objects, pass_every)?;
    let mut points = Vec::with_capacity(POINTS + 1);
    for part in trace.events.chunks(trace.events.len().div_ceil(POINTS).max(1)) {
        player.play(part)?;
        let moment = player.moment();
        points.push(Point {
            events: moment.events as f64,
            requested: moment.requested as f64,
            live: moment.live as f64,
            fragmentation: moment.fragmentation(moment.largest),
            least: least(&moment),
            free_blocks: pool.heap_map().filter(|block| block.state == BlockState::Free).count() as f64,
            failures: player.failures,
        });
    }
    Ok(points)
}

/// The external fragmentation if what is free were in blocks that are as large as can be.
fn least(moment: &Moment) -> f64 {
    moment.free.checked_ilog2().map_or(0.0, |order| moment.fragmentation(1 << order))
}

pub fn mean(points: &[Point], figure: Figure) -> f64 {
    points.iter().map(figure).sum::<f64>() / points.len().max(1) as f64
}

pub type Figure = fn(&Point) -> f64;

pub fn fragmentation(point: &Point) -> f64 {
    point.fragmentation
}

pub fn free_blocks(point: &Point) -> f64 {
    point.free_blocks
}

pub fn live(point: &Point) -> f64 {
    point.live
}

pub fn requested(point: &Point) -> f64 {
    point.requested
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::play;

    /// Small blocks, all of which are released, in the order of allocation.
    pub fn comb() -> Trace {
        let allocations: String = (0..3000).map(|object| format!("a 0 {object} 64\n")).collect();
        let releases: String = (0..3000).map(|object| format!("f 0 {object}\n")).collect();
        Trace::read((allocations + &releases).as_bytes()).unwrap()
    }

    #[test]
    fn sweeps_leave_fewer_free_blocks() {
        let trace = comb();
        let last = |every| *curve(&trace, &play::pool(64, 1 << 18).unwrap(), every).unwrap().last().unwrap();
        let (without, with) = (last(None), last(Some(100)));
        assert!(without.free_blocks > 10.0 * with.free_blocks, "{without:?}, {with:?}");
        assert!(with.fragmentation < without.fragmentation, "{without:?}, {with:?}");
        assert_eq!((with.live, without.live), (0.0, 0.0));
    }

    #[test]
    fn all_runs_are_the_same() {
        // The large ones are not there before somebody has merged small ones: those allocations sweep by themselves,
        // and many small ones are released while the sweeper could come early.
        let cycle = |large: usize| {
            let line = |object: usize| match object - large {
                0 => format!("a 0 {object} 100000\n"),
                _ => format!("f 0 {object}\n"),
            };
            let small = (large + 1..large + 3000).map(|object| format!("a 0 {object} 64\n"));
            let first = (large + 1..large + 2300).chain([large]).chain(large + 2300..large + 3000).map(line);
            small.chain(first).chain([format!("f 0 {large}\n")]).collect::<String>()
        };
        let text: String = (0..10).map(|number| cycle(3000 * number)).collect();
        let trace = Trace::read(text.as_bytes()).unwrap();
        let run = |pass_every| {
            let pool = play::pool(64, 1 << 18).unwrap();
            (curve(&trace, &pool, pass_every).unwrap(), pool.stats().searches)
        };
        let (first, without) = (run(Some(1009)), run(None));
        assert!(first.1 > 0 && first != without);
        for _ in 0..10 {
            assert!(run(Some(1009)) == first);
            // Nor does a sweeper do anything that has no pass.
            assert!(run(Some(usize::MAX)) == without);
        }
    }

    #[test]
    fn nothing_is_below_the_least() {
        let trace = Trace::open(None).unwrap();
        for pass_every in [None, Some(1000)] {
            let points = curve(&trace, &play::pool(64, 16 << 20).unwrap(), pass_every).unwrap();
            assert!(points.iter().all(|point| (0.0..=point.fragmentation).contains(&point.least)));
            assert!(points.iter().any(|point| point.least == point.fragmentation));
        }
        let moment = |free| Moment { free, ..Moment::default() };
        assert_eq!(
            [0, 64, 192, 1024 + 64].map(|free| least(&moment(free))),
            [0.0, 0.0, 1.0 - 128.0 / 192.0, 1.0 - 1024.0 / 1088.0]
        );
    }
}

//! A walk along the links of detached stacks, on many paths at once.
//!
//! Where blocks were released in random order, each step along the links is a cache miss that waits for the one before.
//! So more paths begin at units in between. Nobody knows beforehand whether their nodes were detached: they may stand
//! in a stack again, or another thread may own them. Then the links that are read along such a path mean nothing. So a
//! path counts only when it is *proven*:
//!
//! - A path that begins at the top of a detached stack is proven: the caller owns that node. The caller also owns the
//!   node to which the link of an owned node leads: nobody else writes to that link.
//! - A path ends where another one begins, or with its chain. If it is proven, so is that other one: the caller owns
//!   its first node, and has owned it since the stacks were detached, which was before anything was read along that
//!   path.
//!
//! The proof goes from the tops on, path by path, until each chain has come to its end. It is not enough that a path
//! ends where a proven one begins: a node of another thread may lead there. If some path turns out not to be proven,
//! all is walked once more without it. That happens when a block changed its owner just then, among the thousands at
//! which paths begin.

use super::marks::Marks;
use crate::check::{at, at_mut};
#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::raw::order::{BlockIndex, Geometry, Order};
use crate::raw::shards::Shards;
use crate::raw::stack::Links;
use crate::sync::{AtomicU8, AtomicU32, Ordering, model_or};

/// A path begins in each region of 2^`REGION_SHIFT` units.
/// Under loom in each pair of units.
const REGION_SHIFT: u32 = model_or(1, 12);

/// Cursors that walk at once: as many as a processor has cache misses under way.
/// Under loom two: no model has three paths that are unproven.
const CURSORS: usize = model_or(2, 64);

/// Nodes of a chain that one cursor walks alone, before it is worth while to walk on more paths.
/// Under loom none: no model has more than a few.
const SINGLE: usize = model_or(0, 1024);

/// Steps after which the cursors go to the paths that wait: a path that is not proven may go in a circle.
/// Under loom few: no model has more nodes.
const TURN: u32 = model_or(3, 1 << 16);

/// How far a path has come. A byte each, 0 at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// There is no such path.
    None,
    /// Nothing was read along it.
    New,
    /// It waits for a cursor to go on.
    Waiting,
    /// A cursor walks along it.
    Running,
    /// It has come to where another one begins, or to the end of its chain.
    Ended,
    /// It has ended, and it is proven.
    Proven,
}

/// The paths of one walk: one for each region, then one for each stack. Only one thread at a time uses them.
#[derive(Debug)]
pub struct Paths {
    regions: usize,
    phases: Table<AtomicU8>,
    /// The unit at which a path begins.
    starts: Table<AtomicU32>,
    /// The unit at which it stands, or has ended.
    places: Table<AtomicU32>,
}

/// Most stacks of a heap.
pub const TOPS: usize = Shards::<{ Order::COUNT }>::ALL;

/// The chains along which a walk goes.
#[derive(Clone, Copy, Debug)]
pub struct Ways<'a> {
    /// The links.
    pub links: &'a Links,
    /// The value of a link that leads nowhere.
    pub end: u32,
    /// All nodes are those of units below this one.
    pub units: u32,
    /// The tops of the stacks that were detached.
    pub tops: [Option<BlockIndex>; TOPS],
}

impl Paths {
    /// The paths of a heap of `geometry`. For models.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    #[cfg(modelled)]
    pub fn new(geometry: &Geometry) -> Result<Self, Unavailable> {
        Self::of(geometry, &mut Source::Global)
    }

    /// The paths of a heap of `geometry`.
    pub(in crate::raw) fn of(geometry: &Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        let regions = (geometry.units() >> REGION_SHIFT) as usize + 1;
        let paths = regions + TOPS;
        Ok(Self { regions, phases: source.table(paths)?, starts: source.table(paths)?, places: source.table(paths)? })
    }

    /// Most bytes that they take, for a heap of `units` units.
    #[cfg(not(modelled))]
    pub(in crate::raw) const fn room(units: usize) -> usize {
        let paths = (units >> REGION_SHIFT) + 1 + TOPS;
        room::<AtomicU8>(paths) + 2 * room::<AtomicU32>(paths)
    }

    /// Marks all nodes in the chains of `ways`, which the caller owns. No path begins at a node that is marked before;
    /// those marks are cleared. `begin` says where a path may begin between two units. O(nodes + regions).
    pub fn walk(&self, ways: &Ways<'_>, found: &Marks, begin: impl Fn(u32, u32) -> Option<BlockIndex>) {
        for region in 0..self.regions {
            let first = (region as u32) << REGION_SHIFT;
            let start = begin(first, first.saturating_add(1 << REGION_SHIFT)).filter(|start| !found.has(*start));
            self.add(region, start.map_or(ways.end, BlockIndex::get), ways);
        }
        loop {
            found.clear_all(ways.units);
            for (number, top) in ways.tops.into_iter().enumerate() {
                let place = top.map_or(ways.end, |top| self.walk_singly(top.get(), ways, found));
                self.add(self.regions + number, place, ways);
                // It may be where another path begins.
                if place != ways.end && self.start_at(place).is_some() {
                    self.set_phase(self.regions + number, Phase::Ended);
                }
            }
            self.run(ways, found);
            if self.keep_proven(ways) {
                return;
            }
        }
    }

    /// Walks along one chain, whose nodes the caller owns, for a while, or until another path begins there. Returns
    /// where it stands then.
    #[cfg_attr(modelled, allow(clippy::reversed_empty_ranges, reason = "no step is one of these"))]
    fn walk_singly(&self, top: u32, ways: &Ways<'_>, found: &Marks) -> u32 {
        let mut at = top;
        for _ in 0..SINGLE {
            if at == ways.end || self.start_at(at).is_some() {
                break;
            }
            found.set(BlockIndex::new(at));
            at = ways.links.after(BlockIndex::new(at));
        }
        at
    }

    /// Walks until the proof is complete.
    fn run(&self, ways: &Ways<'_>, found: &Marks) {
        let (mut paths, mut places, mut used, mut next) = ([0; CURSORS], [ways.end; CURSORS], 0, 0);
        while !self.is_proven(ways) {
            // Paths that wait come first.
            while used < CURSORS
                && let Some((path, place)) = self.launch(&mut next)
            {
                (*at_mut(&mut paths, used), *at_mut(&mut places, used)) = (path, place);
                used += 1;
            }
            let (mut afterwards, mut ended) = ([0; CURSORS], 0);
            for _ in 0..TURN {
                // Nothing else in between, so that all the cache misses are under way at once.
                for (after, place) in afterwards.iter_mut().zip(&places).take(used) {
                    *after = ways.links.after(BlockIndex::new(*place));
                }
                let mut number = 0;
                while number < used {
                    found.set(BlockIndex::new(*at(&places, number)));
                    let place = *at(&afterwards, number);
                    if place != ways.end && self.start_at(place).is_none() {
                        *at_mut(&mut places, number) = place;
                        number += 1;
                        continue;
                    }
                    self.leave(*at(&paths, number), place, Phase::Ended);
                    ended += 1;
                    if let Some(other) = self.launch(&mut next) {
                        (*at_mut(&mut paths, number), *at_mut(&mut places, number)) = other;
                        number += 1;
                    } else {
                        used -= 1;
                        let last = (*at(&paths, used), *at(&places, used));
                        (*at_mut(&mut paths, number), *at_mut(&mut places, number)) = last;
                        *at_mut(&mut afterwards, number) = *at(&afterwards, used);
                    }
                }
                if used < CURSORS && ended > 0 {
                    break;
                }
            }
            for (path, place) in paths.iter().zip(places).take(used) {
                self.leave(*path, place, Phase::Waiting);
            }
            used = 0;
        }
    }

    /// Notes how far a path has come.
    fn leave(&self, path: usize, place: u32, phase: Phase) {
        // Relaxed: see `Marks`.
        self.places[path].store(place, Ordering::Relaxed);
        self.set_phase(path, phase);
    }

    /// The next path for a cursor, and where it stands.
    fn launch(&self, next: &mut usize) -> Option<(usize, u32)> {
        let count = self.phases.len();
        let path = (0..count)
            .map(|step| (*next + step) % count.max(1))
            .find(|path| matches!(self.phase(*path), Phase::New | Phase::Waiting))?;
        *next = path + 1;
        self.set_phase(path, Phase::Running);
        // Relaxed: see `Marks`.
        Some((path, self.places[path].load(Ordering::Relaxed)))
    }

    /// Continues the proof, from the tops on: is it complete?
    fn is_proven(&self, ways: &Ways<'_>) -> bool {
        let tops = self.regions..self.phases.len();
        tops.filter(|top| self.phase(*top) != Phase::None).all(|top| {
            let mut path = Some(top);
            while let Some(proven) = path {
                if !matches!(self.phase(proven), Phase::Ended | Phase::Proven) {
                    return false;
                }
                self.set_phase(proven, Phase::Proven);
                // Relaxed: see `Marks`.
                let place = self.places[proven].load(Ordering::Relaxed);
                path = self.start_at(place).filter(|_| place != ways.end);
            }
            true
        })
    }

    /// Keeps the paths that are proven, for another walk. True: no link was read along any other path.
    fn keep_proven(&self, ways: &Ways<'_>) -> bool {
        let mut are_all = true;
        for path in 0..self.phases.len() {
            let phase = self.phase(path);
            are_all &= matches!(phase, Phase::None | Phase::New | Phase::Proven);
            // Relaxed: see `Marks`.
            let start = self.starts[path].load(Ordering::Relaxed);
            self.add(path, if phase == Phase::Proven { start } else { ways.end }, ways);
        }
        are_all
    }

    /// Adds a path that begins at `start`; none, if links end there.
    fn add(&self, path: usize, start: u32, ways: &Ways<'_>) {
        // Relaxed, all: see `Marks`.
        self.starts[path].store(start, Ordering::Relaxed);
        self.places[path].store(start, Ordering::Relaxed);
        self.set_phase(path, if start == ways.end { Phase::None } else { Phase::New });
    }

    /// The path that begins in a region, if it does so at this unit.
    #[inline]
    fn start_at(&self, unit: u32) -> Option<usize> {
        let region = (unit >> REGION_SHIFT) as usize;
        // Relaxed: see `Marks`.
        (region < self.regions && self.starts[region].load(Ordering::Relaxed) == unit).then_some(region)
    }

    fn phase(&self, path: usize) -> Phase {
        const ALL: [Phase; 6] = [Phase::None, Phase::New, Phase::Waiting, Phase::Running, Phase::Ended, Phase::Proven];
        // Relaxed: see `Marks`.
        ALL[self.phases[path].load(Ordering::Relaxed) as usize % ALL.len()]
    }

    fn set_phase(&self, path: usize, phase: Phase) {
        // Relaxed: see `Marks`.
        self.phases[path].store(phase as u8, Ordering::Relaxed);
    }
}

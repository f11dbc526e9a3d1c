//! Walking along the links of stacks that were detached, on many paths at once.
//!
//! Where blocks were released in random order each step along the links is a cache miss that waits for the one before. So more
//! paths begin at units in between, of which nobody knows beforehand whether their nodes were detached: they may as well stand in a
//! stack again, or be in another thread's hand, and what is read along such a path is worth nothing. A path counts only when it
//! is *proven*:
//!
//! - The ones that begin at the tops are: those nodes are in the caller's hand. So is what the link of a node leads to that is
//!   in hand: nobody else writes to it.
//! - A path ends where another one begins, or with its chain. If it is proven, that other one is: its first node is in the
//!   caller's hand, and has been since the stacks were detached, which was before anything was read along that path.
//!
//! So the proof goes from the tops on, path by path, until each chain has come to its end. It is not enough that a path ends where
//! a proven one begins: a node in another thread's hand may well lead there. If some path turns out not to be proven, all is
//! walked once more without it, which happens when a block changed hands just then, among the thousands that paths begin at.

use super::marks::Marks;
use super::stop::Stop;
#[cfg(all(feature = "allocator", not(modelled)))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::raw::order::{BlockIndex, Geometry, Order};
use crate::raw::shards::Shards;
use crate::raw::stack::Links;
use crate::sync::{AtomicU8, AtomicU32, Ordering, model_or};

/// A path begins in each region of 2^this units.
/// Under loom in each pair of units.
const REGION_SHIFT: u32 = model_or(1, 12);

/// Paths at once: as many cache misses as a processor has under way.
/// Under loom two: no model has three that are unproven.
const LANES: usize = model_or(2, 64);

/// Nodes of a chain that are walked singly, before it is worth while to look for places to begin in between.
/// Under loom none: no model has more than a few.
const SINGLE: usize = model_or(0, 1024);

/// Steps after which a path waits for the others: one that is not proven may go in a circle.
/// Under loom few, as above.
const TURN: u32 = model_or(3, 1 << 16);

/// What becomes of a path. A byte each, 0 at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// There is none.
    None,
    /// Nothing was read along it.
    New,
    /// It goes on later.
    Waiting,
    /// It is in a lane.
    Running,
    /// It has come to where another one begins, or to the end of its chain.
    Ended,
    /// The same, and it is proven.
    Proven,
}

/// The paths of one walk: one for each region, then one for each stack. Only one thread at a time uses them.
#[derive(Debug)]
pub struct Paths {
    regions: usize,
    phases: Table<AtomicU8>,
    /// The unit that a path begins at.
    starts: Table<AtomicU32>,
    /// Where it stands, or has ended.
    places: Table<AtomicU32>,
}

/// Stacks of a heap.
pub const TOPS: usize = Shards::<{ Order::COUNT }>::ALL;

/// What a walk goes along.
#[derive(Clone, Copy, Debug)]
pub struct Ways<'a> {
    /// The links.
    pub links: &'a Links,
    /// What stands for a link that leads nowhere.
    pub end: u32,
    /// All nodes are of the first ones of so many units.
    pub units: u32,
    /// The tops of the stacks that were detached.
    pub tops: [Option<BlockIndex>; TOPS],
}

/// Of tables: nobody has them, and all bits are clear.
pub(in crate::raw) const IDLE: u32 = 0;
/// Some sweep has them.
pub(in crate::raw) const TAKEN: u32 = 1;
/// Nobody has them; the bits are those of nodes that are in nobody's hand, and stand in no stack. Who takes the tables has them in hand.
pub(in crate::raw) const LEFT: u32 = 2;
/// Nobody has them; the bits mean nothing.
pub(in crate::raw) const UNCLEAR: u32 = 3;

/// The tables that a sweep needs to have nodes in hand: one sweep at a time has them, the others do without.
#[derive(Debug)]
pub(in crate::raw) struct GatherTables {
    /// Who has them: [`IDLE`], or one of the other values.
    pub(in crate::raw) taken: AtomicU32,
    /// The nodes in hand.
    pub(in crate::raw) nodes: Marks,
    /// For the walk to find them.
    pub(in crate::raw) paths: Paths,
}

impl GatherTables {
    /// Bytes that they take in an area, for so many units.
    #[cfg(all(feature = "allocator", not(modelled)))]
    pub(in crate::raw) const fn room(units: usize) -> usize {
        let paths = (units >> REGION_SHIFT) + 1 + TOPS;
        Marks::room(units) + room::<AtomicU8>(paths) + 2 * room::<AtomicU32>(paths)
    }

    /// For a heap of `geometry`: one bit for each unit, and a little.
    pub(in crate::raw) fn new(geometry: &Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self {
            taken: AtomicU32::new(IDLE),
            nodes: Marks::of(geometry, source)?,
            paths: Paths::of(geometry, source)?,
        })
    }
}

impl Paths {
    /// For a heap of `geometry`. For models.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    #[cfg(modelled)]
    pub fn new(geometry: &Geometry) -> Result<Self, Unavailable> {
        Self::of(geometry, &mut Source::Global)
    }

    /// For a heap of `geometry`.
    fn of(geometry: &Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        let regions = (geometry.units() >> REGION_SHIFT) as usize + 1;
        let paths = regions + TOPS;
        Ok(Self { regions, phases: source.table(paths)?, starts: source.table(paths)?, places: source.table(paths)? })
    }

    /// Sets the bits of all nodes in the chains that `ways` names, which are in the caller's hand. Clears those that were set: there
    /// no path may begin. `begin` says where one may between two units. O(nodes + regions). False, if it stopped: then the bits mean
    /// nothing.
    pub fn walk(
        &self,
        ways: &Ways<'_>,
        found: &Marks,
        stop: &mut Stop<'_>,
        begin: impl Fn(u32, u32) -> Option<BlockIndex>,
    ) -> bool {
        for region in 0..self.regions {
            if stop.is_due(1) {
                return false;
            }
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
                if top.is_some() && stop.is_due(SINGLE as u32) {
                    return false;
                }
            }
            if !self.run(ways, found, stop) {
                return false;
            }
            if self.keep_proven(ways) {
                return true;
            }
        }
    }

    /// Walks along one chain, whose nodes are in the caller's hand, for a while, or until it is where another path begins;
    /// returns where it stands then.
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

    /// Walks until the proof is complete. False, if it stopped.
    fn run(&self, ways: &Ways<'_>, found: &Marks, stop: &mut Stop<'_>) -> bool {
        let (mut lanes, mut places, mut used, mut next) = ([0; LANES], [ways.end; LANES], 0, 0);
        while !self.is_proven(ways) {
            // Those that wait come first.
            while used < LANES
                && let Some((path, place)) = self.launch(&mut next)
            {
                (lanes[used], places[used]) = (path, place);
                used += 1;
            }
            let (mut afterwards, mut ended) = ([0; LANES], 0);
            for _ in 0..TURN {
                if stop.is_due(used as u32) {
                    return false;
                }
                // Nothing else in between, so that all the cache misses are under way at once.
                for (after, place) in afterwards.iter_mut().zip(&places[..used]) {
                    *after = ways.links.after(BlockIndex::new(*place));
                }
                let mut number = 0;
                while number < used {
                    found.set(BlockIndex::new(places[number]));
                    let place = afterwards[number];
                    if place != ways.end && self.start_at(place).is_none() {
                        places[number] = place;
                        number += 1;
                        continue;
                    }
                    self.leave(lanes[number], place, Phase::Ended);
                    ended += 1;
                    if let Some(other) = self.launch(&mut next) {
                        (lanes[number], places[number]) = other;
                        number += 1;
                    } else {
                        used -= 1;
                        (lanes[number], places[number]) = (lanes[used], places[used]);
                        afterwards[number] = afterwards[used];
                    }
                }
                if used < LANES && ended > 0 {
                    break;
                }
            }
            for number in 0..used {
                self.leave(lanes[number], places[number], Phase::Waiting);
            }
            used = 0;
        }
        true
    }

    /// Notes how far a path has come.
    fn leave(&self, path: usize, place: u32, phase: Phase) {
        // Relaxed: see `Marks`.
        self.places[path].store(place, Ordering::Relaxed);
        self.set_phase(path, phase);
    }

    /// The next path to be walked along, and where it stands.
    fn launch(&self, next: &mut usize) -> Option<(usize, u32)> {
        let count = self.phases.len();
        let path = (0..count)
            .map(|step| (*next + step) % count)
            .find(|path| matches!(self.phase(*path), Phase::New | Phase::Waiting))?;
        *next = path + 1;
        self.set_phase(path, Phase::Running);
        // Relaxed: see `Marks`.
        Some((path, self.places[path].load(Ordering::Relaxed)))
    }

    /// Goes on with the proof, from the tops on: is it complete?
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

    /// Keeps the paths that are proven, to be walked once more. True: something was read along no others.
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

    /// There is a path that begins here; none, if that is where links end.
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

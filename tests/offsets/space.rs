//! A pool of offsets and an oracle, in lockstep: it says which operation must succeed, and what lies where.

use std::collections::BTreeMap;
use std::ops::Range;

use mempool::{
    AllocError, Block, BlockState, HeapId, OffsetPool, OffsetPoolBuilder, ReleaseError, ReserveError, ResizeError,
    Sizes,
};

use crate::common::oracle::cut;

/// The pool, and what it must have. Units are counted from offset 0.
pub struct Space {
    pub pool: OffsetPool,
    builder: OffsetPoolBuilder,
    pub min_block: u64,
    sizes: Sizes,
    pub ranges: Vec<(HeapId, Range<u64>)>,
    /// The first unit and the units of each live block.
    pub live: BTreeMap<u64, u64>,
}

fn alignment(units: u64) -> u64 {
    1 << units.trailing_zeros()
}

impl Space {
    /// With ranges of these units.
    pub fn new(builder: OffsetPoolBuilder, min_block: u64, sizes: Sizes, ranges: &[Range<u64>]) -> Self {
        let builder = builder.min_block(min_block).sizes(sizes);
        let pool = builder.clone().build().expect("valid");
        let ranges = ranges.iter().map(|units| {
            let id = pool.add_range_for(units.start * min_block, (units.end - units.start) * min_block, units.start);
            (id.expect("they don't overlap"), units.clone())
        });
        let ranges = ranges.collect();
        Self { pool, builder, min_block, sizes, ranges, live: BTreeMap::new() }
    }

    /// The units of a block of at least `units`.
    fn rounded(&self, units: u128) -> u128 {
        let whole = units.next_power_of_two();
        let eighth = (whole / 16).max(1);
        if self.sizes == Sizes::Eighths { units.next_multiple_of(eighth) } else { whole }
    }

    fn units_for(&self, len: u64, align: u64) -> u128 {
        let bytes = u128::from(len).next_multiple_of(u128::from(align));
        self.rounded(bytes.div_ceil(u128::from(self.min_block)))
    }

    fn gaps(&self, within: &Range<u64>) -> Vec<Range<u64>> {
        let live = || self.live.range(within.clone());
        let ends = live().map(|(unit, _)| *unit).chain([within.end]);
        let starts = [within.start].into_iter().chain(live().map(|(unit, units)| unit + units));
        starts.zip(ends).map(|(start, end)| start..end).filter(|gap| !gap.is_empty()).collect()
    }

    pub fn is_free(&self, units: &Range<u64>) -> bool {
        let free = |within: &Range<u64>| {
            self.gaps(within).into_iter().any(|gap| gap.start <= units.start && units.end <= gap.end)
        };
        self.ranges.iter().any(|(_, within)| free(within))
    }

    /// Could the range have it if all were free: an aligned power of two that is as large?
    fn could_have(within: &Range<u64>, units: u128) -> bool {
        let whole = units.next_power_of_two();
        u128::from(within.start).next_multiple_of(whole) + whole <= u128::from(within.end)
    }

    fn has(&self, units: u128, of: impl Fn(HeapId) -> bool) -> bool {
        let fits = |gap: Range<u64>| {
            u128::from(gap.start).next_multiple_of(1 << units.trailing_zeros()) + units <= u128::from(gap.end)
        };
        let ranges = || self.ranges.iter().filter(|(id, _)| of(*id)).map(|(_, within)| within);
        ranges().any(|within| Self::could_have(within, units))
            && ranges().any(|within| self.gaps(within).into_iter().any(fits))
    }

    pub fn alloc(&mut self, len: u64, align: u64) -> Option<u64> {
        let got = self.pool.alloc(len, align);
        self.allocated(got, len, align, |_| true)
    }

    pub fn alloc_in(&mut self, place: usize, len: u64, align: u64) -> Option<u64> {
        let (id, _) = self.ranges[place % self.ranges.len()];
        let got = self.pool.alloc_in(id, len, align);
        self.allocated(got, len, align, |other| other == id)
    }

    fn allocated(
        &mut self,
        got: Result<u64, AllocError>,
        len: u64,
        align: u64,
        of: impl Fn(HeapId) -> bool,
    ) -> Option<u64> {
        let units = self.units_for(len, align);
        let could = self.ranges.iter().any(|(id, within)| of(*id) && Self::could_have(within, units));
        match got {
            Ok(offset) => {
                assert!(could && self.has(units, &of), "{units} units at {offset:#x}");
                assert!(offset.is_multiple_of(align), "{offset:#x} and {align}");
                self.take(offset, units as u64);
                Some(offset)
            }
            Err(AllocError::TooLarge { .. }) => {
                assert!(!could, "{units} units");
                None
            }
            Err(error) => {
                assert!(could && !self.has(units, &of), "{units} units are there: {error}");
                None
            }
        }
    }

    fn take(&mut self, offset: u64, units: u64) {
        let unit = offset / self.min_block;
        assert!(
            offset.is_multiple_of(self.min_block) && unit.is_multiple_of(alignment(units)),
            "{units} at {offset:#x}"
        );
        assert!(self.is_free(&(unit..unit + units)), "{units} units at {unit} were handed out");
        self.live.insert(unit, units);
    }

    pub fn alloc_batch(&mut self, len: u64, count: usize) {
        let mut blocks = vec![0; count];
        let got = self.pool.alloc_batch(len, 1, &mut blocks).unwrap_or(0);
        let units = self.units_for(len, 1);
        blocks[..got].iter().for_each(|block| self.take(*block, units as u64));
        assert!(got == count || !self.has(units, |_| true), "{got} of {count}, and one more was there");
    }

    /// Releases an offset that may be any.
    pub fn release(&mut self, offset: u64) -> Result<(), ReleaseError> {
        let unit = offset / self.min_block;
        let around = self.live.range(..=unit).next_back().filter(|(head, units)| unit < **head + **units);
        let expected = match around.map(|(head, units)| (*head, *units)) {
            _ if !self.ranges.iter().any(|(_, within)| within.contains(&unit)) => Err(ReleaseError::Foreign),
            Some((head, units)) if head * self.min_block == offset => Ok((head, units)),
            Some(_) => Err(ReleaseError::Interior),
            None => Err(ReleaseError::NotLive),
        };
        assert_eq!(self.pool.block_size(offset), expected.map(|(_, units)| units * self.min_block), "{offset:#x}");
        assert_eq!(self.pool.release(offset), expected.map(|_| ()), "{offset:#x}");
        if let Ok((head, _)) = expected {
            self.live.remove(&head);
            assert_eq!(self.pool.release(offset), Err(ReleaseError::NotLive), "twice");
        }
        expected.map(|_| ())
    }

    pub fn resize(&mut self, unit: u64, len: u64) {
        let from = self.live[&unit];
        let to = self.units_for(len, 1);
        // What is in a cache is no room to grow into.
        self.pool.flush_thread_cache();
        let (_, within) = self.ranges.iter().find(|(_, within)| within.contains(&unit)).expect("it is live").clone();
        let end = u128::from(unit) + to;
        let fits = to == u128::from(from) || {
            let to = to.min(u128::from(u64::MAX)) as u64;
            let has_room = to <= from || end <= u128::from(within.end) && self.is_free(&(unit + from..unit + to));
            let is_shrink = from.is_power_of_two() && to.is_power_of_two() && to < from;
            is_shrink || has_room && unit.is_multiple_of(alignment(to)) && Self::could_have(&within, to.into())
        };
        match self.pool.resize_in_place(unit * self.min_block, len) {
            Ok(size) => {
                assert!(fits && u128::from(size) == to * u128::from(self.min_block), "{from} to {to} units");
                self.live.insert(unit, to as u64);
            }
            Err(ResizeError::NoRoom { size, .. }) => {
                assert!(!fits && size as u64 == from * self.min_block, "{from} to {to} units");
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Reserves a block or exactly these bytes. Returns the offsets of the blocks.
    pub fn reserve(&mut self, start: u64, len: u64, exact: bool) -> Vec<u64> {
        let got = if exact { self.pool.reserve_exact(start, len) } else { self.pool.reserve_at(start, len) };
        let Some(last) = start.checked_add(len - 1) else {
            assert_eq!(got, Err(ReserveError::Foreign { start, len }));
            return Vec::new();
        };
        let (first, end) = (start / self.min_block, last / self.min_block + 1);
        let within =
            self.ranges.iter().map(|(_, within)| within).find(|within| within.start <= first && end <= within.end);
        let Some(within) = within else {
            assert_eq!(got, Err(ReserveError::Foreign { start, len }));
            return Vec::new();
        };
        let units = self.units_for(len, 1);
        let begins = start.is_multiple_of(self.min_block)
            && u128::from(first).is_multiple_of(1 << units.trailing_zeros())
            && u128::from(first) + units <= u128::from(within.end)
            && Self::could_have(within, units);
        let blocks = if begins && !exact {
            vec![(first, units as u64)]
        } else {
            let whole = cut(within.clone(), 31).into_iter().map(|(_, order)| order).max().expect("some");
            cut(first..end, whole).into_iter().map(|(unit, order)| (unit, 1 << order)).collect()
        };
        let (first, end) = (blocks[0].0, blocks.iter().map(|(unit, units)| unit + units).max().expect("one"));
        if !self.is_free(&(first..end)) {
            let overlap = |(unit, units): (&u64, &u64)| (*unit + *units).min(end).saturating_sub((*unit).max(first));
            let taken: u64 = self.live.iter().map(overlap).sum();
            let Err(ReserveError::InUse { first: at, live, cached, in_transit, .. }) = got else { panic!("{got:?}") };
            assert_eq!((live, cached, in_transit), (taken * self.min_block, 0, 0));
            assert!(!self.is_free(&(at / self.min_block..at / self.min_block + 1)), "{at:#x} is free");
            assert!(
                at / self.min_block == first || self.is_free(&(first..at / self.min_block)),
                "{at:#x} is not the first"
            );
            return Vec::new();
        }
        assert_eq!(got, Ok(blocks.len() as u64), "{first} to {end}");
        let offsets = blocks.iter().map(|(unit, _)| unit * self.min_block).collect();
        self.live.extend(blocks);
        offsets
    }

    /// The map, the statistics and the oracle say the same.
    pub fn check(&self) {
        let mut live = BTreeMap::new();
        for (id, within) in &self.ranges {
            let mut unit = within.start;
            for Block { offset, size, state, .. } in self.pool.heap_map().filter(|block| block.heap == *id) {
                assert_eq!(offset as u64, (unit - within.start) * self.min_block, "the blocks follow each other");
                let units = size as u64 / self.min_block;
                match state {
                    BlockState::Live => _ = live.insert(unit, units),
                    BlockState::Free => assert!(unit.is_multiple_of(units) && units.is_power_of_two()),
                    other => assert_eq!(other, BlockState::Cached),
                }
                unit += units;
            }
            assert_eq!(unit, within.end);
        }
        assert_eq!(live, self.live);
        let stats = self.pool.stats();
        assert_eq!(stats.live as u64, self.live.values().sum::<u64>() * self.min_block);
        assert_eq!(stats.live + stats.cached + stats.free, stats.capacity);
    }

    /// Releases all, sees everything merge, and each range go.
    pub fn finish(mut self) {
        self.check();
        while let Some(unit) = self.live.keys().next_back().copied() {
            self.release(unit * self.min_block).expect("it is live");
        }
        self.pool.sweep();
        let units: Vec<_> = self.ranges.iter().map(|(_, units)| units.clone()).collect();
        let fresh = Self::new(self.builder.clone(), self.min_block, self.sizes, &units);
        let blocks = |pool: &OffsetPool| {
            pool.heap_map().map(|block| (block.offset, block.size, block.state)).collect::<Vec<_>>()
        };
        assert_eq!(blocks(&self.pool), blocks(&fresh.pool));
        for (id, _) in &self.ranges {
            self.pool.remove_range(*id).expect("all of it is free");
        }
        assert_eq!(self.pool.ranges().count(), 0);
    }
}

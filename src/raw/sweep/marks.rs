//! A bit for each unit of a heap: the nodes that a sweep has gathered.

#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Source, Table, Unavailable};
use crate::raw::order::{BlockIndex, Geometry};
use crate::sync::{AtomicU64, Ordering};

/// One bit for each unit. Only one thread at a time uses it.
#[derive(Debug)]
pub struct Marks(Table<AtomicU64>);

impl Marks {
    /// All clear. For models.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    #[cfg(modelled)]
    pub fn new(geometry: &Geometry) -> Result<Self, Unavailable> {
        Self::of(geometry, &mut Source::Global)
    }

    /// All clear.
    pub(in crate::raw) fn of(geometry: &Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        source.table(geometry.units().div_ceil(u64::BITS) as usize).map(Self)
    }

    /// Most bytes that it takes, for `units` units.
    #[cfg(not(modelled))]
    pub(in crate::raw) const fn room(units: usize) -> usize {
        room::<AtomicU64>(units.div_ceil(u64::BITS as usize))
    }

    // Relaxed, all: only the thread that has the tables uses them. `gather` hands them over.

    /// Is the bit of this unit set? False, if there is no such unit.
    #[inline]
    pub fn has(&self, block: BlockIndex) -> bool {
        self.word(block).is_some_and(|word| word.load(Ordering::Relaxed) >> (block.get() % u64::BITS) & 1 != 0)
    }

    /// Sets it.
    #[inline]
    pub fn set(&self, block: BlockIndex) {
        if let Some(word) = self.word(block) {
            word.store(word.load(Ordering::Relaxed) | 1 << (block.get() % u64::BITS), Ordering::Relaxed);
        }
    }

    /// Clears it.
    #[inline]
    pub fn clear(&self, block: BlockIndex) {
        if let Some(word) = self.word(block) {
            word.store(word.load(Ordering::Relaxed) & !(1 << (block.get() % u64::BITS)), Ordering::Relaxed);
        }
    }

    #[inline]
    fn word(&self, block: BlockIndex) -> Option<&AtomicU64> {
        self.0.get(block.place() / u64::BITS as usize)
    }

    /// Clears all, and returns the units whose bit was set, the last ones first.
    #[cfg(modelled)]
    pub fn drain(&self) -> impl Iterator<Item = BlockIndex> + '_ {
        (0..self.words(u32::MAX)).rev().flat_map(|place| self.drain_word(place))
    }

    /// Words that have the bits of the first `units` units.
    pub(in crate::raw) fn words(&self, units: u32) -> usize {
        self.0.len().min(units.div_ceil(u64::BITS) as usize)
    }

    /// Clears one word, and returns the units whose bit was set, the last ones first.
    #[inline]
    pub(in crate::raw) fn drain_word(&self, place: usize) -> impl Iterator<Item = BlockIndex> + use<> {
        let word = &self.0[place];
        let mut bits = word.load(Ordering::Relaxed);
        if bits != 0 {
            word.store(0, Ordering::Relaxed);
        }
        core::iter::from_fn(move || {
            let bit = bits.checked_ilog2()?;
            bits ^= 1 << bit;
            // Less than the number of units, which is an u32.
            Some(BlockIndex::new(place as u32 * u64::BITS + bit))
        })
    }

    /// Clears the bits of the first `units` units. No other one is set.
    pub(in crate::raw) fn clear_all(&self, units: u32) {
        self.0
            .iter()
            .take(self.words(units))
            .filter(|word| word.load(Ordering::Relaxed) != 0)
            .for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

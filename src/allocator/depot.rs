//! Depots: for each class, magazines that go from cache to cache, each by one compare-exchange and without a visit to
//! any of its blocks (Bonwick and Adams, Magazines and Vmem, 2001). A magazine goes to the shard of its first block's
//! slab.

use core::ptr::{self, NonNull};

use crossbeam_utils::CachePadded;

use crate::metadata::{Source, Table, Unavailable, Zeroed, room};
use crate::raw::Shard;
use crate::raw::stack::FreeStack;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::class::{self, size_of_class};
use super::meta::{Meta, MetaSize};

/// Most blocks of a magazine.
pub(super) const MAGAZINE: usize = 64;
/// The bits of a magazine's first block that have the magazine's own size. They are zero in each block's address.
const SIZE: usize = size_of_class(0) - 1;
const _: () = assert!(MetaSize::covering(MAGAZINE * size_of::<*mut u8>()).number() <= SIZE);

/// The depot of one class.
#[derive(Debug, Default)]
#[repr(C)]
struct Depot {
    /// Number of magazines, with those that are about to be pushed. It comes first, to be in a line with most of the
    /// shards.
    count: AtomicU32,
    /// The magazines of each shard.
    full: [FreeStack; Shard::COUNT],
}

// SAFETY: a padded structure of atomic integers: zero is valid, and what `default` makes.
unsafe impl Zeroed for CachePadded<Depot> {}

/// The depots of all classes.
#[derive(Debug)]
pub(super) struct Depots {
    /// In a table, so that unused ones take no memory.
    depots: Table<CachePadded<Depot>>,
    /// Bytes of all blocks in magazines.
    bytes: AtomicU64,
}

impl Depots {
    /// Bytes of their table.
    pub(super) const BYTES: usize = class::COUNT * size_of::<CachePadded<Depot>>();
    /// Bytes that it takes in an area.
    pub(super) const ROOM: usize = room::<CachePadded<Depot>>(class::COUNT);

    /// Depots without magazines.
    pub(super) fn new(source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self { depots: source.table(class::COUNT)?, bytes: AtomicU64::new(0) })
    }

    /// Number of magazines of a class. A hint.
    pub(super) fn count(&self, class: usize) -> u32 {
        // Relaxed: a hint.
        self.depots[class].count.load(Ordering::Relaxed)
    }

    /// Has a shard no magazine of a class? A hint.
    pub(super) fn is_empty(&self, class: usize, shard: Shard, meta: &Meta) -> bool {
        meta.is_empty(self.stack(class, shard))
    }

    fn stack(&self, class: usize, shard: Shard) -> &FreeStack {
        &self.depots[class].full[shard.number()]
    }

    /// Leaves a magazine of a few blocks in a shard. False: all magazines together would have more than `most` bytes,
    /// or those of this class more than a quarter of that, or there is no memory for the magazine.
    pub(super) fn put(&self, class: usize, shard: Shard, blocks: &[*mut u8], most: usize, meta: &Meta) -> bool {
        let count = &self.depots[class].count;
        let bytes = blocks.len() * size_of_class(class);
        // Relaxed, all: a bound that nothing depends on.
        if blocks.len() > MAGAZINE
            || self.bytes.load(Ordering::Relaxed) as usize + bytes > most
            || (count.load(Ordering::Relaxed) as usize + 1) * bytes > most / 4
        {
            return false;
        }
        let [first, rest @ ..] = blocks else { return true };
        let size = MetaSize::covering(size_of_val(blocks));
        let Some(magazine) = meta.alloc(size) else { return false };
        let places = magazine.cast::<*mut u8>();
        // SAFETY: metadata of this size, which is this thread's alone; there are no more blocks than it has places.
        unsafe {
            places.write(first.map_addr(|address| address | size.number()));
            places.add(1).copy_from_nonoverlapping(NonNull::from(rest).cast(), rest.len());
            if size_of_val(blocks) < size.bytes() {
                places.add(blocks.len()).write(ptr::null_mut());
            }
        }
        count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // The Release of the push pairs with the Acquire of the pop; makes the blocks visible to the thread that takes
        // the magazine.
        meta.push(self.stack(class, shard), magazine);
        true
    }

    /// Takes the blocks of one of a shard's magazines to `out`; returns how many, 0 if there is no magazine.
    pub(super) fn take(&self, class: usize, shard: Shard, out: &mut [*mut u8; MAGAZINE], meta: &Meta) -> usize {
        let Some(magazine) = meta.pop(self.stack(class, shard)) else { return 0 };
        // Relaxed: as in `put`.
        self.depots[class].count.fetch_sub(1, Ordering::Relaxed);
        let places = magazine.cast::<*mut u8>();
        // SAFETY: `put` wrote it, and it is this thread's now.
        let first = unsafe { places.read() };
        let size = MetaSize::of_number(first.addr() & SIZE);
        // SAFETY: `put` wrote all places, or those up to and with a null.
        let blocks = unsafe { core::slice::from_raw_parts(places.as_ptr(), size.bytes() / size_of::<*mut u8>()) };
        let length = blocks.iter().position(|block| block.is_null()).unwrap_or(blocks.len()).min(MAGAZINE);
        out.iter_mut().zip(blocks).take(length).for_each(|(place, block)| *place = *block);
        out[0] = first.map_addr(|address| address & !SIZE);
        // Relaxed: as in `put`.
        self.bytes.fetch_sub((length * size_of_class(class)) as u64, Ordering::Relaxed);
        meta.free(magazine, size);
        length
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// The class of 64 bytes.
    const CLASS: usize = 3;
    const SHARD: Shard = Shard::of(3);
    /// Room for two magazines of all lengths.
    const BYTES: usize = 1024;

    /// Calls `f` with empty depots, and a `Meta` for two magazines.
    fn with_depots<T>(f: impl FnOnce(&Depots, &Meta) -> T) -> T {
        #[repr(align(128))]
        struct Lines([u8; BYTES]);
        let mut lines = Lines([0; BYTES]);
        // SAFETY: memory, which outlives the meta.
        let meta = unsafe { Meta::new(NonNull::from(&mut lines.0).cast(), BYTES, &mut Source::Global) };
        let depots = Depots::new(&mut Source::Global).expect("there is memory for their stacks");
        f(&depots, &meta.expect("there is memory for its links"))
    }

    /// `count` blocks, which nobody looks into.
    fn blocks(count: usize) -> Vec<*mut u8> {
        (1..=count).map(|block| ptr::without_provenance_mut(64 * block)).collect()
    }

    fn take(depots: &Depots, meta: &Meta) -> Vec<*mut u8> {
        take_in(SHARD, depots, meta)
    }

    fn take_in(shard: Shard, depots: &Depots, meta: &Meta) -> Vec<*mut u8> {
        let mut out = [ptr::null_mut(); MAGAZINE];
        let count = depots.take(CLASS, shard, &mut out, meta);
        out[..count].to_vec()
    }

    #[test]
    fn a_magazine_comes_out_as_it_went_in() {
        with_depots(|depots, meta| {
            for length in 1..=MAGAZINE {
                assert!(depots.put(CLASS, SHARD, &blocks(length), usize::MAX, meta));
                assert_eq!((depots.count(CLASS), depots.count(CLASS + 1)), (1, 0));
                assert_eq!(take(depots, meta), blocks(length));
                assert_eq!(take(depots, meta), []);
                assert_eq!(depots.count(CLASS), 0);
            }
            assert!(!depots.put(CLASS, SHARD, &blocks(MAGAZINE + 1), usize::MAX, meta));
        });
    }

    #[test]
    fn a_magazine_is_in_one_shard() {
        with_depots(|depots, meta| {
            let others = || Shard::all().filter(|shard| *shard != SHARD);
            assert!(depots.put(CLASS, SHARD, &blocks(5), usize::MAX, meta));
            assert!(!depots.is_empty(CLASS, SHARD, meta));
            for shard in others() {
                assert!(depots.is_empty(CLASS, shard, meta));
                assert_eq!(take_in(shard, depots, meta), []);
            }
            assert_eq!(take(depots, meta), blocks(5));
        });
    }

    #[test]
    fn all_magazines_have_a_bound_and_a_class_a_quarter_of_it() {
        with_depots(|depots, meta| {
            let most = 4 * 10 * 64;
            assert!(!depots.put(CLASS, SHARD, &blocks(11), most, meta));
            assert!(depots.put(CLASS, SHARD, &blocks(10), most, meta));
            assert!(!depots.put(CLASS, SHARD, &blocks(10), most, meta));
            assert!(depots.put(CLASS + 1, SHARD, &blocks(8), most, meta));
            // There are 640 and 640 bytes by now.
            assert!(!depots.put(CLASS + 2, SHARD, &blocks(1), 1280 + 95, meta));
            assert_eq!(take(depots, meta).len(), 10);
            assert!(depots.put(CLASS + 2, SHARD, &blocks(1), 640 + 4 * 96, meta));
            assert!(!depots.put(CLASS, SHARD, &blocks(1), 0, meta));
        });
    }

    #[test]
    fn without_memory_for_it_there_is_no_magazine() {
        with_depots(|depots, meta| {
            // These take all of the `Meta`, each as much as it needs.
            assert!(depots.put(CLASS, SHARD, &blocks(33), usize::MAX, meta));
            assert!(depots.put(CLASS, SHARD, &blocks(17), usize::MAX, meta));
            assert!(depots.put(CLASS, SHARD, &blocks(32), usize::MAX, meta));
            assert!(!depots.put(CLASS, SHARD, &blocks(1), usize::MAX, meta));
            // The youngest first.
            assert_eq!(take(depots, meta), blocks(32));
            assert!(depots.put(CLASS, SHARD, &blocks(1), usize::MAX, meta));
        });
    }
}

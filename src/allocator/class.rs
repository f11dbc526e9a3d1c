//! Size classes, and how a slab of each is cut.
//!
//! To add a class, change [`STEPS`]: everything else follows from it, or does not compile.

use core::alloc::Layout;

use crate::raw::slabs::{BITMAPS, STRIDE, Shape, have_room};

/// Bytes of a page, the heap's unit: a constant of this crate, not of the operating system.
pub(super) const PAGE: usize = 4096;

/// The sizes, in bytes: up to the first number of a row they ascend by the second.
const STEPS: [(usize, usize); 10] = [
    (128, 16),
    (256, 32),
    (512, 64),
    (1 << 10, 128),
    (2 << 10, 128),
    (4 << 10, 256),
    (8 << 10, 512),
    (16 << 10, 2 << 10),
    (32 << 10, 4 << 10),
    (64 << 10, 8 << 10),
];

/// A size that is no multiple of what it is looked up by would never be found.
const _: () = {
    let mut row = 0;
    while row < STEPS.len() {
        let (to, step) = STEPS[row];
        assert!(step.is_multiple_of(if to <= SMALL { FINE } else { COARSE }));
        row += 1;
    }
};

/// Number of classes.
pub(super) const COUNT: usize = {
    let (mut count, mut from, mut row) = (0, 0, 0);
    while row < STEPS.len() {
        let (to, step) = STEPS[row];
        count += (to - from) / step;
        (from, row) = (to, row + 1);
    }
    count
};

/// Bytes of a slot of each class.
const SIZES: [u32; COUNT] = {
    let (mut sizes, mut class, mut size, mut row) = ([0; COUNT], 0, 0, 0);
    while class < COUNT {
        size += STEPS[row].1;
        sizes[class] = size as u32;
        if size == STEPS[row].0 {
            row += 1;
        }
        class += 1;
    }
    sizes
};

/// Blocks of all classes are aligned to the smallest size.
pub(super) const ALIGN: usize = size_of_class(0);

/// The largest size that has a class, in bytes.
pub(super) const MAX_SIZE: usize = size_of_class(COUNT - 1);

/// Most pages of a slab.
const MAX_PAGES: usize = 16;
/// Slabs of sizes up to this one have a power of two of pages, so that they are blocks of the heap.
const LARGEST_IN_BLOCKS: usize = 5 << 10;

/// The shape of the slabs of each class.
pub(super) static SHAPES: [Shape; COUNT] = {
    let mut shapes = [Shape { pages: 0, slots: 0 }; COUNT];
    let mut class = 0;
    while class < COUNT {
        shapes[class] = shape(size_of_class(class));
        class += 1;
    }
    shapes
};

/// Compiles only if the page map has room for their extra bitmaps.
const _: () = assert!(have_room(&SHAPES));

/// For each class, what turns an offset within a slab into the number of a slot.
pub(super) static SLOTS: [Divisor; COUNT] = {
    let mut divisors = [Divisor(0); COUNT];
    let mut class = 0;
    while class < COUNT {
        divisors[class] = Divisor((1 << 32) / size_of_class(class) as u64 + 1);
        class += 1;
    }
    divisors
};

/// The size of a slot as a divisor: 2^32 divided by it, rounded up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor(u64);

impl Divisor {
    /// The number of the slot that begins at this offset in its slab.
    #[inline]
    pub(super) const fn number_at(self, offset: usize) -> u32 {
        // Exact for multiples of the size up to 2^16: the reciprocal is too large by at most 1, the product by at most
        // 2^16.
        ((offset as u64 * self.0) >> 32) as u32
    }
}

/// Bytes of a slot of a class.
#[inline(always)]
pub(super) const fn size_of_class(class: usize) -> usize {
    // There is no other class.
    SIZES[if class < COUNT { class } else { COUNT - 1 }] as usize
}

/// The fewest pages of which at most a 16th is lost, if [`MAX_PAGES`] are enough for that. Slabs of large sizes may
/// have any number of pages.
const fn shape(size: usize) -> Shape {
    let mut pages = 1;
    while pages < MAX_PAGES && lost(size, pages) * 16 > pages * PAGE {
        pages = if size <= LARGEST_IN_BLOCKS { 2 * pages } else { pages + 1 };
    }
    let (slots, most) = (pages * PAGE / size, (BITMAPS * STRIDE) as usize);
    Shape { pages: pages as u32, slots: if slots > most { most as u32 } else { slots as u32 } }
}

/// Bytes of `pages` pages that are in no slot.
const fn lost(size: usize, pages: usize) -> usize {
    pages * PAGE % size + if pages * PAGE < size { pages * PAGE } else { 0 }
}

/// Sizes up to this one are looked up by multiples of [`FINE`], larger ones by multiples of [`COARSE`].
const SMALL: usize = 1024;
const FINE: usize = 16;
const COARSE: usize = 128;
/// The class of each multiple of [`FINE`], from 0 on, then of each multiple of [`COARSE`].
/// A constant, not a static: so the compiler knows its values in other crates, too.
const CLASSES: [u8; SMALL / FINE + MAX_SIZE / COARSE + 1] = {
    let mut classes = [0; SMALL / FINE + MAX_SIZE / COARSE + 1];
    let (mut class, mut size) = (0, FINE);
    while size <= MAX_SIZE {
        while size_of_class(class) < size {
            class += 1;
        }
        classes[place(size)] = class as u8;
        size += if size < SMALL { FINE } else { COARSE };
    }
    classes
};

/// Where a size is looked up.
#[inline(always)]
const fn place(size: usize) -> usize {
    let fine = (size + (FINE - 1)) >> FINE.ilog2();
    // To add the table's offset before the shift saves an addition.
    let coarse = (size + (COARSE - 1) + SMALL / FINE * COARSE) >> COARSE.ilog2();
    // Both are computed, so that there is no branch: with mixed sizes, the processor could not predict it.
    if size > SMALL { coarse } else { fine }
}

/// The class of a layout's size; [`COUNT`] or more if there is none.
#[inline(always)]
pub(super) const fn of_size(size: usize) -> usize {
    let place = place(size);
    // The only check: larger sizes have a place behind the table.
    if place < CLASSES.len() { CLASSES[place] as usize } else { COUNT }
}

/// The class of a layout, with its alignment; [`COUNT`] or more if there is none.
#[inline(always)]
pub(super) const fn of(layout: Layout) -> usize {
    let (size, align) = (layout.size(), layout.align());
    if align <= ALIGN {
        return of_size(size);
    }
    if align > PAGE {
        return COUNT;
    }
    // Slabs begin at pages, so slots are aligned as their size is. The class of a multiple of the alignment has one,
    // too: in a row of `STEPS` whose step is smaller than the alignment, each multiple of the step has a class.
    let size = if size < align { align } else { size };
    of_size((size + (align - 1)) & !(align - 1))
}

/// Pages of a span of `size` bytes. There is room for a slot of that size, too, so that a block that is made smaller
/// can stay.
pub(super) const fn pages(size: usize) -> usize {
    let class = of_size(size);
    let bytes = if class < COUNT { size_of_class(class) } else { size };
    bytes.div_ceil(PAGE)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::allocator::global::capacity;
    use std::vec::Vec;

    #[test]
    fn classes_ascend_and_cover() {
        let sizes: Vec<usize> = (0..COUNT).map(size_of_class).collect();
        assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]), "{sizes:?}");
        assert_eq!(sizes[COUNT - 1], MAX_SIZE);
        for size in 0..=MAX_SIZE {
            let class = of_size(size);
            assert!(sizes[class] >= size && (class == 0 || sizes[class - 1] < size), "{size}");
        }
        assert!(of_size(MAX_SIZE + 1) >= COUNT && of_size(isize::MAX as usize) >= COUNT);
    }

    #[test]
    fn slots_lie_in_their_slabs() {
        for (class, Shape { pages, slots }) in SHAPES.into_iter().enumerate() {
            let (size, bytes) = (size_of_class(class), pages as usize * PAGE);
            assert!(slots >= 1 && slots as usize * size <= bytes, "{size}");
            assert!((bytes - slots as usize * size) * 11 <= bytes, "{size}");
            for slot in 0..slots {
                assert_eq!(SLOTS[class].number_at(slot as usize * size), slot, "{size}");
            }
        }
    }

    /// A block that is made smaller, and aligned no more than before, has room where it is.
    #[test]
    fn capacities_ascend() {
        let capacity = |size, align| capacity(Layout::from_size_align(size, align).expect("a small one"));
        let sizes = || (1..=MAX_SIZE / 64).map(|step| 64 * step).flat_map(|size| [size - 1, size, size + 1]);
        for align in (0..15).map(|shift| 1 << shift) {
            for (size, larger) in sizes().zip(sizes().skip(1)) {
                assert!(capacity(size.min(larger), align) <= capacity(size.max(larger), align), "{size} {align}");
                assert!(capacity(size, align) <= capacity(size, 2 * align), "{size} {align}");
            }
        }
    }

    #[test]
    fn alignments_are_kept() {
        for align in (0..13).map(|shift| 1 << shift) {
            for size in (0..2000).chain([5000, 9000, 40_000, 65_536]) {
                let class = of(Layout::from_size_align(size, align).expect("a small one"));
                assert!(class < COUNT && size_of_class(class) >= size, "{size} {align}");
                assert_eq!(size_of_class(class) % align, 0, "{size} {align}");
                let fits = |class: usize| size_of_class(class) >= size && size_of_class(class).is_multiple_of(align);
                assert!(!(0..class).any(fits), "{size} {align}");
            }
        }
        assert!(of(Layout::from_size_align(1, 8192).expect("a small one")) >= COUNT);
    }
}

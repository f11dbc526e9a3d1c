//! Size classes: up to 128 bytes each multiple of 16, then four for each doubling, from 1 to 8 KiB eight; and how a slab of each is
//! cut.

use core::alloc::Layout;

use crate::raw::slabs::{BITMAPS, STRIDE, Shape, most_of_a_page};

/// Bytes of a page, the unit of the heap. A constant of this crate, not of the operating system.
pub(super) const PAGE: usize = 4096;

/// How many classes there are.
pub(super) const COUNT: usize = 20 + 8 * 3 + 4 * 3;

/// Blocks of all classes are aligned to it.
pub(super) const ALIGN: usize = 16;

/// The largest size that has a class, in bytes.
pub(super) const MAX_SIZE: usize = 64 << 10;

/// Most pages of a slab.
const MAX_PAGES: usize = 16;
/// Slabs of sizes up to this one are blocks of the heap.
const LARGEST_IN_BLOCKS: usize = 5 << 10;

/// How the slabs of each class are cut.
pub(super) static SHAPES: [Shape; COUNT] = {
    let mut shapes = [Shape { pages: 0, slots: 0 }; COUNT];
    let mut class = 0;
    while class < COUNT {
        shapes[class] = shape(size_of_class(class));
        class += 1;
    }
    shapes
};

/// There is room for what they need, or this is not compiled.
const _: u32 = most_of_a_page(&SHAPES);

/// Offsets within a slab to numbers of slots, for each class.
pub(super) static SLOTS: [Divisor; COUNT] = {
    let mut divisors = [Divisor(0); COUNT];
    let mut class = 0;
    while class < COUNT {
        divisors[class] = Divisor((1 << 32) / size_of_class(class) as u64 + 1);
        class += 1;
    }
    divisors
};

/// The size of a slot, to divide by: 2^32 by it, rounded up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor(u64);

impl Divisor {
    /// The number of the slot that begins at this offset in its slab.
    #[inline]
    pub(super) const fn number_at(self, offset: usize) -> u32 {
        // Exact for multiples of the size up to 2^16: the reciprocal is too large by at most 1, the product by at most 2^16.
        ((offset as u64 * self.0) >> 32) as u32
    }
}

/// Bytes of a slot of a class.
#[inline(always)]
pub(super) const fn size_of_class(class: usize) -> usize {
    match class {
        0..8 => 16 * (class + 1),
        8..20 => {
            let (doubling, step) = ((class - 8) / 4, (class - 8) % 4);
            (128 << doubling) / 4 * (5 + step)
        }
        20..44 => {
            let (doubling, step) = ((class - 20) / 8, (class - 20) % 8);
            (1024 << doubling) / 8 * (9 + step)
        }
        _ => {
            let (doubling, step) = ((class - 44) / 4, (class - 44) % 4);
            (8192 << doubling) / 4 * (5 + step)
        }
    }
}

/// The fewest pages of which at most a 16th is lost, if so many will do. A power of two, so that slabs are whole blocks; only for large sizes any
/// number, of which what is too much goes back to the heap.
const fn shape(size: usize) -> Shape {
    let mut pages = 1;
    while pages < MAX_PAGES && lost(size, pages) * 16 > pages * PAGE {
        pages = if size <= LARGEST_IN_BLOCKS { 2 * pages } else { pages + 1 };
    }
    let (slots, most) = (pages * PAGE / size, (BITMAPS * STRIDE) as usize);
    Shape { pages: pages as u32, slots: if slots > most { most as u32 } else { slots as u32 } }
}

/// Bytes of so many pages that are in no slot.
const fn lost(size: usize, pages: usize) -> usize {
    pages * PAGE % size + if pages * PAGE < size { pages * PAGE } else { 0 }
}

/// The largest size that is looked up by multiples of [`FINE`]; larger ones by multiples of [`COARSE`].
const SMALL: usize = 1024;
const FINE: usize = 16;
const COARSE: usize = 128;
/// Multiples of [`FINE`] to classes, from 0 on, then those of [`COARSE`].
/// A constant, not a static, so that the compiler knows its values in other crates, too.
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
    // What is added before is one addition less than afterwards.
    let coarse = (size + (COARSE - 1) + SMALL / FINE * COARSE) >> COARSE.ilog2();
    // Both are computed, so that there is no branch, which nobody could predict where sizes are mixed.
    if size > SMALL { coarse } else { fine }
}

/// The class of a size that a layout may have; [`COUNT`] or more if it has none.
#[inline(always)]
pub(super) const fn of_size(size: usize) -> usize {
    let place = place(size);
    // The only check: larger sizes have a place behind the last one.
    if place < CLASSES.len() { CLASSES[place] as usize } else { COUNT }
}

/// The class of a layout, aligned as it wants; [`COUNT`] or more if it has none.
#[inline(always)]
pub(super) const fn of(layout: Layout) -> usize {
    let (size, align) = (layout.size(), layout.align());
    if align <= ALIGN {
        return of_size(size);
    }
    if align > PAGE {
        return COUNT;
    }
    // Slabs begin at pages, so that slots are aligned as their size is.
    let mut class = of_size(if size < align { align } else { size });
    while class < COUNT && !size_of_class(class).is_multiple_of(align) {
        class += 1;
    }
    class
}

/// Pages of a span of so many bytes: room for a slot of so many, too, so that a block that is made smaller may stay where it is.
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
            }
        }
        assert!(of(Layout::from_size_align(1, 8192).expect("a small one")) >= COUNT);
    }
}

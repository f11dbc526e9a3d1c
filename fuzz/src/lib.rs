//! Bytes as programs of operations, against the oracles of the tests.

#[path = "../../tests/common/mod.rs"]
#[allow(unused_imports, reason = "the tests use the rest")]
mod common;
#[path = "../../tests/offsets/space.rs"]
mod space;

pub mod allocator;
pub mod c_calls;
pub mod offsets;
pub mod pool;
pub mod trace;

use arbitrary::{Arbitrary, Unstructured};

/// What a program is read from. At its end all is 0.
struct Bytes<'a>(Unstructured<'a>);

impl<'a> Bytes<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    fn next<T: Arbitrary<'a> + Default>(&mut self) -> T {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `bound`, by few bytes.
    fn below(&mut self, bound: usize) -> usize {
        self.0.int_in_range(0..=bound - 1).unwrap_or(0)
    }

    /// A size of any magnitude: as many small ones as large ones.
    fn size(&mut self, bits: usize) -> usize {
        let bits = self.below(bits);
        (1 << bits) + self.below(1 << bits)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

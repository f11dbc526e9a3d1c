//! All bugs. A test of the crate includes this file, so that each `cargo test` looks whether the patches apply.

#[path = "bias.rs"]
mod bias;
#[path = "blocks.rs"]
mod blocks;
#[path = "board.rs"]
mod board;
#[path = "bug.rs"]
pub(crate) mod bug;
#[path = "caches.rs"]
mod caches;
#[path = "cycles.rs"]
mod cycles;
#[path = "heaps.rs"]
mod heaps;
#[path = "parts.rs"]
mod parts;
#[path = "reserve.rs"]
mod reserve;
#[path = "slabs.rs"]
mod slabs;
#[path = "spans.rs"]
mod spans;
#[path = "sweepers.rs"]
mod sweepers;
#[path = "words.rs"]
mod words;

use bug::Bug;

/// All of them, table after table.
pub(crate) fn all() -> impl Iterator<Item = &'static Bug> {
    let tables = [
        words::BUGS,
        blocks::BUGS,
        parts::BUGS,
        reserve::BUGS,
        caches::BUGS,
        heaps::BUGS,
        board::BUGS,
        sweepers::BUGS,
        slabs::BUGS,
        spans::BUGS,
        cycles::BUGS,
        bias::BUGS,
    ];
    tables.into_iter().flatten()
}

/// The same with their numbers, from 1 on.
pub(crate) fn numbered() -> impl Iterator<Item = (usize, &'static Bug)> {
    (1..).zip(all())
}

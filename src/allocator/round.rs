//! A round of a sweeper: what threads left that are gone, and a sweep of all pages in pieces, with whatever time between them.

use crate::cache::numbers;
use crate::raw::runs::{Discards, Piece, Round};

use super::PoolAllocator;

impl PoolAllocator {
    /// The next piece, of so many pages at most, and how many bytes it gave back to the operating system; with the first one of a
    /// round goes what threads left that are gone or is on its way between threads. `discards` says what the round that begins gives
    /// back in its end. Lock-free but for the operating system's calls; abandoned anywhere, it harms nothing.
    ///
    /// What running threads have cached stays: to ask them for it would cost them something in each round.
    pub(crate) fn sweep_piece(
        &self,
        round: &mut Round,
        pages: u32,
        discards: impl FnOnce() -> Discards,
    ) -> (Piece, usize) {
        let Some(shared) = self.started_shared() else { return (Piece { is_last: true, ..Piece::default() }, 0) };
        if round.is_new() {
            shared.collect(None, numbers());
            // Locked memory stays.
            round.set_discards(if self.options.lock { Discards::Nothing } else { discards() });
        }
        shared.region.sweep_piece(round, pages)
    }
}

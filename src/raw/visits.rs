//! Who is told before a live block changes. The cache that handed a block out may release it by a plain store. A thread
//! that changes the block by an exchange makes sure before that no such store comes after it.

use super::owner::Owner;
use super::state::State;
use crate::check::check;

/// A thread that changes live blocks.
pub trait Visits {
    /// Runs `change`, which changes the state of a live block from `seen` by one compare-exchange. `None`: it was not
    /// run, as the owner is releasing that block.
    fn during<R>(&self, seen: State, change: impl FnOnce() -> R) -> Option<R>;
}

/// For blocks that no cache has handed out.
#[derive(Clone, Copy, Debug)]
pub struct WithoutOwner;

impl Visits for WithoutOwner {
    #[inline]
    fn during<R>(&self, seen: State, change: impl FnOnce() -> R) -> Option<R> {
        check!(seen.owner() == Owner::NONE, "the cache of {:?} would not know", seen.owner());
        Some(change())
    }
}

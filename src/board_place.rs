//! Where the board of a pool is, which all its heaps have.

use core::fmt;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use crate::board::Board;
use crate::metadata::Owned;
use crate::sync::{AtomicPtr, Ordering, const_unless_loom};

/// A pool's board, which is made with the first heap.
pub(crate) struct BoardPlace(AtomicPtr<Board>);

/// The board of a pool, for its heaps.
#[derive(Clone, Copy)]
pub(crate) struct BoardRef(NonNull<Board>);

impl BoardPlace {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// The board. `None`: there never was a heap.
    ///
    /// # Safety
    ///
    /// The caller, and all whom it gives the board, let it go before the place is dropped.
    pub(crate) unsafe fn get(&self) -> Option<BoardRef> {
        // Acquire: pairs with the Release in `set`.
        NonNull::new(self.0.load(Ordering::Acquire)).map(BoardRef)
    }

    /// Puts the board there. False: another thread's was first, and this one was freed.
    pub(crate) fn set(&self, board: Owned<Board>) -> bool {
        let new = board.into_raw();
        // Release: pairs with the Acquire in `get`. Relaxed on failure: the caller looks again.
        let stored = self.0.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Relaxed);
        if stored.is_err() {
            // SAFETY: it was not stored, so it is still this thread's.
            drop(unsafe { Owned::from_raw(new) });
        }
        stored.is_ok()
    }
}

impl Drop for BoardPlace {
    fn drop(&mut self) {
        // Relaxed: `&mut self`, nobody else is there.
        if let Some(board) = NonNull::new(self.0.load(Ordering::Relaxed)) {
            // SAFETY: it came from `Owned::into_raw` in `set`, and nobody uses it any more, see `get`.
            drop(unsafe { Owned::from_raw(board) });
        }
    }
}

impl BoardRef {
    /// A board that is about to be put into its place.
    ///
    /// # Safety
    ///
    /// As for [`BoardPlace::get`]. Where the board is dropped instead, nobody uses this any more.
    pub(crate) unsafe fn new(board: &Owned<Board>) -> Self {
        Self(board.pointer())
    }
}

impl Deref for BoardRef {
    type Target = Board;

    #[inline]
    fn deref(&self) -> &Board {
        // SAFETY: it lives as long as its place, see `BoardPlace::get`.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: as a reference to a board, which is `Sync`.
unsafe impl Send for BoardRef {}
// SAFETY: as above.
unsafe impl Sync for BoardRef {}

impl fmt::Debug for BoardPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoardPlace").finish_non_exhaustive()
    }
}

impl fmt::Debug for BoardRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

//! Memory that came with heaps and is of no use to the pool any more, until the caller takes it back.

use core::ptr::NonNull;

use super::given::Memory;
use super::retired::{Link, Linked, Retired};
use crate::metadata::Owned;

/// Memory that the pool has no use for any more, in itself, until the caller takes it back.
#[derive(Debug)]
pub(super) struct Returned {
    link: Link<Self>,
    all: NonNull<[u8]>,
}

impl Linked for Returned {
    fn link(&self) -> &Link<Self> {
        &self.link
    }

    fn end_of_life(&self) {}
}

impl Retired<Returned> {
    /// Puts memory into the list that nobody uses. `None`: it is too small to be in a list.
    #[cfg_attr(modelled, expect(unused_mut, unused_variables, reason = "models have no such memory"))]
    pub(super) fn put(&self, mut memory: Memory) -> Option<()> {
        #[cfg(not(modelled))]
        {
            let all = memory.all;
            // SAFETY: the memory is the pool's alone, and nobody uses it any more.
            unsafe { memory.part(memory.values..all.len()).cast::<u8>().write_bytes(0, all.len() - memory.values) };
            memory.values = all.len();
            let returned = memory.source(0..all.len()).owned(Returned { link: Link::since(0), all }).ok()?;
            self.push(returned.into_raw());
        }
        Some(())
    }

    /// Takes some of the list. `None`: there is none, or another thread looks at it just then.
    pub(super) fn get(&self) -> Option<&'static mut [u8]> {
        let mut taken = self.take();
        let returned = taken.pop();
        while let Some(other) = taken.pop() {
            self.push(other);
        }
        // SAFETY: it came from `Owned::into_raw` in `put`, and is in no list any more.
        let returned = unsafe { Owned::from_raw(returned?) };
        let mut all = returned.all;
        drop(returned);
        #[cfg_attr(modelled, expect(clippy::unnecessary_min_or_max, reason = "models have none of them"))]
        let written = all.len().min(RETURNED);
        // SAFETY: the memory is the pool's alone, and nobody uses it any more.
        unsafe { all.cast::<u8>().write_bytes(0, written) };
        // SAFETY: as above, so it can be the caller's again, who gave it for ever. All of it is initialised: tables are
        // of integers, and other values were overwritten by `put` and here.
        Some(unsafe { all.as_mut() })
    }
}

/// Bytes at the beginning of returned memory that a [`Returned`] may lie in.
#[cfg(not(modelled))]
const RETURNED: usize = Owned::<Returned>::ROOM;
#[cfg(modelled)]
const RETURNED: usize = 0;

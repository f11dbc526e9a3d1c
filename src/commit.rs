//! Addresses that memory is put behind as far as they are used: a heap, or tables with something for each of its pages.
//!
//! A thread that is about to use more than anybody did before asks for it *before* others may know of it, and learns
//! whether there is memory. Unused memory costs the system only a promise, so it is asked for in large steps; if the
//! system refuses one, in a small one.

#[cfg(all(feature = "allocator", not(modelled)))]
pub(crate) use reserved::{Commit, Parts};
#[cfg(not(all(feature = "allocator", not(modelled))))]
pub(crate) use without::Commit;

#[cfg(all(feature = "allocator", not(modelled)))]
mod reserved {
    use core::ptr::NonNull;

    use crate::sync::{AtomicU32, Ordering};
    use crate::sys::{self, Pages};

    /// Most parts of a commit.
    const PARTS: usize = 12;
    /// A step is this part of what has memory, if that is more than the least step.
    const STEP_PART: u32 = 8;

    /// A range of addresses of which each unit has as many bytes.
    #[derive(Clone, Copy, Debug)]
    struct Part {
        base: NonNull<u8>,
        bytes: usize,
    }

    impl Part {
        /// Bytes of the first `units` of `of` units.
        fn end(&self, units: u32, of: u32) -> usize {
            // Rounded up, for parts with less than a byte a unit.
            let unit = self.bytes.div_ceil((of as usize).max(1));
            (units as usize).saturating_mul(unit).min(self.bytes)
        }
    }

    /// The parts of a future [`Commit`].
    #[derive(Debug, Default)]
    pub(crate) struct Parts {
        parts: [Option<Part>; PARTS],
    }

    impl Parts {
        /// Adds `bytes` bytes from `base` on; false, if there are too many parts already.
        ///
        /// # Safety
        ///
        /// They lie in a [`Reservation`](sys::Reservation), for as long as the commit is used.
        pub(crate) unsafe fn add(&mut self, base: NonNull<u8>, bytes: usize) -> bool {
            let place = self.parts.iter_mut().find(|place| place.is_none());
            place.map(|place| *place = Some(Part { base, bytes })).is_some()
        }

        /// The commit of all parts. Each has something for each of `units` units, and they are used in step. Memory is
        /// asked for in steps of at least `least_step` units.
        pub(crate) const fn commit(self, units: u32, least_step: u32) -> Commit {
            Commit { parts: self, units, least_step, huge_from: u32::MAX, huge: 1, covered: AtomicU32::new(0) }
        }
    }

    /// Addresses, and how far they have memory.
    #[derive(Debug)]
    pub(crate) struct Commit {
        parts: Parts,
        units: u32,
        least_step: u32,
        /// Huge pages are asked for from this unit on.
        huge_from: u32,
        /// Units of a huge page.
        huge: u32,
        /// Number of units that have memory.
        covered: AtomicU32,
    }

    // SAFETY: its addresses are for arithmetic, and for calls that put memory behind them, which any thread may make.
    unsafe impl Send for Commit {}
    // SAFETY: as above; everything that changes is atomic.
    unsafe impl Sync for Commit {}

    impl Commit {
        /// A commit of addresses that have memory already.
        pub(crate) const fn given() -> Self {
            Parts { parts: [None; PARTS] }.commit(0, 0)
        }

        /// The same commit, with huge pages of `huge` units from unit `huge_from` on.
        pub(crate) const fn with_huge_pages(self, huge_from: u32, huge: u32) -> Self {
            Self { huge_from, huge, ..self }
        }

        /// Puts memory behind the first `end` units; false, if there is none. Lock-free, except for the system's call.
        #[inline]
        pub(crate) fn cover(&self, end: u32) -> bool {
            // Relaxed: the system's call makes memory of addresses, for all threads, and returned before this number
            // was stored.
            let has = self.covered.load(Ordering::Relaxed);
            end <= has || self.units == 0 || self.extend(has, end)
        }

        /// Number of units that have memory.
        pub(crate) fn covered(&self) -> u32 {
            // Relaxed: as above.
            if self.units == 0 { u32::MAX } else { self.covered.load(Ordering::Relaxed) }
        }

        /// Bytes of the first `units` units that are not in memory; 0 where the operating system does not tell.
        /// O(units).
        pub(crate) fn absent(&self, units: u32) -> usize {
            let units = units.min(self.covered());
            let parts = self.parts.parts.iter().flatten().filter(|_| self.units > 0);
            let absent = parts.map(|part| {
                let used = (part.bytes as u64 * u64::from(units) / u64::from(self.units.max(1))) as usize;
                // SAFETY: that many units have memory.
                let resident = unsafe { sys::resident(part.base.as_ptr(), used) };
                resident.map_or(0, |resident| used.saturating_sub(resident))
            });
            absent.sum()
        }

        #[cold]
        fn extend(&self, has: u32, end: u32) -> bool {
            let end = end.min(self.units);
            let ample = has.saturating_add(self.least_step.max(has / STEP_PART)).max(end);
            // Whole huge pages: a part that is used before all of a huge page has memory has small pages for ever.
            let ample = if ample > self.huge_from { ample.next_multiple_of(self.huge.max(1)) } else { ample };
            let Some(to) = [ample.min(self.units), end].into_iter().find(|to| self.commit(has, *to)) else {
                return false;
            };
            // Relaxed: as above. Another thread may have come further.
            self.covered.fetch_max(to, Ordering::Relaxed);
            true
        }

        /// Puts memory behind the units from `from` to `to`.
        fn commit(&self, from: u32, to: u32) -> bool {
            self.parts.parts.iter().flatten().all(|part| {
                let at = |end: u32| part.end(end, self.units);
                let (start, len) = (part.base.as_ptr().wrapping_add(at(from)), at(to) - at(from));
                if to > self.huge_from && len > 0 {
                    let skip = at(self.huge_from.max(from)) - at(from);
                    sys::wish(start.wrapping_add(skip), len - skip, Pages::Huge);
                }
                // SAFETY: a part of a reservation, as the caller of `Parts::add` vouched.
                len == 0 || unsafe { sys::commit(start, len) }
            })
        }
    }
}

#[cfg(not(all(feature = "allocator", not(modelled))))]
mod without {
    /// A commit of addresses that have memory already: there are no others.
    #[derive(Debug)]
    pub(crate) struct Commit(());

    impl Commit {
        pub(crate) const fn given() -> Self {
            Self(())
        }

        #[cfg(modelled)]
        pub(crate) const fn cover(&self, _: u32) -> bool {
            true
        }

        pub(crate) const fn covered(&self) -> u32 {
            u32::MAX
        }
    }
}

//! Addresses that memory is put behind as far as they are used: a heap, or tables with something for each of its pages.
//!
//! Who is about to use more than anybody did before says so *before* others may know of it, and is told whether there is memory for it. Memory that
//! nobody has used costs the system nothing but a promise; so it is asked for in large steps, and where it doesn't promise so much, in small ones.

#[cfg(all(feature = "allocator", not(modelled)))]
pub(crate) use reserved::{Commit, Parts};
#[cfg(not(all(feature = "allocator", not(modelled))))]
pub(crate) use without::Commit;

#[cfg(all(feature = "allocator", not(modelled)))]
mod reserved {
    use core::ptr::NonNull;

    use crate::sync::{AtomicU32, Ordering};
    use crate::sys::{self, Pages};

    /// Most things that one commit is behind.
    const PARTS: usize = 12;
    /// It reaches on by this part of what it reaches to, if that is more than the least step.
    const STEP_PART: u32 = 8;

    /// Bytes of which all units of a commit have as many.
    #[derive(Clone, Copy, Debug)]
    struct Part {
        base: NonNull<u8>,
        bytes: usize,
    }

    impl Part {
        /// Bytes of the first ones of so many units that there are.
        fn end(&self, units: u32, of: u32) -> usize {
            // Of parts that have less than a byte a unit, more than there must be.
            let unit = self.bytes.div_ceil(of as usize);
            (units as usize).saturating_mul(unit).min(self.bytes)
        }
    }

    /// Things of a [`Commit`] that is to be.
    #[derive(Debug, Default)]
    pub(crate) struct Parts {
        parts: [Option<Part>; PARTS],
    }

    impl Parts {
        /// Adds `bytes` bytes from `base` on; false, if there are too many already.
        ///
        /// # Safety
        ///
        /// They lie in a [`Reservation`](sys::Reservation), for as long as the commit is used.
        pub(crate) unsafe fn add(&mut self, base: NonNull<u8>, bytes: usize) -> bool {
            let place = self.parts.iter_mut().find(|place| place.is_none());
            place.map(|place| *place = Some(Part { base, bytes })).is_some()
        }

        /// The commit of all of them, which are used in step: of each the first part, when the first ones of so many units are used. It reaches on by
        /// so many units at least.
        pub(crate) const fn commit(self, units: u32, least_step: u32) -> Commit {
            Commit { parts: self, units, least_step, huge_from: u32::MAX, huge: 1, reach: AtomicU32::new(0) }
        }
    }

    /// What is behind some addresses.
    #[derive(Debug)]
    pub(crate) struct Commit {
        parts: Parts,
        units: u32,
        least_step: u32,
        /// From this unit on, huge pages are wanted; where they are, this many units have one.
        huge_from: u32,
        huge: u32,
        /// How many units have memory.
        reach: AtomicU32,
    }

    // SAFETY: its addresses are for arithmetic, and for calls that put memory behind them, which any thread may make.
    unsafe impl Send for Commit {}
    // SAFETY: as above; what changes is atomic.
    unsafe impl Sync for Commit {}

    impl Commit {
        /// Of what has memory already.
        pub(crate) const fn given() -> Self {
            Parts { parts: [None; PARTS] }.commit(0, 0)
        }

        /// The same commit, with huge pages of so many units from a unit on.
        pub(crate) const fn with_huge_pages(self, huge_from: u32, huge: u32) -> Self {
            Self { huge_from, huge, ..self }
        }

        /// Is there memory behind the first `end` units, or can there be? Lock-free but for the system's call.
        #[inline]
        pub(crate) fn reach(&self, end: u32) -> bool {
            // Relaxed: it is the system's word that makes memory of addresses, and that was given before this number was stored.
            let has = self.reach.load(Ordering::Relaxed);
            end <= has || self.units == 0 || self.extend(has, end)
        }

        /// How many units have memory, of all that this is behind.
        pub(crate) fn reached(&self) -> u32 {
            // Relaxed: as above.
            if self.units == 0 { u32::MAX } else { self.reach.load(Ordering::Relaxed) }
        }

        /// Bytes of the first `units` units that are not in memory; 0 where the operating system doesn't say. O(units).
        pub(crate) fn absent(&self, units: u32) -> usize {
            let units = units.min(self.reached());
            let parts = self.parts.parts.iter().flatten().filter(|_| self.units > 0);
            let absent = parts.map(|part| {
                let used = (part.bytes as u64 * u64::from(units) / u64::from(self.units)) as usize;
                // SAFETY: memory was put behind so many units.
                let resident = unsafe { sys::resident(part.base.as_ptr(), used) };
                resident.map_or(0, |resident| used.saturating_sub(resident))
            });
            absent.sum()
        }

        #[cold]
        fn extend(&self, has: u32, end: u32) -> bool {
            let end = end.min(self.units);
            let ample = has.saturating_add(self.least_step.max(has / STEP_PART)).max(end);
            // Whole ones: what is used before all of a huge page has memory has small ones for ever.
            let ample = if ample > self.huge_from { ample.next_multiple_of(self.huge) } else { ample };
            let Some(to) = [ample.min(self.units), end].into_iter().find(|to| self.commit(has, *to)) else {
                return false;
            };
            // Relaxed: as above. Another thread may have come further.
            self.reach.fetch_max(to, Ordering::Relaxed);
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
                // SAFETY: a part of what lies in a reservation, as whoever added it vouched for.
                len == 0 || unsafe { sys::commit(start, len) }
            })
        }
    }
}

#[cfg(not(all(feature = "allocator", not(modelled))))]
mod without {
    /// There is memory behind all that there is.
    #[derive(Debug)]
    pub(crate) struct Commit(());

    impl Commit {
        pub(crate) const fn given() -> Self {
            Self(())
        }

        #[cfg(modelled)]
        pub(crate) const fn reach(&self, _: u32) -> bool {
            true
        }

        pub(crate) const fn reached(&self) -> u32 {
            u32::MAX
        }
    }
}

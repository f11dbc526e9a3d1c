//! Calls that the system refuses. In the unit tests a thread can have one of its calls refused, or all from one on;
//! elsewhere this is nothing. Each call that can fail asks here first.

/// Whether this call is refused.
#[cfg(not(test))]
#[inline(always)]
pub(super) const fn is_refused(_: &'static str) -> bool {
    false
}

#[cfg(test)]
pub(crate) use of_tests::Refusal;
#[cfg(test)]
pub(super) use of_tests::is_refused;

#[cfg(test)]
mod of_tests {
    extern crate std;

    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use core::cell::{Cell, RefCell};
    use core::iter::successors;
    use core::ops::Range;
    use std::thread_local;

    thread_local! {
        static REFUSED: Cell<Option<(u32, u32)>> = const { Cell::new(None) };
        static CALLS: Cell<u32> = const { Cell::new(0) };
        /// Names of the calls that were refused.
        static NAMES: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn is_refused(name: &'static str) -> bool {
        let Some((first, end)) = REFUSED.get() else { return false };
        let call = CALLS.get();
        CALLS.set(call + 1);
        let is_refused = (first..end).contains(&call);
        if is_refused {
            NAMES.with_borrow_mut(|names| names.push(name));
        }
        is_refused
    }

    /// Which of a thread's calls are refused, counted from 0.
    #[derive(Clone, Debug)]
    pub(crate) struct Refusal(pub(crate) Range<u32>);

    impl Refusal {
        /// Does `work`, in which these calls of the thread are refused. Returns the names of the refused calls, too.
        pub(crate) fn during<R>(&self, work: impl FnOnce() -> R) -> (R, Vec<&'static str>) {
            CALLS.set(0);
            REFUSED.set(Some((self.0.start, self.0.end)));
            let result = work();
            REFUSED.set(None);
            (result, NAMES.take())
        }

        /// Has `work` done twice for each call in it: that one is refused, then it and all that follow. Of more than 32
        /// calls it takes some. Ends when no call is left to be refused. `work` returns the names of those that were
        /// refused, and so does this.
        pub(crate) fn walk(mut work: impl FnMut(&Self) -> Vec<&'static str>) -> BTreeSet<&'static str> {
            let mut all = BTreeSet::new();
            // Each of the first; of hundreds of equal ones some.
            for call in successors(Some(0), |call: &u32| Some(call + 1 + call / 32 * 2)) {
                let alone = work(&Self(call..call + 1));
                if alone.is_empty() {
                    break;
                }
                all.extend(alone);
                all.extend(work(&Self(call..u32::MAX)));
            }
            all
        }
    }
}

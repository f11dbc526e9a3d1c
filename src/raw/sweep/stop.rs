//! Stopping in the middle of what may take long.

use crate::sync::model_or;
use core::fmt;

/// Nodes that are handled between two looks whether to stop: some 50 µs, as much as the pieces of a pass take.
/// Under loom one: no model has more than a few.
const EVERY: u32 = model_or(1, 1 << 12);

/// Tells whether to stop. Once it has said so, it says so for ever.
pub struct Stop<'a> {
    asks: Option<&'a dyn Fn() -> bool>,
    work: u32,
    is_stopped: bool,
}

impl Stop<'static> {
    /// For who goes on to the end.
    #[inline]
    pub const fn never() -> Self {
        Self { asks: None, work: 0, is_stopped: false }
    }
}

impl<'a> Stop<'a> {
    /// As soon as `asks` says so.
    #[cfg(any(feature = "std", modelled))]
    pub const fn when(asks: &'a dyn Fn() -> bool) -> Self {
        Self { asks: Some(asks), work: 0, is_stopped: false }
    }

    /// So much work was done, counted in nodes: is it time to stop?
    #[inline]
    pub fn is_due(&mut self, work: u32) -> bool {
        if let Some(asks) = self.asks {
            self.work = self.work.saturating_add(work);
            if self.work >= EVERY {
                self.work = 0;
                self.is_stopped = self.is_stopped || asks();
            }
        }
        self.is_stopped
    }

    /// Has it said so?
    #[inline]
    pub const fn is_stopped(&self) -> bool {
        self.is_stopped
    }
}

impl fmt::Debug for Stop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("is_stopped", &self.is_stopped).finish_non_exhaustive()
    }
}

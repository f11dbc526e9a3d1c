//! The owner of a block, in a byte.

/// The cache that handed out a `Live` block, as far as eight bits can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner(u8);

impl Owner {
    /// No cache, or one without a code.
    pub const NONE: Self = Self(0);

    /// The largest code that a state can have.
    pub(super) const MOST_IN_STATE: u8 = 31;

    /// The code of cache number `cache`. The first 255 caches have one.
    pub const fn of(cache: usize) -> Self {
        if cache < u8::MAX as usize { Self(cache as u8 + 1) } else { Self::NONE }
    }

    /// The code that a state has: five bits, for the first 31 caches.
    pub(super) const fn in_state(self) -> u8 {
        if self.0 <= Self::MOST_IN_STATE { self.0 } else { 0 }
    }

    /// Do the states of its blocks name it?
    pub const fn is_in_state(self) -> bool {
        self.in_state() != 0
    }

    /// The code as a number, for [`from_code`](Self::from_code).
    pub(crate) const fn code(self) -> u8 {
        self.0
    }

    /// The owner with this [`code`](Self::code).
    pub(crate) const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The number of the cache.
    pub const fn cache(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

//! Entries of the page map: the meaning of each page of a heap.

use super::lists::Class;
use crate::raw::shards::Shard;

/// The meaning of a page.
///
/// | bits | slab of one bitmap | slab of several bitmaps | first page of a span | free |
/// |---|---|---|---|---|
/// | 0 to 7 | pages of the slab before this one | | | |
/// | 8 to 26 | the class, from 1 | | | |
/// | 27 to 29 | the slab's shard | | | |
/// | 0 to 29 | | its set of extra bitmaps | pages of the span | 0 dirty, 1 discarded, 2 old |
/// | 30 | 0 | 1 | 0 | 1 |
/// | 31 | 0 | 1 | 1 | 0 |
///
/// A free page is *clean* if it was never used (the entry is 0), or if its memory was discarded. Else it is *dirty*. A
/// dirty page becomes *old* when a sweeper passes over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry(pub(super) u32);

/// The meaning of a page, for users of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A page of a slab of this class, whose first page is `head`.
    Slab {
        /// The class.
        class: Class,
        /// The first page of the slab.
        head: u32,
    },
    /// The first page of a span.
    Span {
        /// Pages of the span.
        pages: u32,
    },
    /// Neither.
    Nothing,
}

/// The meaning of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A page of a slab of one bitmap; `before` pages of the slab lie before it.
    Slab { class: Class, before: u32, shard: Shard },
    /// A page of a slab of several bitmaps, with the set of the extra ones.
    Several { set: u32 },
    /// The first page of a span of `pages` pages.
    Span { pages: u32 },
    /// Neither.
    Nothing,
}

impl Entry {
    pub(super) const DIRTY: Self = Self(1 << 30);
    pub(super) const DISCARDED: Self = Self(1 << 30 | 1);
    pub(super) const OLD: Self = Self(1 << 30 | 2);
    const FREE: u32 = 1 << 30;
    const SPAN: u32 = 1 << 31;
    const SEVERAL: u32 = Self::FREE | Self::SPAN;
    /// First bit of the class.
    const CLASS: u32 = 8;
    /// First bit of the shard.
    const SHARD: u32 = 30 - Shard::BITS;
    /// Most extra bitmaps that an entry can tell apart.
    pub(super) const MOST_EXTRA: u32 = 1 << 30;

    pub(super) const fn span(pages: u32) -> Self {
        Self(Self::SPAN | pages)
    }

    pub(super) const fn slab(class: Class, before: u32, shard: Shard) -> Self {
        Self((shard.number() as u32) << Self::SHARD | (class as u32 + 1) << Self::CLASS | before)
    }

    pub(super) const fn several(set: u32) -> Self {
        Self(Self::SEVERAL | set)
    }

    /// Is the page free, and may it have memory behind it?
    pub(super) const fn is_dirty(self) -> bool {
        // Without a branch.
        self.0 & !(Self::DIRTY.0 ^ Self::OLD.0) == Self::DIRTY.0
    }

    /// The class of a slab of one bitmap. Of other pages it is a number that no class has.
    #[inline]
    pub(super) fn class(self) -> Class {
        // Of an entry of 0 it wraps.
        let class = ((self.0 & ((1 << Self::SHARD) - 1)) >> Self::CLASS) as Class;
        if self.0 & Self::SEVERAL == 0 { class.wrapping_sub(1) } else { Class::MAX }
    }

    /// The set of extra bitmaps of a slab of several bitmaps.
    #[inline]
    pub(super) const fn set(self) -> Option<u32> {
        if self.0 & Self::SEVERAL == Self::SEVERAL { Some(self.0 & !Self::SEVERAL) } else { None }
    }

    pub(super) fn meaning(self) -> Meaning {
        match (self.0, self.0 & Self::SEVERAL) {
            (0, _) | (_, Self::FREE) => Meaning::Nothing,
            (slab, 0) => Meaning::Slab {
                class: self.class(),
                before: slab & ((1 << Self::CLASS) - 1),
                shard: Shard::of((slab >> Self::SHARD) as usize),
            },
            (span, Self::SPAN) => Meaning::Span { pages: span & !Self::SEVERAL },
            (several, _) => Meaning::Several { set: several & !Self::SEVERAL },
        }
    }
}

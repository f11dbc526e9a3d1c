//! The entries of a page map: what each page of a heap is.

use crate::raw::shards::Shard;
use crate::raw::slabs::lists::Class;

/// What a page is, as the page map has it. A free page is *clean* where it was never used, 0, or its memory was discarded since,
/// bits 30 and 0; else it is *dirty*, bit 30, and *old*, bits 30 and 1, if a sweeper has come by since.
///
/// | bits | of a page of a slab | the same, if that has several bitmaps | of the first page of a span |
/// |---|---|---|---|
/// | 0 to 7 | how many pages of the slab are before it | | |
/// | 8 to 26 | the class, from 1 | | |
/// | 27 to 29 | the shard that the slab is at home in | | |
/// | 0 to 29 | | the set of the extra ones | how many pages it has |
/// | 30 | 0 | 1 | 0 |
/// | 31 | 0 | 1 | 1 |
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry(pub(super) u32);

/// What a page was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A page of a slab of this class, whose first page is `head`.
    Slab {
        /// The class.
        class: Class,
        /// The first page of the slab.
        head: u32,
    },
    /// The first page of a span of so many.
    Span {
        /// How many.
        pages: u32,
    },
    /// Neither.
    Nothing,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A page of a slab of this class and one bitmap, which is at home in this shard; so many pages of the slab are before it.
    Slab { class: Class, before: u32, its_shard: Shard },
    /// A page of a slab of several bitmaps, the extra ones of which are this set.
    Several { set: u32 },
    /// The first page of a span of so many.
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
    /// Where the class is, and the shard.
    const CLASS: u32 = 8;
    const SHARD: u32 = 30 - Shard::BITS;
    /// How many extra bitmaps it may tell apart.
    pub(super) const MOST_EXTRA: u32 = 1 << 30;

    pub(super) const fn span(pages: u32) -> Self {
        Self(Self::SPAN | pages)
    }

    pub(super) const fn slab(class: Class, before: u32, its_shard: Shard) -> Self {
        Self((its_shard.number() as u32) << Self::SHARD | (class as u32 + 1) << Self::CLASS | before)
    }

    pub(super) const fn several(set: u32) -> Self {
        Self(Self::SEVERAL | set)
    }

    /// Is it free, and has memory behind it?
    pub(super) const fn is_dirty(self) -> bool {
        self.0 == Self::DIRTY.0 || self.0 == Self::OLD.0
    }

    pub(super) const fn meaning(self) -> Meaning {
        match (self.0, self.0 & Self::SEVERAL) {
            (0, _) | (_, Self::FREE) => Meaning::Nothing,
            (slab, 0) => Meaning::Slab {
                class: ((slab & ((1 << Self::SHARD) - 1)) >> Self::CLASS) as Class - 1,
                before: slab & ((1 << Self::CLASS) - 1),
                its_shard: Shard::of((slab >> Self::SHARD) as usize),
            },
            (span, Self::SPAN) => Meaning::Span { pages: span & !Self::SEVERAL },
            (several, _) => Meaning::Several { set: several & !Self::SEVERAL },
        }
    }
}

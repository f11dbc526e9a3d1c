//! The entries of a page map: what each page of a heap is.

use crate::raw::groups::Class;
use crate::raw::lanes::Lane;

/// What a page is, as the page map has it. A free page is *clean* where it was never used, 0, or its memory was discarded since,
/// bits 30 and 0; else it is *dirty*, bit 30, and *old*, bits 30 and 1, if a sweeper has come by since.
///
/// | bits | of a page of a run | the same, if that has several groups | of the first page of a span |
/// |---|---|---|---|
/// | 0 to 7 | how many pages of the run are before it | | |
/// | 8 to 26 | the class, from 1 | | |
/// | 27 to 29 | the lane that the run is at home in | | |
/// | 0 to 29 | | the set of the further ones | how many pages it has |
/// | 30 | 0 | 1 | 0 |
/// | 31 | 0 | 1 | 1 |
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry(pub(super) u32);

/// What a page was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A page of a run of this class, whose first page is `head`.
    Run {
        /// The class.
        class: Class,
        /// The first page of the run.
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
    /// A page of a run of this class and one group, which is at home in this lane; so many pages of the run are before it.
    Run { class: Class, before: u32, home: Lane },
    /// A page of a run of several groups, the further ones of which are this set.
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
    /// Where the class is, and the lane.
    const CLASS: u32 = 8;
    const HOME: u32 = 30 - Lane::BITS;
    /// How many further groups it may tell apart.
    pub(super) const MOST_FURTHER: u32 = 1 << 30;

    pub(super) const fn span(pages: u32) -> Self {
        Self(Self::SPAN | pages)
    }

    pub(super) const fn run(class: Class, before: u32, home: Lane) -> Self {
        Self((home.number() as u32) << Self::HOME | (class as u32 + 1) << Self::CLASS | before)
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
            (run, 0) => Meaning::Run {
                class: ((run & ((1 << Self::HOME) - 1)) >> Self::CLASS) as Class - 1,
                before: run & ((1 << Self::CLASS) - 1),
                home: Lane::of((run >> Self::HOME) as usize),
            },
            (span, Self::SPAN) => Meaning::Span { pages: span & !Self::SEVERAL },
            (several, _) => Meaning::Several { set: several & !Self::SEVERAL },
        }
    }
}

//! The entries of a page map: what each page of a heap is.

use crate::raw::groups::Class;

/// What a page is, as the page map has it. A free page is *clean* where it was never used, 0, or its memory was discarded since,
/// bits 30 and 0; else it is *dirty*, bit 30, and *old*, bits 30 and 1, if a sweeper has come by since.
///
/// | bits | of a page of a run | of the first page of a span |
/// |---|---|---|
/// | 0 to 7 | how many pages of the run are before it | |
/// | 8 to 29 | the class, from 1 | |
/// | 0 to 29 | | how many pages it has |
/// | 30 | 0 | 0 |
/// | 31 | 0 | 1 |
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

impl Entry {
    pub(super) const DIRTY: Self = Self(1 << 30);
    pub(super) const DISCARDED: Self = Self(1 << 30 | 1);
    pub(super) const OLD: Self = Self(1 << 30 | 2);
    const FREE: u32 = 1 << 30;
    const SPAN: u32 = 1 << 31;

    pub(super) const fn span(pages: u32) -> Self {
        Self(Self::SPAN | pages)
    }

    pub(super) const fn run(class: Class, before: u32) -> Self {
        Self((class as u32 + 1) << 8 | before)
    }

    /// Is it free, and has memory behind it?
    pub(super) const fn is_dirty(self) -> bool {
        self.0 == Self::DIRTY.0 || self.0 == Self::OLD.0
    }

    pub(super) const fn is_of(self, page: u32) -> Found {
        match self.0 {
            0 => Found::Nothing,
            span if span & Self::SPAN != 0 => Found::Span { pages: span & !Self::SPAN },
            free if free & Self::FREE != 0 => Found::Nothing,
            run => Found::Run { class: (run >> 8) as usize - 1, head: page.saturating_sub(run & 0xff) },
        }
    }
}

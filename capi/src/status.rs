//! What the functions for pools return.

use core::ffi::{CStr, c_char};

use mempool::{
    AddHeapError, AddRangeError, AllocError, ConfigError, ReleaseError, RemoveHeapError, ReserveError, ResizeError,
};

/// What became of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "C's names")]
pub enum Status {
    /// All is well.
    HM_OK = 0,
    /// An argument can't be: null, no power of two, 0 bytes, or a range that ends behind all addresses or offsets.
    HM_INVALID,
    /// The address or offset is in none of the pool's regions.
    HM_FOREIGN,
    /// It is inside a live block, not at its beginning.
    HM_INTERIOR,
    /// No live block is there: it was released already, or never handed out.
    HM_NOT_LIVE,
    /// The region overlaps another one of the pool.
    HM_OVERLAP,
    /// The region has no room for a block.
    HM_TOO_SMALL,
    /// The region has more blocks than one can have. It may be added in parts.
    HM_TOO_LARGE,
    /// There is no memory for the pool's own tables.
    HM_NO_MEMORY,
    /// The pool has no such region.
    HM_UNKNOWN_REGION,
    /// Some of it is live or cached, or another thread is removing the region.
    HM_IN_USE,
    /// The block can't grow where it is.
    HM_NO_ROOM,
    /// No range has such a block, or it is not free.
    HM_NO_BLOCK,
}
use Status::*;

impl Status {
    pub fn of<E: Into<Self>>(result: Result<(), E>) -> Self {
        result.map_or_else(Into::into, |()| HM_OK)
    }
}

impl From<ConfigError> for Status {
    fn from(_: ConfigError) -> Self {
        HM_INVALID
    }
}

impl From<AddHeapError> for Status {
    fn from(error: AddHeapError) -> Self {
        match error {
            AddHeapError::Overlap { .. } => HM_OVERLAP,
            AddHeapError::TooSmall { .. } => HM_TOO_SMALL,
            AddHeapError::TooLarge { .. } => HM_TOO_LARGE,
            AddHeapError::MetadataUnavailable { .. } => HM_NO_MEMORY,
            _ => HM_INVALID,
        }
    }
}

impl From<RemoveHeapError> for Status {
    fn from(error: RemoveHeapError) -> Self {
        match error {
            RemoveHeapError::UnknownHeap { .. } => HM_UNKNOWN_REGION,
            RemoveHeapError::MetadataUnavailable { .. } => HM_NO_MEMORY,
            _ => HM_IN_USE,
        }
    }
}

impl From<ReleaseError> for Status {
    fn from(error: ReleaseError) -> Self {
        match error {
            ReleaseError::Foreign => HM_FOREIGN,
            ReleaseError::Interior => HM_INTERIOR,
            _ => HM_NOT_LIVE,
        }
    }
}

impl From<ResizeError> for Status {
    fn from(error: ResizeError) -> Self {
        match error {
            ResizeError::NoBlock(why) => why.into(),
            ResizeError::NoRoom { .. } => HM_NO_ROOM,
            _ => HM_INVALID,
        }
    }
}

impl From<AddRangeError> for Status {
    fn from(error: AddRangeError) -> Self {
        match error {
            AddRangeError::Overlap { .. } => HM_OVERLAP,
            AddRangeError::TooSmall { .. } => HM_TOO_SMALL,
            AddRangeError::TooLarge { .. } | AddRangeError::OutOfReach { .. } => HM_TOO_LARGE,
            AddRangeError::MetadataUnavailable { .. } => HM_NO_MEMORY,
            _ => HM_INVALID,
        }
    }
}

impl From<AllocError> for Status {
    fn from(error: AllocError) -> Self {
        match error {
            AllocError::ZeroSize | AllocError::Alignment { .. } => HM_INVALID,
            AllocError::UnknownHeap { .. } => HM_UNKNOWN_REGION,
            _ => HM_NO_BLOCK,
        }
    }
}

impl From<ReserveError> for Status {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::Foreign { .. } => HM_FOREIGN,
            ReserveError::InUse { .. } => HM_IN_USE,
            _ => HM_INVALID,
        }
    }
}

/// A sentence about a status. It is never null, and lives for ever. A number that is no status is one, too.
#[unsafe(no_mangle)]
pub extern "C" fn hm_status_text(status: core::ffi::c_int) -> *const c_char {
    const TEXTS: [(Status, &CStr); 13] = [
        (HM_OK, c"all is well"),
        (HM_INVALID, c"an argument is null, 0, no power of two, or ends behind all addresses or offsets"),
        (HM_FOREIGN, c"the address or offset is in none of the pool's regions"),
        (HM_INTERIOR, c"it is inside a live block, not at its beginning"),
        (HM_NOT_LIVE, c"no live block is there: it was released already, or never handed out"),
        (HM_OVERLAP, c"the region overlaps another one of the pool"),
        (HM_TOO_SMALL, c"the region has no room for a block"),
        (HM_TOO_LARGE, c"the region has more blocks than one can have; it may be added in parts"),
        (HM_NO_MEMORY, c"there is no memory for the pool's own tables"),
        (HM_UNKNOWN_REGION, c"the pool has no such region"),
        (HM_IN_USE, c"some of it is live or cached, or another thread is removing the region"),
        (HM_NO_ROOM, c"the block can't grow where it is"),
        (HM_NO_BLOCK, c"no range has such a block, or it is not free"),
    ];
    let text = TEXTS.iter().find(|(known, _)| *known as core::ffi::c_int == status);
    text.map_or(c"this is no status", |(_, text)| *text).as_ptr()
}

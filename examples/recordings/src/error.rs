//! Why bytes are not a trace, and in which line.

use std::error::Error;
use std::fmt;

use crate::read::MOST_OBJECTS;

/// A trace that is none.
#[derive(Debug, PartialEq, Eq)]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    /// The beginning of the line.
    pub content: String,
    /// The reason.
    pub problem: Problem,
}

/// The reason why a line is not an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// The line begins with none of `a`, `z`, `r` and `f`.
    UnknownEvent,
    /// This field is missing.
    Missing(&'static str),
    /// This field is not a number.
    NotANumber(&'static str),
    /// Fields are left at the end of the line.
    TooManyFields,
    /// The alignment is not a power of two.
    BadAlign,
    /// No address space has that many bytes.
    TooLarge,
    /// The number of the object is far too large.
    ObjectNumber,
    /// The object was never allocated.
    NeverAllocated,
    /// The object is live already.
    AllocatedTwice,
    /// The object was freed before.
    AlreadyFreed,
    /// The text ends here, because the compressed bytes are damaged.
    Compression(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEvent => write!(f, "unknown event; the events are a, z, r and f"),
            Self::Missing(field) => write!(f, "{field} is missing"),
            Self::NotANumber(field) => write!(f, "{field} is not a number from 0 to {}", usize::MAX),
            Self::TooManyFields => write!(f, "too many fields"),
            Self::BadAlign => write!(f, "ALIGN is not a power of two"),
            Self::TooLarge => write!(f, "so many bytes can't be allocated"),
            Self::ObjectNumber => write!(f, "OBJECT is {MOST_OBJECTS} or more; objects are numbered from 0"),
            Self::NeverAllocated => write!(f, "the object was never allocated"),
            Self::AllocatedTwice => write!(f, "the object is live and is allocated once more"),
            Self::AlreadyFreed => write!(f, "the object was freed already"),
            Self::Compression(error) => write!(f, "here at the latest, the compressed trace is damaged: {error}"),
        }
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)?;
        if self.content.is_empty() { Ok(()) } else { write!(f, ": `{}`", self.content) }
    }
}

impl Error for TraceError {}

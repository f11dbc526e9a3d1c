//! Sizes of pages.

/// Sizes of pages that an owner of addresses wishes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Never huge, even if the system makes huge ones by itself.
    Small,
    /// Huge ones, if the system has some.
    Huge,
}

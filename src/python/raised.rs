//! The mark of a Python exception on its way.
//!
//! Used where applications run.

/// A Python exception is set on this thread; it is on its way to the code that fetches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised;

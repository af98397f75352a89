//! Where in its file a thing stands.

use std::fmt;
use std::ops::Deref;

/// A stretch of a scenario file. It names no file: a scenario has one, see [`super::model::Scenario::place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct At {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In bytes from the file's start.
    pub offset: usize,
    /// In bytes, 0 where a place between two characters is meant.
    pub length: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where it was written. Two are equal when their values are, wherever they stand.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: At,
}

impl<T> Spanned<T> {
    /// A value and its place.
    pub fn new(value: T, at: At) -> Spanned<T> {
        Spanned { value, at }
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

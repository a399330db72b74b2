//! A list that is short for nearly everybody: one or two topics. Thousands of readers have one each, so the usual
//! lengths need no memory of their own.

use std::ops::{Deref, DerefMut};

/// A list of fixed length.
#[derive(Debug)]
pub(crate) enum Few<T> {
    One([T; 1]),
    Two([T; 2]),
    Any(Box<[T]>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Any(Box::default())
    }
}

impl<T: Copy> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let items: Vec<T> = items.into_iter().collect();
        match items[..] {
            [one] => Self::One([one]),
            [one, two] => Self::Two([one, two]),
            _ => Self::Any(items.into()),
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(items) => items,
            Self::Two(items) => items,
            Self::Any(items) => items,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::One(items) => items,
            Self::Two(items) => items,
            Self::Any(items) => items,
        }
    }
}

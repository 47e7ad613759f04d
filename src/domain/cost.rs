//! What a request makes the service take: the one measure of admission, planning, commits and answers.

use std::iter::Sum;
use std::ops::Add;

/// Operations, and the bytes of text that they carry or may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations, or rows.
    pub operations: usize,
    /// Bytes in memory, roughly.
    pub bytes: usize,
}

impl Cost {
    /// So many operations, of so many bytes together.
    #[must_use]
    pub const fn new(operations: usize, bytes: usize) -> Self {
        Self { operations, bytes }
    }

    /// Whether neither part is above the limit's.
    #[must_use]
    pub const fn is_within(self, limit: Self) -> bool {
        self.operations <= limit.operations && self.bytes <= limit.bytes
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            operations: self.operations.saturating_add(other.operations),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

//! Statistics: pure functions over recorded numbers.

pub mod histogram;

//! Statistics: pure functions over recorded numbers.

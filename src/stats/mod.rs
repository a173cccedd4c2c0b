//! Statistics: pure functions over recorded numbers.
//!
//! Every function says where its formula comes from, takes finite numbers and never answers NaN: what cannot be
//! computed from too little is `None`.

mod binomial;
mod change_point;
mod histogram;
mod normal;
mod order;
mod slope;

pub use binomial::clopper_pearson;
pub use change_point::{ChangePoint, Trials, rising_change};
pub use histogram::Histogram;
pub use normal::normal_quantile;
pub use order::{coefficient_of_variation, mad, mean, median, quantile};
pub use slope::{Slope, theil_sen};

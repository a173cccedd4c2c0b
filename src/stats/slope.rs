//! A robust straight line.

use super::{median, normal_quantile};

/// A slope and the interval it lies in with the confidence that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// The median of the slopes between all pairs of points.
    pub estimate: f64,
    /// Lower end of the interval; minus infinity when the points are too few for the confidence.
    pub low: f64,
    /// Upper end of the interval; infinity when the points are too few for the confidence.
    pub high: f64,
}

impl Slope {
    /// The interval lies on one side of zero.
    pub fn is_real(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The Theil-Sen slope of `(x, y)` points. `None` with fewer than two different `x`.
///
/// Interval after Sen, "Estimates of the regression coefficient based on Kendall's tau" (1968), as Gilbert gives it
/// in "Statistical methods for environmental pollution monitoring" (1987), section 16.5: of the `N` sorted slopes
/// those with rank `(N - C)/2` and `(N + C)/2 + 1`, `C = z sqrt(Var S)`,
/// `Var S = (n(n-1)(2n+5) - sum t(t-1)(2t+5)) / 18` over groups of `t` equal `y`.
pub fn theil_sen(points: &[(f64, f64)], confidence: f64) -> Option<Slope> {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (i, (x, y)) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().filter(|(x2, _)| x2 != x).map(|(x2, y2)| (y2 - y) / (x2 - x)));
    }
    slopes.retain(|slope| slope.is_finite());
    slopes.sort_by(f64::total_cmp);
    let estimate = median(&slopes)?;
    let z = normal_quantile(0.5 + confidence.clamp(0.0, 1.0) / 2.0);
    let c = z * kendall_variance(points).sqrt();
    let n = slopes.len() as f64;
    // Ranks are rounded outwards: the interval is never narrower than asked for.
    let below = ((n - c) / 2.0).floor();
    let above = ((n + c) / 2.0).ceil() + 1.0;
    Some(Slope {
        estimate,
        low: if below >= 1.0 { slopes[below as usize - 1] } else { f64::NEG_INFINITY },
        high: if above <= n { slopes[above as usize - 1] } else { f64::INFINITY },
    })
}

fn kendall_variance(points: &[(f64, f64)]) -> f64 {
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut values: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    values.sort_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|a, b| a == b).map(|equal| term(equal.len() as f64)).sum();
    (term(points.len() as f64) - ties) / 18.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    #[test]
    fn a_straight_line_has_its_slope_and_a_wild_point_does_not_matter() {
        let mut points: Vec<(f64, f64)> = (0..30).map(|i| (f64::from(i), 2.0 * f64::from(i) + 1.0)).collect();
        points[7].1 = 1e6;
        let slope = theil_sen(&points, 0.99).unwrap();
        assert!((slope.estimate - 2.0).abs() < 1e-9, "{slope:?}");
        assert!(slope.is_real(), "{slope:?}");
    }

    #[test]
    fn equal_values_have_no_slope() {
        let points: Vec<(f64, f64)> = (0..30).map(|i| (f64::from(i), 1.0)).collect();
        assert_eq!(theil_sen(&points, 0.99), Some(Slope { estimate: 0.0, low: 0.0, high: 0.0 }));
    }

    #[test]
    fn too_few_points_leave_the_interval_open() {
        assert_eq!(theil_sen(&[(0.0, 1.0)], 0.95), None);
        assert_eq!(theil_sen(&[(0.0, 1.0), (0.0, 2.0)], 0.95), None);
        let slope = theil_sen(&[(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], 0.95).unwrap();
        assert!(!slope.is_real(), "{slope:?}");
    }

    #[test]
    fn noise_without_a_trend_is_called_a_trend_no_more_often_than_the_confidence_allows() {
        let mut rng = SmallRng::seed_from_u64(1);
        let false_trends = (0..1000)
            .filter(|_| {
                let points: Vec<(f64, f64)> = (0..30).map(|i| (f64::from(i), rng.random::<f64>())).collect();
                theil_sen(&points, 0.95).unwrap().is_real()
            })
            .count();
        assert!((20..=70).contains(&false_trends), "{false_trends} of 1000");
    }

    proptest! {
        #[test]
        fn the_estimate_lies_in_its_interval(ys in proptest::collection::vec(-1e6..1e6f64, 2..40)) {
            let points: Vec<(f64, f64)> = ys.iter().enumerate().map(|(i, y)| (i as f64, *y)).collect();
            let slope = theil_sen(&points, 0.95).unwrap();
            prop_assert!(slope.low <= slope.estimate && slope.estimate <= slope.high, "{slope:?}");
        }
    }
}

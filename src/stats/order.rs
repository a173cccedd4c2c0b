//! Location and spread of a handful of numbers. What is not finite is left out.

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    finite
}

/// The `q`-quantile, interpolated linearly between order statistics (type 7 of Hyndman and Fan, "Sample quantiles
/// in statistical packages", 1996). `None` without values; `q` outside `[0, 1]` is taken as the nearer end.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let sorted = sorted(values);
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    // Weighted, not `low + f (high - low)`: the difference of two huge numbers could overflow.
    let fraction = position - below as f64;
    Some(sorted[below] * (1.0 - fraction) + sorted[above] * fraction)
}

/// The median; the mean of the middle two of an even count. `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The median absolute deviation from the median, unscaled: 1.4826 of it estimate a normal standard deviation.
pub fn mad(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let deviations: Vec<f64> = values.iter().map(|x| (x - middle).abs()).collect();
    median(&deviations)
}

/// The arithmetic mean. `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    let finite = sorted(values);
    (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
}

/// Sample standard deviation over mean. `None` with fewer than two values or a mean that is not above zero.
pub fn coefficient_of_variation(values: &[f64]) -> Option<f64> {
    let finite = sorted(values);
    let mean = mean(&finite).filter(|mean| *mean > 0.0)?;
    let freedom = finite.len().checked_sub(1).filter(|n| *n > 0)?;
    let squares: f64 = finite.iter().map(|x| (x - mean).powi(2)).sum();
    Some((squares / freedom as f64).sqrt() / mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_middle_of_an_even_count_lies_between_two_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN]), None);
    }

    #[test]
    fn a_quantile_is_interpolated() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 0.95), Some(4.8));
        assert_eq!(quantile(&values, 1.0), Some(5.0));
    }

    #[test]
    fn one_outlier_does_not_move_the_median_deviation() {
        assert_eq!(mad(&[1.0, 2.0, 3.0, 4.0, 1000.0]), Some(1.0));
        assert_eq!(mad(&[7.0, 7.0, 7.0]), Some(0.0));
    }

    #[test]
    fn variation_is_relative_to_the_mean() {
        let cv = coefficient_of_variation(&[8.0, 10.0, 12.0]).unwrap();
        assert!((cv - 0.2).abs() < 1e-12, "{cv}");
        assert_eq!(coefficient_of_variation(&[1.0]), None);
        assert_eq!(coefficient_of_variation(&[0.0, 0.0]), None);
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_the_values_and_is_never_nan(
            values in proptest::collection::vec(-1e9..1e9f64, 1..60),
            q in -0.5..1.5f64,
        ) {
            let found = quantile(&values, q).unwrap();
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!((low - 1e-3..=high + 1e-3).contains(&found), "{found} not in [{low}, {high}]");
        }

        #[test]
        fn nothing_is_nan_whatever_comes_in(values in proptest::collection::vec(proptest::num::f64::ANY, 0..20)) {
            for answer in [median(&values), mad(&values)] {
                prop_assert!(answer.is_none_or(|x| !x.is_nan()), "{answer:?}");
            }
        }
    }
}

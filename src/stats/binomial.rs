//! An exact interval for a share.

/// The exact two-sided interval for a share after `successes` of `trials` (Clopper and Pearson, "The use of confidence
/// or fiducial limits illustrated in the case of the binomial", 1934). `(0, 1)` without trials.
pub fn clopper_pearson(successes: u64, trials: u64, confidence: f64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let successes = successes.min(trials);
    let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
    let (k, n) = (successes as f64, trials as f64);
    // P(X >= k | p) = I_p(k, n - k + 1) rises with p: each end is where one tail holds exactly `tail`.
    let low = if successes == 0 { 0.0 } else { solve(|p| beta_share(p, k, n - k + 1.0), tail) };
    let high = if successes == trials { 1.0 } else { solve(|p| beta_share(p, k + 1.0, n - k), 1.0 - tail) };
    (low, high)
}

/// Where a rising function of `[0, 1]` reaches a value, by bisection to the last bit that matters.
fn solve(rising: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if rising(middle) < value { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The regularised incomplete beta function `I_x(a, b)`, by its continued fraction (DLMF 8.17.22) in Lentz' form.
fn beta_share(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    // The fraction converges fast only on this side of the mean; the other side is its mirror image.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_share(1.0 - x, b, a);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let keep = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut d = 1.0 / keep(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut fraction) = (1.0, d);
    for m in 1..10_000 {
        let m = f64::from(m);
        for step in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / keep(1.0 + step * d);
            c = keep(1.0 + step / c);
            fraction *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-14 {
            break;
        }
    }
    (front * fraction).clamp(0.0, 1.0)
}

/// `ln Gamma(x)` for `x > 0` by Lanczos' series (g = 7, nine terms), relative error about 1e-15.
fn ln_gamma(x: f64) -> f64 {
    const SERIES: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum: f64 = SERIES.iter().zip(1u32..).map(|(c, i)| c / (x + f64::from(i))).sum();
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + (0.999_999_999_999_809_9 + sum).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_agrees_with_published_intervals() {
        for (k, n, low, high) in [
            (0, 10, 0.0, 0.308_497_1),
            (1, 10, 0.002_528_579, 0.445_016_1),
            (5, 10, 0.187_086_0, 0.812_914_0),
            (10, 10, 0.691_502_9, 1.0),
            (950, 1000, 0.934_592_6, 0.962_656_0),
        ] {
            let found = clopper_pearson(k, n, 0.95);
            assert!((found.0 - low).abs() < 1e-4 && (found.1 - high).abs() < 1e-4, "{k} of {n}: {found:?}");
        }
        assert_eq!(clopper_pearson(0, 0, 0.95), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_share_lies_in_its_interval(n in 1u64..5000, k in 0u64..5000) {
            let k = k.min(n);
            let (low, high) = clopper_pearson(k, n, 0.95);
            let share = k as f64 / n as f64;
            prop_assert!(low <= share + 1e-12 && share <= high + 1e-12, "{low} {share} {high}");
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
        }
    }
}

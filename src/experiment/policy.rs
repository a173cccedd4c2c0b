//! Every figure of the recovery definition, with its default and what it costs to change it.
//!
//! One table below makes the struct, its defaults, the reader of `[policy]` and the rows of docs/recovery.md, so
//! that none of them can drift from the others.

use std::time::Duration;

use crate::diagnostics::{FromNode, Node, Reader};
use crate::units::Share;

/// The widths that a window can have, in milliseconds.
pub const WIDTHS_MS: [u64; 7] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Which limits decide what a good window is. Both sets are worked out and reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Limits from the steady state: the system is compared with itself.
    #[default]
    Relative,
    /// Limits from the file's `[slo]`; what it does not limit is not gated.
    Slo,
}

impl Mode {
    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relative => "relative",
            Self::Slo => "slo",
        }
    }
}

impl FromNode for Mode {
    fn from_node(node: &Node) -> Result<Self, String> {
        match String::from_node(node).as_deref() {
            Ok("relative") => Ok(Self::Relative),
            Ok("slo") => Ok(Self::Slo),
            _ => Err("\"relative\" or \"slo\"".to_owned()),
        }
    }
}

/// One row of the policy's table in the manual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The key in `[policy]`.
    pub key: &'static str,
    /// Its default as it would be written in a file.
    pub default: String,
    /// What it decides.
    pub meaning: &'static str,
}

macro_rules! policy {
    ($($(#[doc = $meaning:literal])+ $key:ident: $kind:ty = $default:expr;)+) => {
        /// Every figure of the recovery definition (docs/recovery.md says how they act together).
        #[derive(Debug, Clone, PartialEq)]
        pub struct Policy {
            $($(#[doc = $meaning])+ pub $key: $kind,)+
        }

        impl Default for Policy {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl Policy {
            fn read_figures(reader: &mut Reader<'_>) -> Self {
                let default = Self::default();
                Self { $($key: reader.or(stringify!($key), default.$key),)+ }
            }

            /// Every figure with its default and its meaning, in the order of the definition.
            pub fn figures() -> Vec<Figure> {
                let default = Self::default();
                vec![$(Figure {
                    key: stringify!($key),
                    default: default.$key.written(),
                    meaning: concat!($($meaning),+).trim_ascii(),
                },)+]
            }
        }
    };
}

policy! {
    /// Which limits are the gate: `relative` (the system against its own steady state) or `slo` (the file's limits).
    mode: Mode = Mode::Relative;
    /// The narrowest window. Narrower resolves shorter recoveries and needs a higher rate.
    min_window: Duration = Duration::from_secs(1);
    /// Planned requests that a window holds at least.
    min_requests: usize = 100;
    /// Planned requests above the judged quantile that a window holds at least: 5 are 100 for p95 and 500 for p99.
    tail_requests: usize = 5;
    /// A window is valid when at least this share of its planned requests was sent ...
    min_issued: Share = share(0.99);
    /// ... and the sending lag's p99 is at most this ...
    max_lag: Duration = Duration::from_millis(10);
    /// ... or this share of the window, whichever is longer.
    max_lag_share: Share = share(0.1);
    /// Valid windows that the baseline is taken from: the last ones before the fault.
    baseline_windows: usize = 30;
    /// Length of the steady phase in windows where the file gives none.
    steady_windows: usize = 40;
    /// Largest coefficient of variation of the baseline's attainment.
    max_variation: Share = share(0.1);
    /// Confidence with which a slope of the baseline's attainment must differ from zero to count ...
    slope_confidence: Share = share(0.99);
    /// ... and the drift over the baseline, as a share of its median, that it must exceed.
    max_drift: Share = share(0.05);
    /// Largest share of bad windows in the baseline; one is always allowed.
    max_bad_baseline: Share = share(0.05);
    /// Median attainment under which there is no steady state.
    min_attainment: Share = share(0.5);
    /// A good window has at least this share of the baseline's attainment ...
    attainment_ratio: Share = share(0.95);
    /// ... or lies within this many binomial standard deviations of it, whichever is lower.
    attainment_sigmas: f64 = 3.1;
    /// A good window's judged quantile is at most this multiple of the baseline's ...
    latency_ratio: f64 = 1.25;
    /// ... or this much longer ...
    latency_slack: Duration = Duration::from_millis(1);
    /// ... or this many (scaled, relative) median absolute deviations above it on a logarithmic scale, whichever is
    /// highest.
    latency_deviations: f64 = 5.0;
    /// A good window has at most this multiple of the baseline's p95 of requests in flight ...
    in_flight_ratio: f64 = 2.0;
    /// ... or this many more, whichever is higher.
    in_flight_slack: f64 = 10.0;
    /// One window below this share of the baseline's attainment is a bad run by itself.
    severe_ratio: Share = share(0.5);
    /// `K`: of this many windows from recovery on ...
    confirm_windows: usize = 10;
    /// ... at most this many may be bad. None would overstate the recovery time by 0.6 windows at 99 % good ones.
    confirm_bad: usize = 1;
    /// `K'`: the same for the time to *first* recovery, which has no hold.
    first_windows: usize = 3;
    /// `H`: no bad run may start this long after recovery ...
    hold: Duration = Duration::from_secs(30);
    /// ... nor for this many windows, whichever is longer. Shorter calls unstable states recovered (table below).
    hold_windows: usize = 30;
    /// The interval of the recovery time holds every moment whose log-likelihood is at most this much below the best.
    likelihood_drop: f64 = 3.0;
    /// Largest share of invalid windows from the baseline to the end of the watch ...
    max_invalid: Share = share(0.1);
    /// ... and no invalid window at all within this many windows of fault-off.
    guard_windows: usize = 2;
    /// A rule must have injected at least this share of what it triggered.
    min_exercised: Share = share(0.9);
    /// Where the file gives no length, the watch after fault-off is the hold and this ...
    min_watch: Duration = Duration::from_secs(60);
    /// ... or this multiple of the fault phase, whichever is longer.
    watch_ratio: f64 = 3.0;
}

impl Policy {
    /// Reads the `[policy]` table; what it does not give keeps its default. Every mistake is recorded in the reader.
    pub fn read(mut reader: Reader<'_>) -> Self {
        let policy = Self::read_figures(&mut reader);
        let widths = WIDTHS_MS.map(Duration::from_millis);
        if !widths.contains(&policy.min_window) {
            let cure = "one of 100ms, 200ms, 500ms, 1s, 2s, 5s, 10s";
            reader.reject("min_window", "a window cannot have this width", Some(cure));
        }
        for (key, figure, least) in [
            ("min_requests", policy.min_requests, 1),
            ("baseline_windows", policy.baseline_windows, 3),
            ("confirm_windows", policy.confirm_windows, 1),
            ("first_windows", policy.first_windows, 1),
        ] {
            if figure < least {
                reader.reject(key, format!("{figure} is too few"), Some(&format!("at least {least}")));
            }
        }
        for (key, figure, least) in [
            ("attainment_sigmas", policy.attainment_sigmas, 0.0),
            ("latency_ratio", policy.latency_ratio, 1.0),
            ("latency_deviations", policy.latency_deviations, 0.0),
            ("in_flight_ratio", policy.in_flight_ratio, 1.0),
            ("in_flight_slack", policy.in_flight_slack, 0.0),
            ("likelihood_drop", policy.likelihood_drop, 0.0),
            ("watch_ratio", policy.watch_ratio, 0.0),
        ] {
            if figure < least {
                reader.reject(key, format!("{figure} is too low"), Some(&format!("at least {least}")));
            }
        }
        if policy.confirm_bad >= policy.confirm_windows {
            let key = if reader.has("confirm_bad") { "confirm_bad" } else { "confirm_windows" };
            let (bad, windows) = (policy.confirm_bad, policy.confirm_windows);
            let message = format!("a recovery could have bad windows only: {bad} of {windows}");
            reader.reject(key, message, Some("confirm_bad below confirm_windows"));
        }
        reader.finish();
        policy
    }

    /// Planned requests that a window must hold so that its attainment and this quantile can be judged.
    pub fn requests_needed(&self, quantile: f64) -> usize {
        // Rounded before it is raised: 5 / (1 - 0.95) is a hair above 100 in binary.
        let tail = self.tail_requests as f64 / (1.0 - quantile).max(1e-6);
        self.min_requests.max((tail - 1e-6).ceil() as usize)
    }
}

/// A figure of the table above, all of which lie between 0 and 1.
fn share(value: f64) -> Share {
    Share::new(value).unwrap_or(Share::ALL)
}

/// How a figure is written in a file.
trait Written {
    fn written(&self) -> String;
}

impl Written for Mode {
    fn written(&self) -> String {
        format!("\"{}\"", self.name())
    }
}

impl Written for Duration {
    fn written(&self) -> String {
        format!("\"{}\"", humantime::format_duration(*self))
    }
}

impl Written for Share {
    fn written(&self) -> String {
        format!("\"{}%\"", (self.get() * 1e4).round() / 1e2)
    }
}

impl Written for usize {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for f64 {
    fn written(&self) -> String {
        format!("{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn read(text: &str) -> (Policy, Vec<String>) {
        let node = Node::from_toml("x.toml", text).unwrap();
        let problems = RefCell::default();
        let policy = Policy::read(Reader::new("x.toml", &node, "policy", &problems));
        (policy, problems.into_inner().0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(read(""), (Policy::default(), vec![]));
    }

    #[test]
    fn every_figure_can_be_set_to_its_own_default_as_the_manual_writes_it() {
        let text: String = Policy::figures().iter().map(|f| format!("{} = {}\n", f.key, f.default)).collect();
        assert_eq!(read(&text), (Policy::default(), vec![]), "{text}");
    }

    #[test]
    fn figures_are_set() {
        let (policy, problems) = read("mode = \"slo\"\nmin_window = \"200ms\"\nhold = \"5s\"\nmax_invalid = 0.2");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!((policy.mode, policy.hold.as_secs(), policy.max_invalid.get()), (Mode::Slo, 5, 0.2));
    }

    #[test]
    fn all_mistakes_are_reported_with_their_line() {
        let (_, problems) = read(
            "mode = \"strict\"\nmin_window = \"300ms\"\nconfirm_windows = 1\nlatency_ratio = 0.5\nmax_invalid = \"110%\"\nholt = 1",
        );
        let lines: Vec<&str> = problems.iter().map(|p| &p[..p.find(": ").unwrap()]).collect();
        assert_eq!(lines, ["x.toml:1", "x.toml:5", "x.toml:2", "x.toml:4", "x.toml:3", "x.toml:6"], "{problems:#?}");
        assert!(problems[5].contains("did you mean \"hold\"?"), "{}", problems[5]);
    }

    #[test]
    fn a_tail_quantile_needs_more_requests() {
        let policy = Policy::default();
        assert_eq!([0.5, 0.95, 0.99, 0.999].map(|q| policy.requests_needed(q)), [100, 100, 500, 5000]);
    }
}

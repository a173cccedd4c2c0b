//! Every rule file that is shipped, loaded and turned on: what it does to requests is what it says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper of a test may fail the test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brownout::clock;
use brownout::config::read_rule_file;
use brownout::faults::{RequestView, ResponseView, Terminal};
use brownout::rules::{Layer, Store};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// What one request suffers.
#[derive(Debug, Default, Clone, PartialEq)]
struct Suffered {
    delay: Duration,
    late_delay: Duration,
    status: Option<u16>,
    rate: Option<f64>,
    cut: Option<u64>,
    hangs: bool,
}

/// One shipped file, all of it turned on.
struct Profile(Arc<Store>);

impl Profile {
    fn of(file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(file);
        let rules = read_rule_file(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let names: Vec<_> = rules.iter().map(|rule| rule.name.clone()).collect();
        let store = Store::new(42);
        store.replace(&Layer::File, rules);
        for name in names {
            assert!(store.set_enabled(&Layer::File, &name, true));
        }
        Self(store)
    }

    fn only(self, name: &str) -> Self {
        for rule in self.0.status().iter().filter(|rule| rule.name != name) {
            self.0.set_enabled(&Layer::File, &rule.name, false);
        }
        self
    }

    fn request(&self, method: &str, path: &str, headers: &[(&'static str, &str)]) -> Suffered {
        let fields = headers.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_str(v).unwrap()));
        let (headers, method) = (fields.collect::<HeaderMap>(), Method::from_bytes(method.as_bytes()).unwrap());
        let view = RequestView::of(&method, path, &headers);
        let mut plan = self.0.load().plan("any", &view);
        let mut suffered = Suffered::default();
        let course = plan.request_course(&view);
        suffered.delay = course.delays.iter().map(|(_, delay)| *delay).sum();
        for (_, terminal) in &course.terminals {
            match terminal {
                Terminal::Answer(answer) => suffered.status = suffered.status.or(Some(answer.status.as_u16())),
                Terminal::Hang { .. } => suffered.hangs = true,
                Terminal::Close(_) | Terminal::Raw { .. } => {}
            }
        }
        let answer = HeaderMap::new();
        let course = plan.response_course(&ResponseView { status: StatusCode::OK, headers: &answer });
        suffered.late_delay = course.delays.iter().map(|(_, delay)| *delay).sum();
        suffered.rate = course.body.rates.first().map(|(_, (rate, _))| rate.per_second());
        suffered.cut = course.body.cuts.first().map(|(_, (after, _))| *after);
        suffered
    }

    fn many(&self, count: usize) -> Vec<Suffered> {
        (0..count).map(|_| self.request("GET", "/", &[])).collect()
    }
}

/// The delay that this share of requests stays below.
fn quantile(suffered: &[Suffered], delay: impl Fn(&Suffered) -> Duration, share: f64) -> f64 {
    let mut delays: Vec<_> = suffered.iter().map(delay).collect();
    delays.sort();
    delays[(share * delays.len() as f64) as usize].as_secs_f64()
}

fn about(value: f64, expected: f64, tolerance: f64) {
    assert!((value / expected - 1.0).abs() <= tolerance, "{value} is not about {expected}");
}

fn share(suffered: &[Suffered], of: impl Fn(&Suffered) -> bool) -> f64 {
    suffered.iter().filter(|one| of(one)).count() as f64 / suffered.len() as f64
}

fn three_g() {
    for one in Profile::of("3g.toml").many(10) {
        assert_eq!((one.delay, one.rate), (Duration::from_millis(150), Some(200_000.0)));
    }
}

fn flaky_wifi() {
    let all = Profile::of("flaky-wifi.toml").many(20_000);
    about(quantile(&all, |one| one.delay, 0.5), 0.005, 0.1);
    // Above it the table is steep.
    about(quantile(&all, |one| one.delay, 0.9), 0.04, 0.25);
    about(quantile(&all, |one| one.delay, 0.99), 0.4, 0.25);
    about(share(&all, |one| one.rate == Some(20_000.0)), 0.03, 0.2);
    about(share(&all, |one| one.cut == Some(2_048)), 0.005, 0.4);
}

fn cross_region() {
    for (rule, least, median) in [("cross-region-near", 0.005, 0.0054), ("cross-region-far", 0.055, 0.075)] {
        let all = Profile::of("cross-region.toml").only(rule).many(5_000);
        assert!(quantile(&all, |one| one.delay, 0.0) >= least);
        about(quantile(&all, |one| one.delay, 0.5), median, 0.05);
    }
}

async fn slow_database() {
    let profile = Profile::of("slow-database.toml");
    assert!(profile.many(100).iter().all(|one| one.late_delay < Duration::from_millis(1)), "it begins at nothing");
    tokio::time::advance(Duration::from_secs(15)).await;
    about(quantile(&profile.many(5_000), |one| one.late_delay, 0.5), 0.06, 0.1);
    tokio::time::advance(Duration::from_secs(15)).await;
    let all = profile.many(5_000);
    about(quantile(&all, |one| one.late_delay, 0.5), 0.12, 0.1);
    assert!(all.iter().all(|one| one.delay.is_zero() && one.late_delay <= Duration::from_secs(10)));
}

fn brownout_of_one_tenant() {
    let profile = Profile::of("brownout-of-one-tenant.toml");
    assert!(profile.many(100).iter().all(|one| *one == Suffered::default()), "the others notice nothing");
    let session = |n: usize| {
        let cookie = format!("session={n}");
        profile.request("GET", "/", &[("x-tenant", "beta-1"), ("cookie", &cookie)])
    };
    let all: Vec<_> = (0..3_000).map(session).collect();
    about(share(&all, |one| !one.delay.is_zero()), 0.6, 0.1);
    about(share(&all, |one| one.status == Some(503)), 0.3, 0.1);
    assert!(all.iter().all(|one| one.status.is_none() || !one.delay.is_zero()), "only the slow ones fail");
    assert!((0..100).all(|n| session(n).delay == all[n].delay), "the same sessions suffer, and the same");
}

async fn rate_limited_api() {
    let profile = Profile::of("rate-limited-api.toml");
    let refused = |key: &str| profile.request("GET", "/api/a", &[("x-api-key", key)]).status == Some(429);
    assert_eq!((0..30).filter(|_| refused("ann")).count(), 10, "of 30 at once all but the burst");
    assert!(!refused("bob"), "each key has its own budget");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((0..30).filter(|_| refused("ann")).count(), 20, "a second is worth ten");
    assert_eq!(profile.request("GET", "/", &[("x-api-key", "ann")]), Suffered::default());
}

async fn retry_storm() {
    let profile = Profile::of("retry-storm.toml");
    let fails = || profile.request("GET", "/", &[]).status == Some(503);
    let start = clock::now();
    for (until, expected) in [(0, true), (9, true), (10, false), (59, false), (60, true), (70, false)] {
        let ahead = (start + Duration::from_secs(until)).saturating_duration_since(clock::now());
        tokio::time::advance(ahead).await;
        assert_eq!(fails(), expected, "after {until} s");
    }
}

fn failing_inventory() {
    let profile = Profile::of("failing-inventory.toml");
    let all: Vec<_> = (0..2_000).map(|_| profile.request("GET", "/api/inventory/7", &[])).collect();
    about(share(&all, |one| one.status == Some(503)), 0.5, 0.1);
    assert_eq!(profile.request("GET", "/api/other", &[]), Suffered::default());
}

fn hanging_payments() {
    let profile = Profile::of("hanging-payments.toml");
    assert!(profile.request("GET", "/", &[("x-tenant", "beta-1")]).hangs);
    assert!(!profile.request("GET", "/", &[("x-tenant", "gamma")]).hangs);
}

fn slow_checkout() {
    let profile = Profile::of("slow-checkout.toml");
    let all: Vec<_> = (0..2_000).map(|_| profile.request("POST", "/api/checkout/7", &[])).collect();
    about(share(&all, |one| !one.delay.is_zero()), 0.25, 0.15);
    assert_eq!(profile.request("GET", "/api/checkout/7", &[]), Suffered::default());
}

#[tokio::test(start_paused = true)]
async fn every_shipped_rule_file_does_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    for file in files.iter().map(|file| file.to_str().unwrap()) {
        match file {
            "3g.toml" => three_g(),
            "brownout-of-one-tenant.toml" => brownout_of_one_tenant(),
            "cross-region.toml" => cross_region(),
            "failing-inventory.toml" => failing_inventory(),
            "flaky-wifi.toml" => flaky_wifi(),
            "hanging-payments.toml" => hanging_payments(),
            "rate-limited-api.toml" => rate_limited_api().await,
            "retry-storm.toml" => retry_storm().await,
            "slow-checkout.toml" => slow_checkout(),
            "slow-database.toml" => slow_database().await,
            other => panic!("rules/{other} is shipped, and nobody has looked at what it does"),
        }
    }
}

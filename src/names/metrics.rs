//! Every exported metric: its name, its type, its labels and what it says. `docs/metrics.md` is checked against it.

/// How a metric behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in classic buckets, with `_sum` and `_count`.
    Histogram,
}

impl Type {
    /// The word of the text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One exported metric. A series appears at its first event; an absent value is not exported as zero.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name, unit included.
    pub name: &'static str,
    /// The type.
    pub kind: Type,
    /// The labels' names, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One line: what a value means.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Type::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Type::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Type::Histogram, labels, help }
}

/// Upper bounds of the buckets of every histogram, in seconds: 0.5 ms to 60 s.
pub const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// At most so many rules have a label of their own; the rest share [`OTHER_RULES`].
pub const MAX_RULE_LABELS: usize = 1_000;
/// The `rule` label of those that came after the first [`MAX_RULE_LABELS`].
pub const OTHER_RULES: &str = "_other";
/// The `code` label of an exchange whose client got no status.
pub const NO_CODE: &str = "none";

/// Declares the metrics and the list of all of them, so that none can be left out of the list.
macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $id:ident = $kind:ident($name:literal, [$($label:literal),*], $help:literal);)*) => {
        $($(#[doc = $doc])* #[doc = $help] pub static $id: Metric = $kind(concat!("brownout_", $name), &[$($label),*], $help);)*
        /// All of them, in the order of the documentation. The `process_*` metrics come from the prometheus crate.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    BUILD_INFO = gauge("build_info", ["version"], "Always 1; the label names the version.");

    REQUESTS = counter("requests_total", ["proxy", "route", "code", "outcome"],
        "Exchanges that have ended, by the status sent to the client (none if it got none) and by how they ended.");
    REQUESTS_RECEIVED = counter("requests_received_total", ["proxy"],
        "Requests whose head has been read, ended or not.");
    REQUEST_DURATION = histogram("request_duration_seconds", ["proxy", "route"],
        "From the request's head read to the end of the response, injected delays included.");
    UPSTREAM_DURATION = histogram("upstream_duration_seconds", ["proxy", "route"],
        "From the request sent upstream to the head of its response.");
    INJECTED_DELAY = histogram("injected_delay_seconds", ["proxy", "route"],
        "Waits that faults put into an exchange; exchanges without any are not counted.");
    PROXY_ERRORS = counter("proxy_errors_total", ["proxy", "reason"],
        "Troubles that were not injected, by the value of x-brownout-error.");
    HANDSHAKE_FAILURES = counter("tls_handshake_failures_total", ["proxy", "reason"],
        "TLS handshakes of clients that came to nothing: closed, refused or timeout.");
    CONNECTIONS_OPEN = gauge("connections_open", ["proxy"], "Open client connections.");
    TCP_CONNECTIONS = counter("tcp_connections_total", ["proxy", "outcome"],
        "Connections of TCP proxies that have ended, by how they ended.");
    RECEIVED_BYTES = counter("received_bytes_total", ["proxy"], "Bytes read from clients, without TLS.");
    SENT_BYTES = counter("sent_bytes_total", ["proxy"], "Bytes written to clients, without TLS.");

    FAULTS = counter("faults_total", ["rule", "kind", "stage"],
        "What became of the requests that a rule's fault was meant for: matched, triggered, limited, skipped, injected, released, departed.");
    FAULTS_ACTIVE = gauge("faults_active", ["rule", "kind"], "Requests that are suffering a fault now.");
    RULES_FOLDED = gauge("rules_folded", [], "Rules that share the label _other because 1,000 others came first.");
    RULES_GENERATION = gauge("rules_generation", [], "Number of the rule set in force; every swap adds to it.");
    RULES_LAST_RELOAD_SUCCESSFUL = gauge("rules_last_reload_successful", [],
        "1 if the rule files were taken over when they were last read, 0 if they had mistakes.");
    RULES_LAST_RELOAD_SUCCESS_TIMESTAMP = gauge("rules_last_reload_success_timestamp_seconds", [],
        "When rule files were last taken over, Unix time.");
    RULE_LEASE_EXPIRY = gauge("rule_lease_expiry_timestamp_seconds", ["rule"],
        "When a rule's lease ends unless it is renewed, Unix time; absent without a lease.");
    KILL_SWITCH_ENGAGED = gauge("kill_switch_engaged", [], "1 while all faults are off by the latch.");
    KILL_SWITCH_PERSISTED = gauge("kill_switch_persisted", [],
        "1 if the latch would survive a restart, 0 if its state file could not be written.");

    LOAD_PLANNED = counter("load_planned_total", [], "Arrivals that the load driver had planned up to now.");
    LOAD_SENT = counter("load_sent_total", [], "Requests that the load driver issued.");
    LOAD_GOOD = counter("load_good_total", [], "Successes within the good latency.");
    LOAD_MISSED = counter("load_missed_total", [], "Arrivals that the load driver itself could not issue.");
    LOAD_LAG = histogram("load_lag_seconds", [], "Actual send minus intended start.");
    LOAD_LATENCY = histogram("load_latency_seconds", [], "From the intended start to the end of the response.");
    LOAD_IN_FLIGHT = gauge("load_in_flight", [], "Requests of the load driver that have not ended.");

    EXPERIMENT_PHASE = gauge("experiment_phase", ["phase"], "1 for the phase that the run is in, 0 for the others.");
    EXPERIMENT_OUTCOME = gauge("experiment_outcome", ["outcome"],
        "1 for the outcome of the last finished run, 0 for the others.");
    SLO_ATTAINMENT = gauge("slo_attainment_ratio", [], "Share of good requests in the last complete window.");
    TIME_TO_IMPACT = gauge("time_to_impact_seconds", [], "From fault-on to the onset; absent without an onset.");
    RECOVERY_TIME = gauge("recovery_time_seconds", [],
        "From fault-off to the recovery; absent if the last run has none.");
    RECOVERY_CENSORED = gauge("recovery_censored", [],
        "1 if the last run had not recovered by the end of its watch, 0 if it had.");
    RESILIENCE_LOSS = gauge("resilience_loss_seconds", [], "Seconds of full outage that the last run cost.");
    RETRY_AMPLIFICATION = gauge("retry_amplification_ratio", [],
        "Requests behind the system for each one in front of it, over the same in the steady state; absent if not observable.");
}

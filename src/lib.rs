//! brownout: degrade a service on purpose, under load, and measure how it comes back.
//!
//! # The house
//!
//! Arrows point down only; `tests/architecture.rs` holds the sources against this drawing.
//!
//! ```text
//! cli                     one file per subcommand: reads what the user wrote, wires the rest together
//! admin   demo            the REST API; the embedded shop
//! experiment   report     baseline, recovery, verdict and the runner; one file per report format
//! proxy   tcp             HTTP, the only place that names pingora; TCP with Toxiproxy's API
//! load    client          the open-loop driver; the admin API's client
//! config                  the configuration file and its watching
//! tls                     certificates, keys and roots, made ready for handshakes
//! rules                   which requests get which faults, when, how often
//! faults                  one pure file per fault: decide, never sleep, write or log
//! telemetry   results     events, metrics, logging; the plain model of everything measured
//! stats                   pure functions over recorded numbers
//! units dice names clock diagnostics shards     types with units, seeded chance, public names, the precise timer,
//!                         mistakes, the threads that carry traffic
//! ```
//!
//! # The life of a request
//!
//! A shard accepts the connection ([`proxy`]) and reads the head. The rule set is loaded once ([`rules::Store`]),
//! matched, and every rule that triggers becomes a hit of the request's [`rules::Plan`]. The hits' faults say what
//! should happen as data ([`faults::RequestEffect`]), one law composes it ([`faults::compose`]), and the proxy acts:
//! waits that can be released, an answer, silence, a close. Otherwise the request goes upstream through one duplex
//! loop; when the response's head is there the faults are asked again, and its body is passed on, dripped or cut.
//! One event at the end ([`telemetry::events`]) feeds metrics and the access log.
//!
//! # The life of an experiment
//!
//! A file becomes an [`experiment::spec::Experiment`] with a plan that can be measured, or a list of every mistake.
//! The runner starts the driver ([`load::Driver`]), takes the baseline as its windows become final, switches the
//! rules through an [`experiment::injector::Injector`], and hands everything that was recorded to
//! [`experiment::measure::measure_recovery`], which is pure.

pub mod admin;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod diagnostics;
pub mod dice;
pub mod experiment;
pub mod faults;
pub mod load;
pub mod names;
pub mod proxy;
pub mod report;
pub mod results;
pub mod rules;
pub mod shards;
pub mod stats;
pub mod tcp;
pub mod telemetry;
pub mod tls;
pub mod units;

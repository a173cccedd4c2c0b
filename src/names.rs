//! Every public name: metrics, labels, headers.

pub mod metrics;

/// Response header that says which faults touched a response: `<rule>/<kind>`, comma-separated.
pub const MARK_HEADER: &str = "x-brownout";
/// Response header that says what trouble the proxy itself had.
pub const ERROR_HEADER: &str = "x-brownout-error";
/// Request header with which a client asks for faults itself, where a proxy allows it.
pub const FAULT_HEADER: &str = "x-brownout-fault";
/// Request header with the number of the request in its run, from 0.
pub const SEQUENCE_HEADER: &str = "x-brownout-seq";

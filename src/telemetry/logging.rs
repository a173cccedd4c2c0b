//! Log lines to stderr: for people by default, JSON on request.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What log lines look like and which are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// One JSON object a line, instead of text for people.
    pub json: bool,
    /// Colours in the text.
    pub color: bool,
    /// Only warnings and errors. `RUST_LOG` has the last word.
    pub quiet: bool,
}

/// The library under the proxy reports every client that leaves; what matters of it is reported by the proxy itself.
/// That of the file watch warns about each watched folder that is removed or replaced, which is nobody's mistake.
const LIBRARIES: &str = "pingora=error,hyper=warn,h2=warn";

/// Sends everything that is logged, by `tracing` or by the `log` crate, to stderr. The first call counts.
pub fn init(options: Options) {
    let (filter, complaint) = filter(std::env::var("RUST_LOG").ok().as_deref(), options.quiet);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let first = if options.json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_ansi(options.color).with_target(false)).try_init()
    };
    if let (Ok(()), Some(complaint)) = (first, complaint) {
        tracing::warn!("{complaint}");
    }
}

/// What is written, and what is wrong with `RUST_LOG`, if it is set and cannot be followed.
fn filter(rust_log: Option<&str>, quiet: bool) -> (EnvFilter, Option<String>) {
    let default = format!("{},{LIBRARIES}", if quiet { "warn" } else { "info" });
    match rust_log.filter(|text| !text.is_empty()).map(|text| (text, EnvFilter::builder().parse(text))) {
        None => (EnvFilter::new(default), None),
        Some((_, Ok(filter))) => (filter, None),
        Some((text, Err(error))) => {
            (EnvFilter::new(default), Some(format!("RUST_LOG=\"{text}\" is not a filter, and is not used: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_quiet_unless_rust_log_asks_for_it() {
        assert!(filter(None, false).0.to_string().contains("pingora=error"));
        assert!(filter(Some(""), true).0.to_string().contains("warn"));
        assert_eq!(filter(Some("pingora=debug"), true).0.to_string(), "pingora=debug");
        let (fallback, complaint) = filter(Some("brownout=loud"), false);
        assert!(fallback.to_string().contains("info"));
        assert!(complaint.unwrap().contains("brownout=loud"));
    }
}

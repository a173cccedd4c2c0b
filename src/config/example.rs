//! The smallest configuration that does something, for whoever starts without one.

use std::path::Path;

use crate::diagnostics::Problems;

/// A complete configuration file; everything else has a default.
pub const MINIMAL: &str = r#"[[proxy]]
name     = "web"
protocol = "http"
listen   = "127.0.0.1:8080"
upstream = "http://127.0.0.1:9000"

[rules]
dir = "rules"
"#;

/// What is said when the configuration file is not there.
pub(super) fn missing(path: &Path) -> Problems {
    let indented: String = MINIMAL.lines().map(|line| format!("{}\n", format!("    {line}").trim_end())).collect();
    let message =
        format!("there is no such file: write it, or name another with -c FILE; a minimal one is\n\n{indented}");
    Problems::one(path.display().to_string(), message, None)
}

//! `brownout check`: says what is wrong with files, or what they were understood to say.

use std::path::PathBuf;

use super::{Outcome, output};
use crate::config::Config;
use crate::diagnostics::Problems;

/// Check files without starting anything
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  brownout check config/brownout.toml
  brownout check rules
  brownout check config/brownout.toml rules config/experiments/*.toml")]
pub struct Args {
    /// Configuration files, rule files, folders of rule files, experiments
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Checks every path; all problems of all of them are one failure.
///
/// # Errors
/// Every problem found.
pub fn run(args: Args) -> Outcome {
    let mut problems = Problems::default();
    for path in &args.paths {
        match Config::load(path, &[]) {
            Ok(config) => output::print(format_args!("{}: ok, {} proxies", path.display(), config.proxies.len()))?,
            Err(found) => problems.extend(found),
        }
    }
    problems.or(0).map_err(Into::into)
}

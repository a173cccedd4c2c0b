//! Sidecars that run elsewhere.

use crate::cli::Failure;
use crate::experiment::injector::Injector;
use crate::experiment::spec::Experiment;

/// One injector for each sidecar that the experiment attaches to.
pub(super) fn sidecars(_experiment: &Experiment) -> Result<Vec<Box<dyn Injector>>, Failure> {
    Ok(Vec::new())
}

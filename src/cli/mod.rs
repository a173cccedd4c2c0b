//! The command line: one file per subcommand.

use crate::diagnostics::Problems;

/// Why a command ended without a result. A result, good or bad, is an exit code (`Ok`).
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the user wrote is wrong: exit 2.
    #[error("{0}")]
    BadInput(#[from] Problems),
    /// The machine or the network did not let it run (bind, connect, fault not removable): exit 3.
    #[error("{0:#}")]
    CouldNotRun(#[from] anyhow::Error),
}

/// The exit code of a command, or why there is none.
pub type Outcome = Result<u8, Failure>;

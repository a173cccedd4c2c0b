//! `brownout on`: takes `brownout off` back.

use super::off::warn_unless_persisted;
use super::remote::{Remote, failed};
use super::{Outcome, output};

/// Let the faults of a running instance act again
#[derive(Debug, clap::Args)]
#[command(after_help = "Rules act as before `brownout off`; leases that ran out meanwhile stay so.

Examples:
  brownout on
  brownout on -c staging.toml
  brownout on --admin http://10.0.0.7:7470 --token \"$TOKEN\"")]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
}

/// Turns faults on again.
///
/// # Errors
/// The instance cannot be reached or refuses.
pub fn run(args: Args) -> Outcome {
    args.remote.talk(|client| async move {
        let faults = client.on().await.map_err(failed)?;
        warn_unless_persisted(faults);
        output::print("faults act again")?;
        Ok(0)
    })
}

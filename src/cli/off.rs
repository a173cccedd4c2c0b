//! `brownout off`: ends all faults of a running instance, at once and until `brownout on`.

use std::time::Duration;

use super::remote::{Remote, failed};
use super::{Failure, Outcome, output};
use crate::client::Client;
use crate::client::wire::Faults;
use crate::clock;

/// How long requests may take to let go: they are released within 50 ms.
const LET_GO: Duration = Duration::from_secs(5);
/// How often they are looked at meanwhile.
const TICK: Duration = Duration::from_millis(20);

/// End all faults of a running instance, until `brownout on`
#[derive(Debug, clap::Args)]
#[command(after_help = "Waits until no request suffers a fault any more. Faults stay off through reloads and restarts.
Without the API: kill -USR1 PID.

Examples:
  brownout off
  brownout off -c staging.toml
  brownout off --admin http://10.0.0.7:7470 --token \"$TOKEN\"")]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
}

/// Turns everything off and waits until nobody suffers any more.
///
/// # Errors
/// The instance cannot be reached or refuses, or requests do not let go.
pub fn run(args: Args) -> Outcome {
    args.remote.talk(|client| async move {
        let mut faults = client.off().await.map_err(failed)?;
        warn_unless_persisted(faults);
        let patience = clock::now() + LET_GO;
        while faults.active > 0 {
            if clock::now() > patience {
                let left = faults.active;
                return Err(anyhow::anyhow!("faults are off, and {left} requests still suffer one").into());
            }
            clock::sleep(TICK).await;
            faults = looked_at(&client).await?;
        }
        output::print("all faults are off")?;
        Ok(0)
    })
}

async fn looked_at(client: &Client) -> Result<Faults, Failure> {
    client.faults().await.map_err(failed)
}

/// A latch that lives in memory only is worth knowing about.
pub(super) fn warn_unless_persisted(faults: Faults) {
    if !faults.persisted {
        output::alert("note: the instance could not write its state file: a restart forgets this");
    }
}

//! `brownout rules`: the rules of a running instance.

mod apply;
mod show;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::remote::{Remote, failed};
use super::{Failure, Outcome, output};
use crate::client::Client;
use crate::diagnostics::Problems;

/// List, show, apply, switch and remove rules of a running instance
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Rules of files are changed in their files; these commands write to layer api alone, and switch any.

Examples:
  brownout rules list
  brownout rules apply rules/slow-checkout.toml
  brownout rules disable slow-checkout
  brownout rules enable --group one-tenant
  brownout rules remove slow-checkout --admin http://10.0.0.7:7470"
)]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Every rule with its layer, state and counts
    List {
        /// text or json
        #[arg(
            long,
            value_name = "FORMAT",
            default_value = "text",
            hide_possible_values = true,
            hide_default_value = true
        )]
        format: Format,
    },
    /// One rule with all that is known of it
    Show {
        /// Its name
        name: String,
        /// file, api or run:ID, when several layers have one of this name
        #[arg(long, value_name = "LAYER")]
        layer: Option<String>,
    },
    /// Put the rules of files into layer api: those of the same name are replaced, others stay
    Apply {
        /// Rule files, or folders of them
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Remove the rules of layer api that are not in these files
        #[arg(long)]
        replace: bool,
    },
    /// Turn rules on
    Enable(Switched),
    /// Turn rules off; what suffers them is released
    Disable(Switched),
    /// Take rules out of layer api
    Remove {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Switched {
    /// Their names
    #[arg(value_name = "NAME", required_unless_present = "group")]
    names: Vec<String>,
    /// All rules of this group at once
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// file, api or run:ID, when several layers have a rule of one of the names
    #[arg(long, value_name = "LAYER", conflicts_with = "group")]
    layer: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Does the deed.
///
/// # Errors
/// The instance cannot be reached or refuses; there is no such rule; the files have mistakes.
pub fn run(args: Args) -> Outcome {
    let Args { remote, deed } = args;
    match deed {
        Deed::List { format } => remote.talk(|client| list(client, format)),
        Deed::Show { name, layer } => remote.talk(|client| show::show(client, name, layer)),
        Deed::Apply { paths, replace } => {
            // Before anybody is called: mistakes are told with their lines, which a body does not have.
            let rules = apply::read(&paths)?;
            remote.talk(|client| apply::apply(client, rules, replace))
        }
        Deed::Enable(switched) => remote.talk(|client| switch(client, switched, true)),
        Deed::Disable(switched) => remote.talk(|client| switch(client, switched, false)),
        Deed::Remove { names } => remote.talk(|client| apply::remove(client, names)),
    }
}

async fn list(client: Client, format: Format) -> Outcome {
    let rules = client.rules().await.map_err(failed)?;
    match format {
        Format::Json => output::print(serde_json::to_string_pretty(&rules).map_err(anyhow::Error::from)?)?,
        Format::Text => {
            output::print(show::table(&rules))?;
            show::warn(&rules);
        }
    }
    Ok(0)
}

async fn switch(client: Client, switched: Switched, enabled: bool) -> Outcome {
    let said = if enabled { "enabled" } else { "disabled" };
    let mut rules = Vec::new();
    if let Some(group) = &switched.group {
        rules.extend(client.switch_group(group, enabled).await.map_err(failed)?.rules);
    }
    for name in &switched.names {
        let layer = switched.layer.as_deref();
        rules.push(client.switch_rule(name, layer, enabled).await.map_err(failed)?);
    }
    for rule in &rules {
        output::print(format_args!("{said} {}/{}", rule.layer, rule.name))?;
    }
    let all = client.rules().await.map_err(failed)?;
    if enabled && all.off {
        output::note("note: all faults are off: nothing acts until \"brownout on\"");
    }
    Ok(0)
}

fn no_such_rule(name: &str, cure: &str) -> Failure {
    Failure::BadInput(Problems::one("NAME", format!("there is no rule \"{name}\""), Some(cure)))
}

//! `brownout schema`: the JSON Schemas of the files, for editors.

use clap::ValueEnum;

use super::{Outcome, output};
use crate::config::schema;

/// Print the JSON Schema of a kind of file, for editors
#[derive(Debug, clap::Args)]
#[command(after_help = "Editors that know Taplo (VS Code: Even Better TOML) complete and check a file whose first line
names it: #:schema rules.schema.json

Examples:
  brownout schema rules > rules.schema.json
  brownout schema config > brownout.schema.json")]
pub struct Args {
    /// config, rules or experiment
    #[arg(value_name = "FILE", hide_possible_values = true)]
    file: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum File {
    Config,
    Rules,
    Experiment,
}

/// Prints the schema.
///
/// # Errors
/// When stdout takes no more.
pub fn run(args: Args) -> Outcome {
    let schema = match args.file {
        File::Config => schema::config(),
        File::Rules => schema::rules(),
        File::Experiment => schema::experiment(),
    };
    output::print(serde_json::to_string_pretty(&schema).map_err(anyhow::Error::from)?)?;
    Ok(0)
}

//! `brownout man`: the manual page, from the same table as `--help`.

use std::path::PathBuf;

use anyhow::Context;

use super::{Outcome, output};

/// Print the manual page, or write one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  brownout man | man -l -
  brownout man --out ~/.local/share/man/man1")]
pub struct Args {
    /// Write brownout.1 and a page for each command into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the page of the whole, or writes all pages.
///
/// # Errors
/// The folder cannot be written to.
pub fn run(args: Args) -> Outcome {
    let command = super::command();
    let Some(folder) = args.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).context("the page cannot be made")?;
        output::print(String::from_utf8_lossy(&page).trim_end())?;
        return Ok(0);
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    clap_mangen::generate_to(command, &folder).with_context(|| format!("{} cannot be written to", folder.display()))?;
    output::note(format_args!("written to {}", folder.display()));
    Ok(0)
}

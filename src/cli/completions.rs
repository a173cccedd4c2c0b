//! `brownout completions`: what a shell needs to complete this command line.

use clap_complete::Shell;

use super::{Outcome, output};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  brownout completions bash > ~/.local/share/bash-completion/completions/brownout
  brownout completions zsh > \"${fpath[1]}/_brownout\"
  brownout completions fish > ~/.config/fish/completions/brownout.fish")]
pub struct Args {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When stdout takes no more.
pub fn run(args: Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "brownout", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(0)
}

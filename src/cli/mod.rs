//! The command line: one file per subcommand.
//!
//! Adding one: its file with `Args` and `run`, and three adjacent lines here (`mod`, its row in `Command`, its arm in
//! `dispatch`). Each help text ends with real examples.

pub mod output;

pub mod check;
pub mod completions;
pub mod demo;
pub mod explain;
pub mod load;
mod load_screen;
pub mod man;
pub mod off;
pub mod on;
pub mod remote;
pub mod rules;
pub mod run;
pub mod schema;
pub mod serve;
mod targets;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

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

impl Failure {
    /// The exit code that says so.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput(_) => BAD_INPUT,
            Self::CouldNotRun(_) => 3,
        }
    }
}

/// The exit code of a command, or why there is none.
pub type Outcome = Result<u8, Failure>;

const BAD_INPUT: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "brownout",
    version,
    about = "Degrade a service on purpose, under load, and measure how it comes back.",
    after_help = "Examples:
  brownout demo
  brownout serve -c config/brownout.toml
  brownout run config/experiments/haproxy.toml
  brownout explain POST /api/checkout/7 -H 'x-tenant: beta-1'

Exit codes:
  0 pass, 1 fail, 2 bad input, 3 could not run, 4 inconclusive or invalid,
  130 or 143 interrupted"
)]
struct Cli {
    /// auto (a terminal without NO_COLOR), always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(hide_possible_values = true, hide_default_value = true, display_order = 900)]
    color: ColorChoice,
    /// No notes and no progress on stderr; errors are still shown
    #[arg(long, short, global = true, display_order = 901)]
    quiet: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Run(run::Args),
    Load(Box<load::Args>),
    Check(check::Args),
    Explain(explain::Args),
    Rules(rules::Args),
    Off(off::Args),
    On(on::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Run(args) => run::run(args),
        Command::Load(args) => load::run(&args),
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Rules(args) => rules::run(args),
        Command::Off(args) => off::run(args),
        Command::On(args) => on::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

/// The whole command line: what help, completions and the manual are made from.
fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the process was started with, shows its failure if it has one, and says how to exit.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Help and usage errors are shown before there is anything parsed to tell their colour by.
    let color = color_of(&arguments);
    let parsed = Cli::command().color(color).try_get_matches_from(&arguments).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage(&error, &arguments)),
    };
    output::configure(output::Settings { color: cli.color, quiet: cli.quiet });
    let outcome = match cli.command {
        Some(command) => dispatch(command),
        None => help(),
    };
    ExitCode::from(outcome.unwrap_or_else(|failure| {
        output::failure(&failure);
        failure.exit_code()
    }))
}

/// A bare `brownout` asks what there is.
fn help() -> Outcome {
    let help = Cli::command().render_help();
    let help = if output::colored(output::Stream::Stdout) { help.ansi().to_string() } else { help.to_string() };
    output::print(help.trim_end())?;
    Ok(0)
}

/// Shows a help text, or what is wrong with the arguments together with the command's examples.
fn usage(error: &clap::Error, arguments: &[OsString]) -> u8 {
    // Nothing can be done about a stream that is closed.
    let _ = error.print();
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let command = Cli::command();
        let named = arguments.iter().skip(1).find_map(|argument| command.find_subcommand(argument));
        if let Some(examples) = named.and_then(clap::Command::get_after_help) {
            output::alert(format_args!("\n{examples}"));
        }
    }
    if error.use_stderr() { BAD_INPUT } else { 0 }
}

fn color_of(arguments: &[OsString]) -> ColorChoice {
    let mut arguments = arguments.iter().filter_map(|a| a.to_str());
    while let Some(argument) = arguments.next() {
        let choice = match argument.strip_prefix("--color") {
            Some("") => arguments.next(),
            Some(value) => value.strip_prefix('='),
            None if argument == "--" => break,
            None => continue,
        };
        return match choice {
            Some("always") => ColorChoice::Always,
            Some("never") => ColorChoice::Never,
            _ => ColorChoice::Auto,
        };
    }
    ColorChoice::Auto
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_shows_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.lines().filter(|line| line.trim_start().starts_with("brownout ")).count();
            assert!(examples >= 2, "{} shows {examples} examples", sub.get_name());
        }
    }

    #[test]
    fn the_colour_is_known_before_the_arguments_are_parsed() {
        let color = |arguments: &[&str]| color_of(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(color(&["brownout", "--color", "never", "-h"]), ColorChoice::Never);
        assert_eq!(color(&["brownout", "-h", "--color=always"]), ColorChoice::Always);
        assert_eq!(color(&["brownout", "--colorful"]), ColorChoice::Auto);
        assert_eq!(color(&["brownout", "--", "--color=never"]), ColorChoice::Auto);
    }
}

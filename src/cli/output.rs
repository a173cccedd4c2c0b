//! The only way out: results to stdout, everything else to stderr, colours only where they are wanted.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use anyhow::Context;
use clap::ColorChoice;

use super::Failure;
use crate::config::LogFormat;
use crate::telemetry::logging;

/// What `--color` and `--quiet` say, for the whole process.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// `--color`.
    pub color: ColorChoice,
    /// `--quiet`: no notes and no progress.
    pub quiet: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Sets what holds from now on; the first call counts.
pub fn configure(settings: Settings) {
    let _ = SETTINGS.set(settings);
}

fn settings() -> Settings {
    SETTINGS.get().copied().unwrap_or(Settings { color: ColorChoice::Auto, quiet: false })
}

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Results.
    Stdout,
    /// Errors, notes, progress, logs.
    Stderr,
}

/// Whether a text for this stream may have colours: as `--color` says; by itself only on a terminal that has them,
/// and not when `NO_COLOR` is set.
pub fn colored(stream: Stream) -> bool {
    let terminal = match stream {
        Stream::Stdout => io::stdout().is_terminal(),
        Stream::Stderr => io::stderr().is_terminal(),
    };
    let variable = |name| std::env::var(name).unwrap_or_default();
    wants_color(settings().color, terminal, &variable("NO_COLOR"), &variable("TERM"))
}

fn wants_color(choice: ColorChoice, terminal: bool, no_color: &str, term: &str) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && no_color.is_empty() && term != "dumb",
    }
}

/// `--quiet` was given: no notes, no progress.
pub fn quiet() -> bool {
    settings().quiet
}

/// Starts the logging to stderr, in this format and as `--color`, `--quiet` and `RUST_LOG` say.
pub fn start_logging(format: LogFormat) {
    let json = format == LogFormat::Json;
    logging::init(logging::Options { json, color: colored(Stream::Stderr), quiet: quiet() });
}

/// Writes a result and a newline to stdout. A reader that has gone away (`| head`) has seen enough: no error.
///
/// # Errors
/// When stdout takes no more for another reason, such as a full disk.
pub fn print(text: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.or_else(pipe_is_closed).context("stdout cannot be written").map_err(Failure::from)
}

fn pipe_is_closed(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Writes a line for people to stderr, unless `--quiet`.
pub fn note(text: impl Display) {
    if !quiet() {
        alert(text);
    }
}

/// Writes a line to stderr, `--quiet` or not.
pub fn alert(text: impl Display) {
    // Nobody is left to be told when stderr itself is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows why a command ended without a result.
pub(super) fn failure(failure: &Failure) {
    let error = if colored(Stream::Stderr) { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
    match failure {
        Failure::BadInput(problems) => {
            // Files as they came, each in the order of its lines, whoever found what.
            let mut sorted = problems.clone();
            sorted.0.sort_by_key(|p| (problems.0.iter().position(|first| first.file == p.file), p.line));
            alert(&sorted);
            let count = problems.0.len();
            alert(format_args!("{error} {count} {}", if count == 1 { "problem" } else { "problems" }));
        }
        Failure::CouldNotRun(cause) => alert(format_args!("{error} {cause:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_unless_told_otherwise() {
        use ColorChoice::{Always, Auto, Never};
        for (choice, terminal, no_color, term, expected) in [
            (Auto, true, "", "xterm", true),
            (Auto, false, "", "xterm", false),
            (Auto, true, "1", "xterm", false),
            (Auto, true, "", "dumb", false),
            (Always, false, "1", "dumb", true),
            (Never, true, "", "xterm", false),
        ] {
            assert_eq!(
                wants_color(choice, terminal, no_color, term),
                expected,
                "{choice:?} {terminal} {no_color} {term}"
            );
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert!(pipe_is_closed(ErrorKind::BrokenPipe.into()).is_ok());
        assert!(pipe_is_closed(ErrorKind::StorageFull.into()).is_err());
    }
}

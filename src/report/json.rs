//! `result.json`: the whole result, one window a line so that files can be compared with `diff` and `grep`.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::Format;
use crate::results::ExperimentResult;

/// Writes [`ExperimentResult`] as it is; [`read`] gives it back unchanged.
pub struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn file(&self) -> Option<&'static str> {
        Some("result.json")
    }

    fn write(&self, result: &ExperimentResult, out: &mut dyn Write) -> io::Result<()> {
        result.serialize(&mut Serializer::with_formatter(&mut *out, Folded::below(5)))?;
        out.write_all(b"\n")
    }
}

/// Reads a result file's text.
///
/// # Errors
/// Says where the text is not a result of this [schema](crate::results::SCHEMA).
pub fn read(text: &str) -> Result<ExperimentResult, serde_json::Error> {
    serde_json::from_str(text)
}

/// Indented down to a depth, on one line below it.
struct Folded {
    pretty: PrettyFormatter<'static>,
    depth: usize,
    fold: usize,
}

impl Folded {
    /// A value inside this many arrays and objects is written on one line.
    fn below(fold: usize) -> Self {
        Self { pretty: PrettyFormatter::new(), depth: 0, fold }
    }

    fn folded(&self) -> bool {
        self.depth >= self.fold
    }
}

/// Enters and leaves a container; what is deeper than the fold is left to serde's compact formatter.
macro_rules! delegate {
    ($($name:ident($($arg:ident: $type:ty),*) $step:tt;)*) => {$(
        fn $name<W: ?Sized + Write>(&mut self, out: &mut W, $($arg: $type),*) -> io::Result<()> {
            delegate!(@before self $step);
            let written = if self.folded() {
                CompactFormatter.$name(out, $($arg),*)
            } else {
                self.pretty.$name(out, $($arg),*)
            };
            delegate!(@after self $step);
            written
        }
    )*};
    (@before $self:ident leave) => { $self.depth -= 1; };
    (@before $self:ident $other:tt) => {};
    (@after $self:ident enter) => { $self.depth += 1; };
    (@after $self:ident $other:tt) => {};
}

impl Formatter for Folded {
    delegate! {
        begin_array() enter;
        end_array() leave;
        begin_array_value(first: bool) stay;
        end_array_value() stay;
        begin_object() enter;
        end_object() leave;
        begin_object_key(first: bool) stay;
        begin_object_value() stay;
        end_object_value() stay;
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn written(result: &ExperimentResult) -> String {
        let mut out = Vec::new();
        Json.write(result, &mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn every_result_reads_back_as_it_was() {
        for (name, result) in fixture::all() {
            assert_eq!(read(&written(&result)).expect(name), result, "{name}");
        }
    }

    #[test]
    fn the_keys_that_scripts_rely_on_are_where_they_look_for_them() {
        let text = written(&fixture::recovered_late());
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["schema"], "brownout.result/1");
        assert_eq!(value["verdict"], "fail");
        assert_eq!(value["exit_code"], 1);
        assert_eq!(value["seed"], 7);
        let recovery = &value["runs"][0]["recovery"];
        assert_eq!(recovery["outcome"], "recovered");
        assert_eq!(recovery["ttr_s"], 14.3);
        assert_eq!(recovery["ttr_interval_s"], serde_json::json!([14.1, 14.5034]));
        assert_eq!(recovery["tti_s"], 0.4);
        for key in ["depth", "resilience_loss_s", "goodput_lost"] {
            assert!(!recovery[key].is_null(), "{key}");
        }
        assert_eq!(value["runs"][0]["windows"].as_array().map(Vec::len), Some(140));
        assert_eq!(value["environment"]["cores"], 2);
    }

    #[test]
    fn a_window_takes_one_line() {
        let result = fixture::recovered_late();
        let text = written(&result);
        assert_eq!(text.lines().filter(|line| line.contains("\"start_s\"")).count(), 140);
        insta::assert_snapshot!(text.lines().take(14).collect::<Vec<_>>().join("\n"));
    }
}

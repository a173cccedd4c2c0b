//! Who owns a rule.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The owner of a set of rules. The order is the order of composition: file, api, then toxics, then runs by their id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The rule files: a reload replaces only these.
    File,
    /// `PUT /api/v1/rules` replaces only these.
    Api,
    /// Toxics that Toxiproxy's API put on HTTP proxies.
    Toxics,
    /// One run of an experiment, by its id.
    Run(Arc<str>),
}

impl Layer {
    /// The layer of the run with this id.
    pub fn run(id: &str) -> Self {
        Self::Run(Arc::from(id))
    }

    /// `file`, `api`, `toxics` or `run:<id>`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "file" => Some(Self::File),
            "api" => Some(Self::Api),
            "toxics" => Some(Self::Toxics),
            _ => text.strip_prefix("run:").filter(|id| !id.is_empty()).map(Self::run),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Api => f.write_str("api"),
            Self::Toxics => f.write_str("toxics"),
            Self::Run(id) => write!(f, "run:{id}"),
        }
    }
}

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_reads_back_as_printed_and_files_come_first() {
        let layers = [Layer::File, Layer::Api, Layer::Toxics, Layer::run("a"), Layer::run("b")];
        for layer in &layers {
            assert_eq!(Layer::parse(&layer.to_string()).as_ref(), Some(layer));
        }
        assert!(layers.is_sorted());
        assert_eq!((Layer::parse("run:"), Layer::parse("files")), (None, None));
    }
}

//! `duplicate`: the upstream gets the request again.

use std::sync::Arc;

use super::{Fault, Kind, RequestEffect, RequestView};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "duplicate",
    summary: "the upstream gets the request again, and the client the first one's answer; a request that asks for \
              another protocol or has more than 1 MiB of body is left alone, and counted as skipped",
    parameters: "`times`, how many more (default 1, at most 10)",
    example: "kind = \"duplicate\"\n\
              times = 2\n",
    compile,
};

const MOST: u32 = 10;

#[derive(Debug)]
struct Duplicate {
    times: u32,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let times: u32 = reader.or("times", 1);
    if !(1..=MOST).contains(&times) {
        reader.reject("times", format!("{times} is out of range"), Some(&format!("1 to {MOST}")));
    }
    Some(Arc::new(Duplicate { times }))
}

impl Fault for Duplicate {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        RequestEffect { copies: self.times, ..RequestEffect::default() }
    }

    fn describe(&self) -> String {
        match self.times {
            1 => "sends the request to the upstream once more".to_owned(),
            times => format!("sends the request to the upstream {times} more times"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request};
    use super::*;

    #[test]
    fn it_asks_for_as_many_copies() {
        assert_eq!(compiled(KIND.example).on_request(&request(), dice()).copies, 2);
        assert_eq!(compiled("kind = \"duplicate\"").describe(), "sends the request to the upstream once more");
        assert!(problems_of("kind = \"duplicate\"\ntimes = 0").contains("times: 0 is out of range (1 to 10)"));
    }
}

//! `timeout`: silence.

use std::sync::Arc;
use std::time::Duration;

use super::abort::ends;
use super::choice::choice;
use super::{CloseHow, Fault, HangEnd, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side, Terminal};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::show_duration;

pub(super) const KIND: Kind = Kind {
    name: "timeout",
    summary: "silence, then the end that was asked for; the upstream not contacted (request) or held (response)",
    parameters: "`for` (default: until the client leaves); `then` = close | 504 | reset; `side` = request | response",
    example: "kind = \"timeout\"\n\
              for = \"30s\"\n\
              then = \"504\"\n",
    compile,
};

#[derive(Debug)]
struct Timeout {
    wait: Option<Duration>,
    then: HangEnd,
    side: Side,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let wait: Option<Duration> = reader.optional("for");
    let ends = [
        ("close", HangEnd::Close(CloseHow::Close)),
        ("504", HangEnd::GatewayTimeout),
        ("reset", HangEnd::Close(CloseHow::Reset)),
    ];
    let then = choice(reader, "then", &ends, HangEnd::Close(CloseHow::Close));
    let side = choice(reader, "side", &[("request", Side::Request), ("response", Side::Response)], Side::Request);
    if reader.has("then") && !reader.has("for") {
        reader.reject("then", "never comes, the silence has no end", Some("give \"for\", or leave \"then\" out"));
    }
    if wait.is_some_and(|wait| wait.is_zero()) {
        reader.reject("for", "is no time at all", Some("a time above zero; fault \"error\" or \"abort\" acts at once"));
    }
    Some(Arc::new(Timeout { wait, then, side }))
}

impl Timeout {
    fn on(&self, side: Side) -> Option<Terminal> {
        (side == self.side).then_some(Terminal::Hang { wait: self.wait, then: self.then })
    }
}

impl Fault for Timeout {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        RequestEffect { terminal: self.on(Side::Request), ..RequestEffect::default() }
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        ResponseEffect { terminal: self.on(Side::Response), ..ResponseEffect::default() }
    }

    fn describe(&self) -> String {
        let held = match self.side {
            Side::Request => "",
            Side::Response => " once the upstream has answered",
        };
        let Some(wait) = self.wait else { return format!("stays silent{held} until the client leaves") };
        let then = match self.then {
            HangEnd::Close(how) => ends(how),
            HangEnd::GatewayTimeout => "answers 504".to_owned(),
        };
        format!("stays silent{held} for {}, then {then}", show_duration(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    #[test]
    fn silence_lasts_as_asked_on_its_side_only() {
        let fault = compiled("kind = \"timeout\"");
        let forever = Terminal::Hang { wait: None, then: HangEnd::Close(CloseHow::Close) };
        assert_eq!(fault.on_request(&request(), dice()).terminal, Some(forever));
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect::default());
        let fault = compiled("kind = \"timeout\"\nfor = \"2s\"\nthen = 504\nside = \"response\"");
        let hang = Terminal::Hang { wait: Some(Duration::from_secs(2)), then: HangEnd::GatewayTimeout };
        assert_eq!(fault.on_request(&request(), dice()), RequestEffect::default());
        assert_eq!(fault.on_response(&response(), dice()).terminal, Some(hang));
        assert_eq!(fault.describe(), "stays silent once the upstream has answered for 2.00s, then answers 504");
    }

    #[test]
    fn an_end_that_never_comes_is_a_mistake() {
        assert!(problems_of("kind = \"timeout\"\nthen = \"reset\"").contains("then: never comes"));
        assert!(problems_of("kind = \"timeout\"\nfor = \"0s\"").contains("for: is no time at all"));
        let problems = problems_of("kind = \"timeout\"\nfor = \"1s\"\nthen = \"explode\"");
        assert!(problems.contains("expected \"close\" or \"504\" or \"reset\""), "{problems}");
    }
}

//! Faults that could never act as their rule stands: said when it is read, not found out in an experiment.

use http::{HeaderMap, Method, StatusCode};

use super::matcher::Conditions;
use super::schedule::{RampOf, Schedule};
use super::spec::FaultSpec;
use super::strength;
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::faults::{Fault, RequestEffect, RequestView, ResponseEffect, ResponseView};

/// What a fault may ask for, on either side: a random delay may be drawn as none, so it is asked a few times.
pub(super) fn effects(
    fault: &dyn Fault,
    request: &RequestView<'_>,
    response: &ResponseView<'_>,
) -> (RequestEffect, ResponseEffect) {
    const TRIES: u64 = 32;
    fn first<T: Default + PartialEq>(effect: impl Fn(Dice) -> T) -> T {
        (0..TRIES).map(|n| effect(Dice::new(0, 0, n))).find(|effect| *effect != T::default()).unwrap_or_default()
    }
    (first(|dice| fault.on_request(request, dice)), first(|dice| fault.on_response(response, dice)))
}

/// Complains of faults that act before the answer in a rule that waits for it, and of a ramp without a slope.
pub(super) fn complain(reader: &Reader<'_>, matching: &Conditions, schedule: &Schedule, faults: &[FaultSpec]) {
    let ramps_strength = schedule.ramp.is_some_and(|ramp| ramp.of == RampOf::Strength);
    if matching.response.is_none() && !ramps_strength {
        return;
    }
    let headers = HeaderMap::new();
    let request = RequestView::of(&Method::GET, "/", &headers);
    let response = ResponseView { status: StatusCode::OK, headers: &headers };
    let asked: Vec<_> = faults.iter().map(|spec| (spec.kind, effects(&*spec.fault, &request, &response))).collect();
    if matching.response.is_some() {
        // What only prepares the request for the sake of the answer is not an act of its own.
        let acts =
            |effect: &RequestEffect| RequestEffect { prepare: None, ..effect.clone() } != RequestEffect::default();
        for (kind, _) in asked.iter().filter(|(_, (on_request, _))| acts(on_request)) {
            let message = format!("fault \"{kind}\" acts before there is an answer, and match.response waits for one");
            reader.complain(message, Some("side = \"response\", after_upstream = true, or another place for it"));
        }
    }
    let grows = |(_, (request, response)): &(_, (RequestEffect, ResponseEffect))| {
        strength::of_request(request.clone(), 0.5) != *request
            || strength::of_response(response.clone(), 0.5) != *response
    };
    if ramps_strength && !asked.iter().any(grows) {
        let message = "schedule: ramp_of = \"strength\" has nothing to grow: no fault delays or slows".to_owned();
        reader.complain(message, Some("ramp_of = \"probability\""));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, rule, rules};

    #[test]
    fn a_fault_that_would_be_too_early_is_a_mistake() {
        let response = "match = { response = { status = \"5xx\" } }";
        let problems = read(&rule("r", response)).unwrap_err().to_string();
        assert!(
            problems.starts_with("r.toml:1: rule \"r\": fault \"error\" acts before there is an answer"),
            "{problems}"
        );
        rules(&rule("r", response).replace("503", "503\nafter_upstream = true"));
    }

    #[test]
    fn a_strength_that_cannot_grow_is_a_mistake() {
        let ramp = "schedule = { ramp = \"5s\", ramp_of = \"strength\" }";
        let problems = read(&rule("r", ramp)).unwrap_err().to_string();
        assert!(problems.contains("has nothing to grow"), "{problems}");
        rules(&format!("[[rule]]\nname = \"r\"\n{ramp}\n[[rule.fault]]\nkind = \"latency\"\ndelay = \"1s\""));
    }
}

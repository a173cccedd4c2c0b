//! `goaway`: HTTP/2's announcement that a connection takes no further requests.

use std::sync::Arc;

use super::{Fault, Kind, RequestEffect, RequestView};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "goaway",
    summary: "HTTP/2: GOAWAY with NO_ERROR; requests under way are served, further ones need a new connection; \
              skipped, and counted as such, on HTTP/1",
    parameters: "none",
    example: "kind = \"goaway\"\n",
    compile,
};

#[derive(Debug)]
struct GoAway;

fn compile(_: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    Some(Arc::new(GoAway))
}

impl Fault for GoAway {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        RequestEffect { goaway: true, ..RequestEffect::default() }
    }

    fn describe(&self) -> String {
        "tells the HTTP/2 client to open a new connection".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, request};
    use super::*;

    #[test]
    fn the_request_itself_goes_on() {
        let effect = compiled(KIND.example).on_request(&request(), dice());
        assert_eq!(effect, RequestEffect { goaway: true, ..RequestEffect::default() });
    }
}

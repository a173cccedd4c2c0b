//! `websocket`: what befalls the messages of a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use super::choice::choice;
use super::corrupt::{Corruption, Mode, Which};
use super::distribution::Distribution;
use super::{Fault, Goodbye, Kind, MessageEffect, MessageView, ResponseEffect, ResponseView, Side};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::{Share, show_share};

pub(super) const KIND: Kind = Kind {
    name: "websocket",
    summary: "later, lost or garbled messages, or a goodbye; pings, pongs and compressed messages are never dropped or \
              garbled; nothing on requests that open no WebSocket (skipped)",
    parameters: "`delay` = duration or distribution, `drop` and `corrupt` = a share of the messages, `close` = a code \
                 with `reason`, on the message `close_after` (default 0: the first); \
                 `direction` = both | request | response",
    example: "kind = \"websocket\"\n\
              delay = \"200ms\"\n\
              drop = 0.05\n\
              direction = \"response\"\n",
    compile,
};

#[derive(Debug)]
struct WebSocket {
    delay: Option<Distribution>,
    drop: f64,
    corrupt: f64,
    close: Option<(u64, Arc<Goodbye>)>,
    /// `None`: both.
    side: Option<Side>,
}

const DELAY: u64 = 0;
const DROP: u64 = 1;
const CORRUPT: u64 = 2;

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let delay = if reader.node("delay").is_some() { Some(Distribution::read(reader, "delay")?) } else { None };
    let drop = reader.optional::<Share>("drop").map_or(0.0, Share::get);
    let corrupt = reader.optional::<Share>("corrupt").map_or(0.0, Share::get);
    let close = close(reader);
    let sides = [("both", None), ("request", Some(Side::Request)), ("response", Some(Side::Response))];
    let side = choice(reader, "direction", &sides, None);
    let acts = ["delay", "drop", "corrupt", "close"].iter().any(|key| reader.has(key));
    if !acts {
        reader.complain("does nothing".to_owned(), Some("add delay, drop, corrupt or close"));
    }
    Some(Arc::new(WebSocket { delay, drop, corrupt, close, side }))
}

fn close(reader: &mut Reader<'_>) -> Option<(u64, Arc<Goodbye>)> {
    let code: Option<u16> = reader.optional("close");
    let reason: Option<String> = reader.optional("reason");
    let after: Option<u64> = reader.optional("close_after");
    for key in ["reason", "close_after"] {
        if reader.has(key) && !reader.has("close") {
            reader.reject(key, "has no effect without close", Some("add close = 1011, for example"));
        }
    }
    let code = code?;
    // RFC 6455 section 7.4: what may stand in a close frame.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        reader.reject("close", format!("{code} cannot be sent"), Some("1000-1003, 1007-1014 or 3000-4999"));
    }
    let reason = reason.unwrap_or_default();
    if reason.len() > 123 {
        reader.reject("reason", "is too long", Some("at most 123 bytes"));
    }
    Some((after.unwrap_or(0), Arc::new(Goodbye { code, reason })))
}

impl Fault for WebSocket {
    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        ResponseEffect { messages: true, ..ResponseEffect::default() }
    }

    fn on_message(&self, message: &MessageView, dice: Dice) -> MessageEffect {
        if self.side.is_some_and(|side| side != message.side) {
            return MessageEffect::default();
        }
        if let Some((after, goodbye)) = &self.close
            && message.number >= *after
        {
            return MessageEffect { close: Some(goodbye.clone()), ..MessageEffect::default() };
        }
        let delay = self.delay.as_ref().map_or(Duration::ZERO, |delay| delay.quantile(dice.uniform(DELAY)));
        // What is lost of a compressed stream would garble everything after it.
        if message.compressed {
            return MessageEffect { delay, ..MessageEffect::default() };
        }
        let corrupt = dice.happens(CORRUPT, self.corrupt).then(|| Corruption {
            // The first byte surely, the others by chance: a message of one byte is garbled too.
            which: Which::Run { offset: 0, bytes: 1 + (dice.bits(CORRUPT + 1) & 3) },
            mode: Mode::Flip,
            dice,
        });
        MessageEffect { delay, drop: dice.happens(DROP, self.drop), corrupt, close: None }
    }

    fn describe(&self) -> String {
        let mut does = Vec::new();
        does.extend(self.delay.as_ref().map(|delay| format!("delays by {delay}")));
        does.extend((self.drop > 0.0).then(|| format!("drops {}", show_share(self.drop))));
        does.extend((self.corrupt > 0.0).then(|| format!("garbles {}", show_share(self.corrupt))));
        does.extend(self.close.as_ref().map(|(after, goodbye)| match after {
            0 => format!("says goodbye with {} in place of the first one", goodbye.code),
            after => format!("says goodbye with {} after {after} of them", goodbye.code),
        }));
        let whose = match self.side {
            None => "WebSocket messages",
            Some(Side::Request) => "WebSocket messages of the client",
            Some(Side::Response) => "WebSocket messages of the upstream",
        };
        format!("{whose}: {}", does.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, response};
    use super::*;

    fn message(number: u64, side: Side) -> MessageView {
        MessageView { number, side, compressed: false }
    }

    #[test]
    fn a_share_of_the_messages_of_its_direction_is_hit() {
        let fault = compiled("kind = \"websocket\"\ndrop = 0.25\ncorrupt = 0.5\ndirection = \"response\"");
        assert!(fault.on_response(&response(), dice()).messages);
        let effects = |side| {
            let effect = move |n: u64| (n, side);
            (0..4_000).map(effect).collect::<Vec<_>>()
        };
        let on = |(n, side): &(u64, Side)| fault.on_message(&message(*n, *side), Dice::new(1, 2, *n));
        assert!(effects(Side::Request).iter().all(|case| on(case) == MessageEffect::default()));
        let effects: Vec<_> = effects(Side::Response).iter().map(on).collect();
        let dropped = effects.iter().filter(|effect| effect.drop).count();
        let garbled = effects.iter().filter(|effect| effect.corrupt.is_some()).count();
        assert!((850..1_150).contains(&dropped) && (1_800..2_200).contains(&garbled), "{dropped} {garbled}");
        let compressed = MessageView { compressed: true, ..message(0, Side::Response) };
        assert!((0..50).all(|n| fault.on_message(&compressed, Dice::new(1, 2, n)) == MessageEffect::default()));
    }

    #[test]
    fn a_goodbye_comes_when_it_is_due() {
        let fault = compiled("kind = \"websocket\"\nclose = 1013\nreason = \"later\"\nclose_after = 2");
        let closes = |n| fault.on_message(&message(n, Side::Request), dice()).close.map(|goodbye| goodbye.code);
        assert_eq!([0, 1, 2].map(closes), [None, None, Some(1013)]);
        assert_eq!(fault.describe(), "WebSocket messages: says goodbye with 1013 after 2 of them");
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("", "does nothing"),
            ("close = 1005", "close: 1005 cannot be sent"),
            ("drop = 0.5\nreason = \"x\"", "reason: has no effect without close"),
            ("drop = 2", "drop = 2 is not valid"),
        ] {
            let problems = problems_of(&format!("kind = \"websocket\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}

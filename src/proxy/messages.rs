//! One direction of a WebSocket, message by message, on its way through its faults.
//!
//! Pure: it is told the time, asks what befalls each message, and says which bytes are due when. Frames are never put
//! together: a header decides, and the payload follows piece by piece as it comes.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::clock::Instant;
use crate::faults::corrupt::Corruption;
use crate::faults::{Goodbye, MessageView, Side};

/// With more than this on its way nothing more should be taken in.
const FULL: usize = 256 * 1024;

/// What befalls one message: all that was asked for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    /// They add.
    pub(super) delay: Duration,
    /// Whose hit delays it.
    pub(super) holder: Option<usize>,
    pub(super) drop: bool,
    pub(super) corruptions: SmallVec<[Corruption; 1]>,
    /// The first wins.
    pub(super) close: Option<Arc<Goodbye>>,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Messages {
    side: Side,
    /// What has come and is not understood yet.
    start: BytesMut,
    /// Of the frame that has begun.
    left: u64,
    /// The frame that has begun is a control frame: no fault of messages is its.
    in_control: bool,
    /// Of the message that has begun, and how much of its payload has passed.
    fate: Fate,
    offset: u64,
    number: u64,
    /// What is no frame passes as it is.
    is_raw: bool,
    ended: Option<Arc<Goodbye>>,
    queue: VecDeque<(Instant, Option<usize>, Bytes)>,
    queued: usize,
}

impl Messages {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            start: BytesMut::new(),
            left: 0,
            in_control: false,
            fate: Fate::default(),
            offset: 0,
            number: 0,
            is_raw: false,
            ended: None,
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    /// Takes in what the peer said; `decide` is asked once for each message.
    pub(super) fn take(&mut self, bytes: &[u8], now: Instant, mut decide: impl FnMut(&MessageView) -> Fate) {
        self.start.extend_from_slice(bytes);
        while !self.start.is_empty() && self.ended.is_none() {
            if self.is_raw {
                let bytes = self.start.split().freeze();
                self.pass(bytes, now);
            } else if self.left > 0 {
                self.take_payload(now);
            } else if !self.take_header(now, &mut decide) {
                return;
            }
        }
    }

    /// False if more must come first.
    fn take_header(&mut self, now: Instant, decide: &mut impl FnMut(&MessageView) -> Fate) -> bool {
        let mut cursor = Cursor::new(&self.start[..]);
        let (header, length) = match FrameHeader::parse(&mut cursor) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return false,
            Err(_) => {
                self.is_raw = true;
                return true;
            }
        };
        let written = usize::try_from(cursor.position()).unwrap_or_default();
        let bytes = self.start.split_to(written).freeze();
        self.in_control = matches!(header.opcode, OpCode::Control(_));
        if matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary)) {
            let view = MessageView { number: self.number, side: self.side, compressed: header.rsv1 };
            self.fate = decide(&view);
            (self.number, self.offset) = (self.number + 1, 0);
            if let Some(goodbye) = self.fate.close.clone() {
                self.end(goodbye, now);
                return true;
            }
        }
        self.left = length;
        self.pass_or_drop(bytes, now);
        true
    }

    fn take_payload(&mut self, now: Instant) {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.start.len());
        let mut piece = self.start.split_to(length);
        self.left -= length as u64;
        if !self.in_control {
            for corruption in &self.fate.corruptions {
                // A flipped bit is the same under the client's mask.
                corruption.apply(self.offset, &mut piece);
            }
            self.offset += length as u64;
        }
        self.pass_or_drop(piece.freeze(), now);
    }

    fn pass_or_drop(&mut self, bytes: Bytes, now: Instant) {
        if self.in_control {
            self.pass(bytes, now);
        } else if !self.fate.drop {
            self.queue(now + self.fate.delay, self.fate.holder, bytes);
        }
    }

    fn pass(&mut self, bytes: Bytes, now: Instant) {
        self.queue(now, None, bytes);
    }

    /// Nothing overtakes what came before it.
    fn queue(&mut self, due: Instant, holder: Option<usize>, bytes: Bytes) {
        let due = self.queue.back().map_or(due, |(before, ..)| due.max(*before));
        self.queued += bytes.len();
        self.queue.push_back((due, holder, bytes));
    }

    /// Says goodbye, unless a frame is in the middle: it cannot be told apart from the frame's payload. Nothing follows.
    pub(super) fn end(&mut self, goodbye: Arc<Goodbye>, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        if self.left == 0 && !self.is_raw {
            let mut frame = Vec::with_capacity(16 + goodbye.reason.len());
            // What clients send is masked; a mask of zeroes is one.
            let mask = (self.side == Side::Request).then_some([0; 4]);
            let header = FrameHeader { opcode: OpCode::Control(Control::Close), mask, ..FrameHeader::default() };
            if header.format(2 + goodbye.reason.len() as u64, &mut frame).is_ok() {
                frame.extend_from_slice(&goodbye.code.to_be_bytes());
                frame.extend_from_slice(goodbye.reason.as_bytes());
                self.pass(Bytes::from(frame), now);
            }
        }
        self.ended = Some(goodbye);
    }

    /// The goodbye that ended it.
    pub(super) fn ended(&self) -> Option<Arc<Goodbye>> {
        self.ended.clone()
    }

    pub(super) fn is_full(&self) -> bool {
        self.queued > FULL
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When the next bytes are due, and whose hit delays them.
    pub(super) fn due(&self) -> Option<(Instant, Option<usize>)> {
        self.queue.front().map(|(due, holder, _)| (*due, *holder))
    }

    /// Takes the next bytes out.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let (_, _, bytes) = self.queue.pop_front()?;
        self.queued -= bytes.len();
        Some(bytes)
    }

    /// Everything on its way may go now.
    pub(super) fn release(&mut self, now: Instant) {
        for (due, holder, _) in &mut self.queue {
            (*due, *holder) = ((*due).min(now), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::faults::corrupt::{Mode, Which};
    use proptest::prelude::*;

    fn frame(opcode: OpCode, payload: &[u8], mask: Option<[u8; 4]>, is_final: bool) -> Vec<u8> {
        let mut frame = Vec::new();
        let header = FrameHeader { opcode, mask, is_final, ..FrameHeader::default() };
        header.format(payload.len() as u64, &mut frame).unwrap();
        let masked = payload.iter().enumerate().map(|(n, byte)| byte ^ mask.map_or(0, |mask| mask[n % 4]));
        frame.extend(masked);
        frame
    }

    fn text(payload: &str) -> Vec<u8> {
        frame(OpCode::Data(Data::Text), payload.as_bytes(), None, true)
    }

    fn all(messages: &mut Messages) -> Vec<u8> {
        std::iter::from_fn(|| messages.next()).flatten().collect()
    }

    proptest! {
        #[test]
        fn what_nothing_befalls_passes_byte_by_byte_however_it_comes(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70_000), 1..4),
            cuts in proptest::collection::vec(1usize..5_000, 1..50),
        ) {
            let mask = Some([1, 2, 3, 4]);
            let said: Vec<u8> =
                payloads.iter().flat_map(|p| frame(OpCode::Data(Data::Binary), p, mask, true)).collect();
            let mut messages = Messages::new(Side::Request);
            let (mut rest, mut cuts, mut asked) = (&said[..], cuts.into_iter().cycle(), 0);
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                messages.take(piece, Instant::now(), |_| { asked += 1; Fate::default() });
                rest = after;
            }
            prop_assert!(all(&mut messages) == said);
            prop_assert_eq!(asked, payloads.len());
        }

        #[test]
        fn no_bytes_make_it_panic_or_lose_one(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut messages = Messages::new(Side::Response);
            messages.take(&bytes, Instant::now(), |_| Fate::default());
            let passed = all(&mut messages);
            prop_assert!(bytes.starts_with(&passed) && bytes.len() - passed.len() < 14);
        }
    }

    #[test]
    fn a_dropped_message_goes_with_all_its_frames_and_a_ping_between_them_stays() {
        let mut messages = Messages::new(Side::Response);
        let ping = frame(OpCode::Control(Control::Ping), b"p", None, true);
        let begin = frame(OpCode::Data(Data::Text), b"lo", None, false);
        let end = frame(OpCode::Data(Data::Continue), b"st", None, true);
        let said = [text("kept"), begin, ping.clone(), end, text("kept too")].concat();
        messages.take(&said, Instant::now(), |view| Fate { drop: view.number == 1, ..Fate::default() });
        assert_eq!(all(&mut messages), [text("kept"), ping, text("kept too")].concat());
    }

    #[test]
    fn a_garbled_message_is_garbled_under_its_mask_and_keeps_its_length() {
        let corruption =
            Corruption { which: Which::Run { offset: 0, bytes: 1 }, mode: Mode::Flip, dice: Dice::new(1, 2, 3) };
        let mut messages = Messages::new(Side::Request);
        let said = frame(OpCode::Data(Data::Binary), b"hello", Some([9, 8, 7, 6]), true);
        messages.take(&said, Instant::now(), |_| Fate {
            corruptions: SmallVec::from_elem(corruption, 1),
            ..Fate::default()
        });
        let got = all(&mut messages);
        let changed: Vec<usize> = (0..said.len()).filter(|n| got[*n] != said[*n]).collect();
        assert_eq!((changed, got.len()), (vec![6], said.len()), "the first byte of the payload");
    }

    #[test]
    fn delayed_messages_keep_their_order_and_a_release_lets_them_go() {
        let now = Instant::now();
        let mut messages = Messages::new(Side::Response);
        let delays = [Duration::from_secs(9), Duration::from_secs(1)];
        let said = [text("a"), text("b")].concat();
        messages.take(&said, now, |view| Fate {
            delay: delays[view.number as usize],
            holder: Some(3),
            ..Fate::default()
        });
        assert_eq!(messages.due(), Some((now + delays[0], Some(3))));
        messages.release(now);
        assert_eq!((messages.due(), messages.is_full()), (Some((now, None)), false));
        assert_eq!(all(&mut messages), said);
    }

    #[test]
    fn a_goodbye_takes_the_place_of_its_message_and_nothing_follows() {
        for (side, frame) in
            [(Side::Response, &b"\x88\x05\x03\xf5bye"[..]), (Side::Request, b"\x88\x85\0\0\0\0\x03\xf5bye")]
        {
            let mut messages = Messages::new(side);
            let goodbye = Arc::new(Goodbye { code: 1013, reason: "bye".to_owned() });
            let said = [text("a"), text("b"), text("c")].concat();
            messages.take(&said, Instant::now(), |view| Fate {
                close: (view.number == 1).then(|| goodbye.clone()),
                ..Fate::default()
            });
            assert_eq!(all(&mut messages), [&text("a")[..], frame].concat());
            assert_eq!(messages.ended(), Some(goodbye));
        }
    }
}

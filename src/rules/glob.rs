//! A text with wildcards, on bytes.

use super::wildcard::{Part, covers};

/// `*` stands for any number of bytes, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Box<[Token]>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// This byte.
    Byte(u8),
    /// Any byte.
    Any,
    /// Any bytes, also none.
    Many,
}

impl Glob {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self(tokens.into())
    }

    /// The text, if there is no wildcard in it.
    pub(super) fn literal(&self) -> Option<Vec<u8>> {
        self.0.iter().map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None }).collect()
    }

    /// The bytes before the first wildcard.
    pub(super) fn prefix(&self) -> Vec<u8> {
        self.0.iter().map_while(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None }).collect()
    }

    /// Whether it covers the whole text.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        covers(
            &self.0,
            text.iter(),
            |token| if matches!(token, Token::Many) { Part::Many } else { Part::One },
            |token, byte| match token {
                Token::Byte(expected) => expected == *byte,
                Token::Any | Token::Many => true,
            },
        )
    }
}

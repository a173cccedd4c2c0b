//! Path patterns by their segments: finds those that may cover a path without looking at each.

use std::str::Split;

use smallvec::SmallVec;

use super::glob::Glob;
use super::hash::FastMap;
use super::path::Segment;

/// Numbers of rules, ascending.
pub(super) type Posts = SmallVec<[u32; 4]>;

/// A tree of segments. Approximate where that is cheaper: who is found is held against the whole pattern later.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

/// The children whose prefixes have one length.
type ByPrefix = FastMap<Box<[u8]>, u32>;

/// Where the segments so far have led.
#[derive(Debug, Default)]
struct Node {
    literal: FastMap<Box<str>, u32>,
    /// Segments with wildcards, by the length and the text of what stands before the first of them.
    prefixed: Vec<(usize, ByPrefix)>,
    /// Segments that begin with a wildcard.
    wild: Option<u32>,
    /// Patterns that end here.
    here: Posts,
    /// Patterns that go on with `**`, by their last segment if that is a literal.
    deep_to: FastMap<Box<str>, Posts>,
    /// Patterns that go on with `**` and end in anything else.
    deep: Posts,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    pub(super) fn insert(&mut self, segments: &[Segment], rule: u32) {
        let mut at = 0;
        for segment in segments {
            at = match segment {
                Segment::Literal(text) => self.child(at, |node| node.literal.entry(text.clone()).or_default()),
                Segment::Name => self.child(at, |node| node.wild.get_or_insert_default()),
                Segment::Glob(glob) => self.glob_child(at, glob),
                Segment::Deep => {
                    let node = &mut self.nodes[at];
                    match segments.last() {
                        Some(Segment::Literal(last)) => node.deep_to.entry(last.clone()).or_default().push(rule),
                        _ => node.deep.push(rule),
                    }
                    return;
                }
            };
        }
        self.nodes[at].here.push(rule);
    }

    /// The child that a slot of a node leads to; a new slot holds 0, which is nobody's child.
    fn child(&mut self, at: usize, slot: impl FnOnce(&mut Node) -> &mut u32) -> usize {
        let next = self.nodes.len();
        let slot = slot(&mut self.nodes[at]);
        if *slot == 0 {
            *slot = next as u32;
            self.nodes.push(Node::default());
            return next;
        }
        *slot as usize
    }

    fn glob_child(&mut self, at: usize, glob: &Glob) -> usize {
        let prefix = glob.prefix();
        self.child(at, |node| {
            if prefix.is_empty() {
                return node.wild.get_or_insert_default();
            }
            let length = prefix.len();
            let place = node.prefixed.iter().position(|(of, _)| *of == length).unwrap_or_else(|| {
                node.prefixed.push((length, ByPrefix::default()));
                node.prefixed.len() - 1
            });
            node.prefixed[place].1.entry(prefix.into()).or_default()
        })
    }

    /// Adds the rules whose pattern may cover the path.
    pub(super) fn find(&self, path: &str, found: &mut impl Extend<u32>) {
        let last = path.rsplit('/').next().unwrap_or(path);
        self.walk(0, path.split('/'), last, found);
    }

    fn walk(&self, at: u32, mut rest: Split<'_, char>, last: &str, found: &mut impl Extend<u32>) {
        let Some(node) = self.nodes.get(at as usize) else { return };
        found.extend(node.deep.iter().copied());
        if !node.deep_to.is_empty() {
            found.extend(node.deep_to.get(last).into_iter().flatten().copied());
        }
        let Some(segment) = rest.next() else {
            found.extend(node.here.iter().copied());
            return;
        };
        if let Some(child) = node.literal.get(segment) {
            self.walk(*child, rest.clone(), last, found);
        }
        for (length, children) in &node.prefixed {
            if let Some(child) = segment.as_bytes().get(..*length).and_then(|prefix| children.get(prefix)) {
                self.walk(*child, rest.clone(), last, found);
            }
        }
        if let Some(child) = node.wild {
            self.walk(child, rest, last, found);
        }
    }
}

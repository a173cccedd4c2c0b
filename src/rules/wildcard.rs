//! The one algorithm behind every wildcard.

/// One part of a pattern.
pub(super) enum Part {
    /// Any number of items of the text, also none.
    Many,
    /// Exactly one item, which must satisfy the test.
    One,
}

/// Whether the pattern covers the whole text. `part` says what a pattern item is, `fits` whether a
/// [`Part::One`] accepts an item of the text.
///
/// Greedy with one way back: when something after a `Many` does not fit, that `Many` takes one item more. Older ones
/// need no second try, since the later one could have taken their items too. Time: pattern times text at worst.
pub(super) fn covers<P, T>(
    pattern: &[P],
    mut text: impl Iterator<Item = T> + Clone,
    part: impl Fn(&P) -> Part,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let mut at = 0;
    let mut way_back = None;
    loop {
        if let Some(item) = pattern.get(at)
            && matches!(part(item), Part::Many)
        {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            way_back = Some((at, text.clone()));
            continue;
        }
        let Some(next) = text.next() else { return at == pattern.len() };
        if pattern.get(at).is_some_and(|item| fits(item, &next)) {
            at += 1;
            continue;
        }
        let Some((resume, rest)) = &mut way_back else { return false };
        if rest.next().is_none() {
            return false;
        }
        at = *resume;
        text = rest.clone();
    }
}

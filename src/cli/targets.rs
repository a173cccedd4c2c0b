//! Where load may go beyond loopback and private addresses.

use std::path::Path;

use super::Failure;
use crate::config::{Config, DEFAULT_PATH};

/// What `--allow-target` names, and `[safety] allow_targets` of `config/brownout.toml` if that is there.
///
/// # Errors
/// The file is there and its `[safety]` is wrong: half of a list of permissions is no list.
pub(super) fn allowed(by_hand: &[String]) -> Result<Vec<String>, Failure> {
    let path = Path::new(DEFAULT_PATH);
    let mut allowed = by_hand.to_vec();
    if path.exists() {
        allowed.extend(Config::safety_of(path)?.allow_targets);
    }
    Ok(allowed)
}

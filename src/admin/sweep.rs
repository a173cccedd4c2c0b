//! The task that ends what nobody renews.

use std::sync::Arc;

use super::api::Api;
use crate::clock;
use crate::rules::Store;

/// Ends runs and rules when their lease runs out, for as long as the future lives. One task for each instance;
/// without it a runner that was killed would leave its faults behind.
pub async fn sweep(api: Arc<Api>) {
    let mut changes = api.store.changes();
    loop {
        // Marked as seen before the look, so that no change slips in between.
        changes.mark_unchanged();
        let now = clock::now();
        let next = [api.expire_runs(now), api.store.expire(now)].into_iter().flatten().min();
        let due = async {
            match next {
                Some(next) => clock::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// As [`sweep`], for a store that no API stands before: leases and schedules of its rules.
pub async fn tend(store: Arc<Store>) {
    let mut changes = store.changes();
    loop {
        changes.mark_unchanged();
        let next = store.expire(clock::now());
        let due = async {
            match next {
                Some(next) => clock::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

//! Everything off, and on again: `GET /api/v1/faults`, `POST /api/v1/faults/off`, `POST /api/v1/faults/on`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::api::Api;
use crate::client::wire::Faults;

pub(super) async fn get(State(api): State<Arc<Api>>) -> Json<Faults> {
    Json(faults(&api))
}

pub(super) async fn off(State(api): State<Arc<Api>>) -> Json<Faults> {
    api.latch.set(true).await;
    Json(faults(&api))
}

pub(super) async fn on(State(api): State<Arc<Api>>) -> Json<Faults> {
    api.latch.set(false).await;
    Json(faults(&api))
}

fn faults(api: &Api) -> Faults {
    Faults { off: api.store.is_off(), persisted: api.latch.is_persisted(), active: api.store.total_active() }
}

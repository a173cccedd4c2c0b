//! Runs: `PUT`, `GET`, `DELETE /api/v1/runs/{id}` and `GET /api/v1/runs`.
//!
//! A run is a lock on proxies and a layer of rules, both on one lease. Whoever runs an experiment repeats its `PUT`
//! to renew it; if it is killed, the lease ends, the rules are released and the proxies are free again.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::api::Api;
use super::body;
use super::book::{Book, Change, Conflict, Held};
use super::problem::Refusal;
use super::wanted::{self, Wanted};
use crate::client::wire::{self, Foreign};
use crate::clock::{self, Instant};
use crate::rules::Layer;

const LONGEST_ID: usize = 64;

pub(super) async fn put(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let id = valid(id)?;
    let request = format!("PUT /api/v1/runs/{id}");
    let json = body::json(&request, body).await?;
    let wanted = wanted::read(&request, &json, &api.proxies(), api.ceilings).map_err(Refusal::invalid)?;
    let must_exist = headers.contains_key(header::IF_MATCH);
    let change = api.put_run(&id, wanted, must_exist, clock::now())?;
    let run = api.run(&id).ok_or_else(|| unknown(&id))?;
    let status = if change == Change::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(run)).into_response())
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::Run>, Refusal> {
    let id = valid(id)?;
    api.run(&id).map(Json).ok_or_else(|| unknown(&id))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::Run>, Refusal> {
    let id = valid(id)?;
    api.delete_run(&id).map(Json).ok_or_else(|| unknown(&id))
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<wire::Runs> {
    let ids: Vec<String> = api.runs().iter().map(|(id, _)| id.to_owned()).collect();
    Json(wire::Runs { runs: ids.iter().filter_map(|id| api.run(id)).collect() })
}

/// An id needs no escaping in paths, layers and logs.
fn valid(id: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let Path(id) = id.map_err(|error| Refusal::plain(StatusCode::BAD_REQUEST, error.to_string()))?;
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !id.is_empty() && id.len() <= LONGEST_ID && id.chars().all(sane) {
        return Ok(id);
    }
    let detail = format!("{id:?} is not a run's id (1 to {LONGEST_ID} letters, digits, \"-\", \"_\" and \".\")");
    Err(Refusal::plain(StatusCode::BAD_REQUEST, detail))
}

impl Api {
    /// Takes, changes or renews a run.
    pub(super) fn put_run(&self, id: &str, wanted: Wanted, must_exist: bool, now: Instant) -> Result<Change, Refusal> {
        let layer = Layer::run(id);
        // Held to the end: lock and layer change together.
        let mut book = self.runs();
        self.end_expired(&mut book, now);
        let held = Held {
            until: now + wanted.lease,
            proxies: wanted.proxies,
            lease: wanted.lease,
            enabled: wanted.enabled,
            rules: wanted.json,
        };
        let change = book.consider(id, &held).map_err(locked)?;
        if must_exist && change == Change::Created {
            let detail =
                format!("run {id:?} is not there: its lease ran out, it was deleted, or this is another instance");
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "run-gone", "the run is gone", detail));
        }
        if change != Change::Renewed {
            let acts = held.enabled && !wanted.rules.is_empty();
            self.check_surroundings(&layer, &held, acts, wanted.foreign)?;
            tracing::info!(run = id, proxies = ?held.proxies, enabled = held.enabled, rules = wanted.rules.len(), "run taken");
            self.store.replace(&layer, wanted.rules);
        }
        self.store.renew(&layer);
        book.put(id, held);
        Ok(change)
    }

    /// What would make the run's figures lie: faults of somebody else, or faults that do not act.
    fn check_surroundings(&self, layer: &Layer, held: &Held, acts: bool, foreign: Foreign) -> Result<(), Refusal> {
        if acts && self.store.is_off() {
            let detail = "all faults are off: the run's would not act (`brownout on` turns them on)".to_owned();
            return Err(Refusal::new(StatusCode::CONFLICT, "faults-off", "all faults are off", detail));
        }
        let others = self.foreign(layer, &held.proxies);
        if foreign == Foreign::Refuse && !others.is_empty() {
            let detail = format!(
                "other rules act on the run's proxies: {} (disable them, or send \"foreign\": \"allow\")",
                others.join(", ")
            );
            let refusal = Refusal::new(StatusCode::CONFLICT, "foreign-faults", "other rules are active", detail);
            return Err(refusal.with_rules(others));
        }
        Ok(())
    }

    /// Rules of other layers that act on these proxies, as `layer/name`, each once.
    fn foreign(&self, own: &Layer, proxies: &[String]) -> Vec<String> {
        let acting = proxies.iter().flat_map(|proxy| self.store.acting_on(proxy));
        let mut others: Vec<_> =
            acting.filter(|(layer, _)| layer != own).map(|(layer, name)| format!("{layer}/{name}")).collect();
        others.sort();
        others.dedup();
        others
    }

    /// Ends a run; `None` if there is none.
    pub(super) fn delete_run(&self, id: &str) -> Option<wire::Run> {
        let mut book = self.runs();
        let run = self.shown(id, book.get(id)?);
        book.remove(id);
        let layer = Layer::run(id);
        self.store.remove_layer(&layer);
        tracing::info!(run = id, "run deleted");
        Some(wire::Run { enabled: false, active: self.store.active(&layer), ..run })
    }

    /// A run as it stands; `None` if there is none.
    pub(super) fn run(&self, id: &str) -> Option<wire::Run> {
        let mut book = self.runs();
        self.end_expired(&mut book, clock::now());
        Some(self.shown(id, book.get(id)?))
    }

    fn shown(&self, id: &str, held: &Held) -> wire::Run {
        let layer = Layer::run(id);
        let received = held.proxies.iter().map(|proxy| (proxy.clone(), self.metrics.received(proxy)));
        wire::Run {
            id: id.to_owned(),
            instance: self.instance.id.clone(),
            proxies: held.proxies.clone(),
            lease_left_s: held.until.saturating_duration_since(clock::now()).as_secs_f64(),
            enabled: held.enabled,
            off: self.store.is_off(),
            active: self.store.active(&layer),
            rules: self.store.status_of(&layer).into_iter().map(Into::into).collect(),
            received: received.collect(),
            foreign: self.foreign(&layer, &held.proxies),
        }
    }

    /// Ends the runs that nobody renewed; gives when the next one ends.
    pub(super) fn expire_runs(&self, now: Instant) -> Option<Instant> {
        let mut book = self.runs();
        self.end_expired(&mut book, now);
        book.next_expiry()
    }

    fn end_expired(&self, book: &mut Book, now: Instant) {
        for id in book.expire(now) {
            tracing::warn!(run = id, "the lease of a run was not renewed: its rules are removed, its proxies are free");
            self.store.remove_layer(&Layer::run(&id));
        }
    }
}

fn locked(Conflict { holder, proxies }: Conflict) -> Refusal {
    let detail = format!("run {holder:?} holds {}", proxies.join(", "));
    Refusal::new(StatusCode::CONFLICT, "locked", "held by another run", detail).with_holder(&holder)
}

fn unknown(id: &str) -> Refusal {
    let detail = format!("there is no run {id:?}, or no longer");
    Refusal::new(StatusCode::NOT_FOUND, "unknown-run", "no such run", detail)
}

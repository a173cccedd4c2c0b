//! `/proxies/{proxy}/toxics`.

use axum::http::StatusCode;
use axum::response::Response;

use super::attributes::{self, Sent};
use super::problem::Problem;
use super::router::{Api, empty, json};
use super::{decode, wire};
use crate::tcp::registry::Refusal;

pub(super) async fn list(api: &Api, proxy: &str) -> Result<Response, Problem> {
    let http = api.registry.http.lock().await;
    if http.has(proxy) {
        return Ok(json(StatusCode::OK, &http.toxics(proxy)?));
    }
    Ok(json(StatusCode::OK, &wire::toxics(&api.registry.get(proxy).await?)))
}

pub(super) async fn create(api: &Api, proxy: &str, body: &[u8]) -> Result<Response, Problem> {
    let around = api.registry.around();
    let mut http = api.registry.http.lock().await;
    if http.has(proxy) {
        let value = decode::first(body).map_err(Problem::body)?;
        return Ok(json(StatusCode::OK, &http.add(proxy, &value, around)?));
    }
    // In the original's order: proxy, body, stream, type, name, attributes.
    let shown = api.registry.get(proxy).await?;
    let value = decode::first(body).map_err(Problem::body)?;
    let sent = Sent::read(&value, api.strict)?;
    if shown.toxics.iter().any(|toxic| toxic.spec.name == sent.name) {
        return Err(Refusal::ToxicExists.into());
    }
    let installed = api.registry.add_toxic(proxy, sent.finish(api.registry.around().ceilings)?).await?;
    Ok(json(StatusCode::OK, &wire::toxic(&installed.spec)))
}

pub(super) async fn show(api: &Api, proxy: &str, toxic: &str) -> Result<Response, Problem> {
    let http = api.registry.http.lock().await;
    if http.has(proxy) {
        return Ok(json(StatusCode::OK, &http.toxic(proxy, toxic)?));
    }
    let shown = api.registry.get(proxy).await?;
    let found = shown.toxics.iter().find(|installed| installed.spec.name == toxic).ok_or(Refusal::NoToxic)?;
    Ok(json(StatusCode::OK, &wire::toxic(&found.spec)))
}

pub(super) async fn update(api: &Api, proxy: &str, toxic: &str, body: &[u8]) -> Result<Response, Problem> {
    let around = api.registry.around();
    let mut http = api.registry.http.lock().await;
    if http.has(proxy) {
        let value = decode::first(body).map_err(Problem::body)?;
        return Ok(json(StatusCode::OK, &http.change(proxy, toxic, &value, around)?));
    }
    let change = |current: &_| {
        let value = decode::first(body).map_err(Problem::body)?;
        attributes::changed(current, &value, api.registry.around().ceilings)
    };
    let installed = api.registry.change_toxic(proxy, toxic, change).await?;
    Ok(json(StatusCode::OK, &wire::toxic(&installed.spec)))
}

pub(super) async fn delete(api: &Api, proxy: &str, toxic: &str) -> Result<Response, Problem> {
    let around = api.registry.around();
    let mut http = api.registry.http.lock().await;
    if http.has(proxy) {
        http.remove(proxy, toxic, &around.rules)?;
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    api.registry.remove_toxic(proxy, toxic).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

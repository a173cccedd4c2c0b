//! The routes, and what every request and answer has in common.

use std::future::Future;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio::net::TcpListener;

use super::api::Api;
use super::problem::Refusal;
use super::rules::Switch;
use super::{faults, instance, rules, runs};
use crate::telemetry::serve::serve;

/// Serves the API until `stop` is over. Runs on the caller's runtime; see also [`sweep`](super::sweep()).
pub async fn serve_admin(listener: TcpListener, api: Arc<Api>, stop: impl Future<Output = ()>) {
    serve(listener, routes(api), stop).await;
}

fn routes(api: Arc<Api>) -> Router {
    let switch = |enabled| post(rules::switch).layer(Extension(Switch { enabled }));
    let switch_group = |enabled| post(rules::switch_group).layer(Extension(Switch { enabled }));
    Router::new()
        .route("/api/v1/instance", get(instance::instance))
        .route("/api/v1/proxies", get(instance::proxies))
        .route("/api/v1/rules", get(rules::get).put(rules::put))
        .route("/api/v1/rules/{name}/enable", switch(true))
        .route("/api/v1/rules/{name}/disable", switch(false))
        .route("/api/v1/groups/{name}/enable", switch_group(true))
        .route("/api/v1/groups/{name}/disable", switch_group(false))
        .route("/api/v1/faults", get(faults::get))
        .route("/api/v1/faults/off", post(faults::off))
        .route("/api/v1/faults/on", post(faults::on))
        .route("/api/v1/runs", get(runs::list))
        .route("/api/v1/runs/{id}", get(runs::get).put(runs::put).delete(runs::delete))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), guard))
        .with_state(api)
}

/// Before every route, the unknown ones too: whoever may not call learns nothing, not even which paths there are.
async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let mut response = match api.access.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn unknown_path(uri: Uri) -> Refusal {
    Refusal::plain(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal::plain(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}

//! Names requests: the first route of a proxy that matches is the metric label.

use crate::config::RouteConfig;
use crate::faults::RequestView;

/// The routes of one proxy.
pub(super) struct Router {
    routes: Vec<RouteConfig>,
}

impl Router {
    pub(super) fn new(routes: &[RouteConfig]) -> Self {
        Self { routes: routes.to_vec() }
    }

    /// The first route that matches.
    pub(super) fn route(&self, request: &RequestView<'_>) -> Option<usize> {
        self.routes.iter().position(|route| route.conditions.hold(request))
    }

    pub(super) fn name(&self, route: usize) -> &str {
        self.routes.get(route).map_or("", |route| &route.name)
    }
}

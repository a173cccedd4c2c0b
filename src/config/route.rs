//! Named matches of a proxy: the `route` label of the metrics.

use crate::diagnostics::{Node, Reader};
use crate::rules::{Conditions, read_conditions};

/// A named match. The first route of a proxy that matches a request names it.
#[derive(Debug, Clone)]
pub struct RouteConfig {
    /// The name, unique within its proxy.
    pub name: String,
    /// What a request must be like.
    pub conditions: Conditions,
    /// The conditions as written: two routes are the same when they say the same.
    written: Node,
}

impl PartialEq for RouteConfig {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.written.to_json()) == (&other.name, other.written.to_json())
    }
}

/// Reads the `[[proxy.route]]` tables.
pub(super) fn read_all(proxy: &mut Reader<'_>) -> Vec<RouteConfig> {
    let mut routes: Vec<RouteConfig> = Vec::new();
    for mut reader in proxy.tables("route") {
        let name = reader.required::<String>("name", "\"checkout\"");
        if let Some(name) = &name {
            reader.rename(format!("route \"{name}\""));
        }
        if !reader.has("match") {
            let cure = "for example match = { path = \"/api/checkout/{id}\" }";
            reader.complain("\"match\" is missing".to_owned(), Some(cure));
        }
        let written = reader.node("match").cloned();
        let conditions = reader.table("match").map(read_conditions);
        if let (Some(name), Some(conditions), Some(written)) = (name, conditions, written) {
            if routes.iter().any(|route| route.name == name) {
                reader.reject("name", "another route of this proxy has it", Some("give one of them another name"));
            }
            routes.push(RouteConfig { name, conditions, written });
        }
        reader.finish();
    }
    routes
}

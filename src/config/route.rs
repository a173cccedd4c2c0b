//! Named matches of a proxy: the `route` label of the metrics.

use crate::diagnostics::{Node, Reader};

/// A named match. The first route of a proxy that matches a request names it.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// The name, unique within its proxy.
    pub name: String,
    /// The conditions as written; the matcher that compiles them belongs to the rules.
    pub conditions: Node,
}

/// Reads the `[[proxy.route]]` tables.
pub(super) fn read_all(proxy: &mut Reader<'_>) -> Vec<RouteConfig> {
    let mut routes: Vec<RouteConfig> = Vec::new();
    for mut reader in proxy.tables("route") {
        let name = reader.required::<String>("name", "\"checkout\"");
        if let Some(name) = &name {
            reader.rename(format!("route \"{name}\""));
        }
        let conditions = reader.node("match").cloned();
        if let (Some(name), Some(conditions)) = (name, conditions) {
            routes.push(RouteConfig { name, conditions });
        }
        reader.finish();
    }
    routes
}

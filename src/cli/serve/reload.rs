//! The files of a running `serve`: read again when they change, taken over only when they are right.

use std::path::PathBuf;
use std::sync::Arc;

use super::proxies::Proxies;
use crate::config::{Config, Watch, read_rules_dir};
use crate::diagnostics::Problems;
use crate::rules::{Layer, Store};
use crate::telemetry::Reloads;

/// The configuration file and the rules folder.
pub(super) struct Files {
    path: PathBuf,
    current: Config,
    sets: Vec<String>,
    watch: Watch,
    store: Arc<Store>,
    reloads: Arc<Reloads>,
}

impl Files {
    pub(super) fn new(
        path: PathBuf,
        sets: Vec<String>,
        current: Config,
        store: Arc<Store>,
        reloads: Arc<Reloads>,
    ) -> Self {
        let mut watch = Watch::new(&path, &current.rules.dir);
        watch.set_others(Config::certificate_files(&path, &sets));
        Self { path, current, sets, watch, store, reloads }
    }

    /// Resolves when something has changed.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Takes the rules of the folder over, or none of them.
    pub(super) fn read_rules(&mut self) -> Result<(), Problems> {
        let config = &self.current;
        let rules = read_rules_dir(&config.rules.dir, &config.safety)?;
        let count = rules.len();
        self.store.set_excludes(config.rules.exclude.clone());
        let generation = self.store.replace(&Layer::File, rules);
        self.reloads.record(Problems::default());
        tracing::info!(rules = count, generation, dir = %config.rules.dir.display(), "rules read");
        Ok(())
    }

    /// Reads everything again. A mistake anywhere leaves what runs as it is, is logged and kept for whoever asks.
    pub(super) async fn reload(&mut self, proxies: &mut Proxies) {
        if let Err(problems) = self.try_reload(proxies).await {
            for problem in &problems.0 {
                tracing::error!("not reloaded: {problem}");
            }
            self.reloads.record(problems);
        }
    }

    async fn try_reload(&mut self, proxies: &mut Proxies) -> Result<(), Problems> {
        let mut problems = Problems::default();
        // Before they are read, and also if something is wrong: what comes later is a tick.
        self.watch.set_others(Config::certificate_files(&self.path, &self.sets));
        match Config::load(&self.path, &self.sets) {
            Ok(config) => self.current = config,
            // The rules are read all the same, by the configuration that was right last.
            Err(wrong) => problems = wrong,
        }
        let config = self.current.clone();
        self.watch.set_rules_dir(&config.rules.dir);
        if let Err(wrong) = self.read_rules() {
            problems.extend(wrong);
        }
        if problems.is_empty() {
            let file = self.path.display().to_string();
            for failure in proxies.reconcile(&config.proxies).await {
                problems.extend(Problems::one(&file, failure, None));
            }
        }
        problems.or(())
    }
}

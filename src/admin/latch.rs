//! The off latch: acts at once, and remembers it on the disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::rules::{Store, latch};
use crate::telemetry::Metrics;

/// The off latch of one instance: [`Store::off`] with a memory. Used by the API and by signals.
pub struct Latch {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    /// `None`: in memory only.
    path: Option<PathBuf>,
    persisted: Arc<AtomicBool>,
    /// Held while the file is written, so that the last word that was said is the one that stands there.
    writing: Arc<Mutex<()>>,
}

impl Latch {
    /// Takes up the state that the file at `path` remembers, and turns everything off if it says so. A file that
    /// cannot be read or written leaves the latch in memory, with a warning and a metric. Without a path it is in
    /// memory only.
    pub fn restore(store: Arc<Store>, metrics: Arc<Metrics>, path: Option<PathBuf>) -> Self {
        let remembered = path.as_deref().map(latch::read);
        let persisted = match &remembered {
            Some(Ok(off)) => {
                if *off {
                    tracing::warn!(
                        "all faults are off, as they were when the last instance ended; `brownout on` turns them on"
                    );
                    store.off();
                }
                path.as_deref().is_some_and(can_be_written)
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "it is not known whether faults were turned off before; the latch starts as on");
                false
            }
            None => false,
        };
        metrics.kill_switch_persisted(persisted);
        Self { store, metrics, path, persisted: Arc::new(AtomicBool::new(persisted)), writing: Arc::default() }
    }

    /// Turns all faults off or on, at once, and then remembers it. Gives whether that worked.
    pub async fn set(&self, off: bool) -> bool {
        if off {
            self.store.off();
        } else {
            self.store.on();
        }
        tracing::warn!(off, "all faults were turned {}", if off { "off" } else { "on" });
        let Some(path) = self.path.clone() else { return false };
        let (store, writing) = (self.store.clone(), self.writing.clone());
        let written = tokio::task::spawn_blocking(move || {
            let _alone = writing.lock().unwrap_or_else(PoisonError::into_inner);
            latch::write(&path, store.is_off()).map_err(|error| error.to_string())
        });
        let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
        if let Err(error) = &written {
            tracing::warn!(error, "the latch will not survive a restart");
        }
        self.persisted.store(written.is_ok(), Ordering::Relaxed);
        self.metrics.kill_switch_persisted(written.is_ok());
        written.is_ok()
    }

    /// Whether the state would survive a restart.
    pub fn is_persisted(&self) -> bool {
        self.persisted.load(Ordering::Relaxed)
    }
}

/// Says beforehand what would otherwise only be noticed when everything has to be turned off.
fn can_be_written(path: &Path) -> bool {
    let probed = latch::probe(path);
    if let Err(error) = &probed {
        tracing::warn!(%error, "`brownout off` would act, but a restart would forget it");
    }
    probed.is_ok()
}

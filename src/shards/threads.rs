//! The threads that carry traffic: one current-thread runtime each, with the precise timer in it.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::clock;

/// One thread with its own runtime. Dropping it stops the thread and everything still running on it.
struct Shard {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The threads that carry the traffic of all proxies of this process.
pub struct Shards(Vec<Shard>);

impl Shards {
    /// Starts this many threads, at least one.
    ///
    /// # Errors
    /// When a thread, its runtime or its timer cannot be had.
    pub fn start(count: usize) -> io::Result<Self> {
        (0..count.max(1)).map(Shard::start).collect::<io::Result<_>>().map(Self)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Runs a future on the shard with this number (modulo their count).
    pub fn spawn<F>(&self, shard: usize, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0[shard % self.0.len()].handle.spawn(future)
    }
}

impl Shard {
    fn start(number: usize) -> io::Result<Self> {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                let timer = clock::install();
                let _timer = match timer {
                    Ok(timer) => timer,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let _ = ready.send(Ok(Handle::current()));
                let _ = stopped.await;
            });
            // Whatever still runs is dropped with the runtime, without waiting for blocking look-ups.
            runtime.shutdown_background();
        })?;
        let handle = is_ready.recv().map_err(|_| io::Error::other("a shard's thread ended at its start"))??;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

//! Notices that the configuration file or the rules folder has changed.
//!
//! The kernel's notes are only hints: whatever they say, what counts is whether the *contents* differ from what they
//! were. That makes one rule out of an editor's rename, several files written at once, a ConfigMap's `..data` swap,
//! a folder that comes later, and noise from neighbouring files.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, pending};
use inotify::{Inotify, WatchDescriptor, WatchMask, Watches};

use super::rules_dir::rule_files;

/// After the last hint this long must pass in quiet before anything is read: a writer is seldom done with one step.
const QUIET: Duration = Duration::from_millis(100);
/// A writer that never rests does not put off the reading for longer than this.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the contents are compared where the kernel gives no hints.
const POLL: Duration = Duration::from_secs(2);

/// What a writer does. Not asked for: opening and reading, which is what a reload itself does, and what a server does
/// all day to its own files in the same folder; nor each write, of which the closing is what counts.
const WRITING: WatchMask = WatchMask::CREATE
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// Watches one configuration file and one rules folder, neither of which needs to exist.
pub struct Watch {
    config: PathBuf,
    rules_dir: PathBuf,
    /// What the configuration names besides.
    others: Vec<PathBuf>,
    hints: BoxStream<'static, ()>,
    /// `None`: the kernel gives no hints, the contents are compared every [`POLL`].
    watches: Option<Watches>,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    /// A hint has come and the contents have not been compared since.
    hinted: bool,
    seen: u64,
}

impl Watch {
    /// Starts to watch. What is read after this call is either current or followed by a tick. To be called inside a
    /// tokio runtime with IO.
    pub fn new(config: &Path, rules_dir: &Path) -> Self {
        // Each read takes as many notes as fit; what they say does not matter.
        let stream = Inotify::init().and_then(|inotify| inotify.into_event_stream(vec![0; 4096]));
        let (watches, hints) = match stream {
            Ok(stream) => (Some(stream.watches()), stream.map(|_| ()).boxed()),
            Err(error) => {
                tracing::warn!(%error, "no file notices from the kernel: comparing every 2 s");
                (None, pending().boxed())
            }
        };
        let mut watch = Self {
            config: config.to_owned(),
            rules_dir: rules_dir.to_owned(),
            others: Vec::new(),
            hints,
            watches,
            watched: BTreeMap::new(),
            hinted: false,
            seen: 0,
        };
        watch.arm();
        watch.seen = watch.fingerprint();
        watch
    }

    /// Follows another rules folder from now on, after a reload that named another one.
    pub fn set_rules_dir(&mut self, rules_dir: &Path) {
        if self.rules_dir != rules_dir {
            rules_dir.clone_into(&mut self.rules_dir);
            self.arm();
            self.seen = self.fingerprint();
        }
    }

    /// Follows these files, too, from now on: certificates and keys. As with [`new`](Self::new), what is read of them
    /// after this call is either current or followed by a tick.
    pub fn set_others(&mut self, others: Vec<PathBuf>) {
        if self.others != others {
            self.others = others;
            self.arm();
            self.seen = self.fingerprint();
        }
    }

    /// Returns when the contents differ from what they were at the last return (or at the start) and the writer has
    /// paused. May be dropped and called again without missing a change. Reads files: not for a shard's thread.
    pub async fn changed(&mut self) {
        loop {
            // A hint that an earlier call took, and did not live to act on, still holds.
            if !self.hinted {
                self.hint().await;
                self.hinted = true;
            }
            settle(&mut self.hints).await;
            self.arm();
            self.hinted = false;
            let now = self.fingerprint();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    async fn hint(&mut self) {
        if self.watches.is_some() && self.hints.next().await.is_some() {
            return;
        }
        tokio::time::sleep(POLL).await;
    }

    /// Watches the folders in which a change can show now. The folders themselves change, so this is done anew after
    /// every hint; a folder that cannot be watched turns to polling.
    fn arm(&mut self) {
        let Some(watches) = &mut self.watches else { return };
        let mut watched = BTreeMap::new();
        for folder in folders(&self.config, &self.rules_dir, &self.others) {
            // Also when it is watched already: a folder of the same name may be another one by now. For the same one
            // the kernel gives the same descriptor again.
            match watches.add(&folder, WRITING) {
                Ok(descriptor) => {
                    watched.insert(folder, descriptor);
                }
                Err(error) if folder.exists() => {
                    tracing::warn!(folder = %folder.display(), %error, "folder cannot be watched: comparing every 2 s");
                    self.watches = None;
                    return;
                }
                Err(_) => {}
            }
        }
        let kept: BTreeSet<_> = watched.values().map(WatchDescriptor::get_watch_descriptor_id).collect();
        for (_, gone) in std::mem::replace(&mut self.watched, watched) {
            if !kept.contains(&gone.get_watch_descriptor_id()) {
                let _ = watches.remove(gone); // a folder that was removed is no longer watched anyway
            }
        }
    }

    /// A hash of everything that a reload would read.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let files = rule_files(&self.rules_dir).unwrap_or_default();
        for file in files.iter().chain([&self.config]).chain(&self.others) {
            file.hash(&mut hasher);
            std::fs::read(file).ok().hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Waits until no hint has come for [`QUIET`], but not for longer than [`PATIENCE`].
async fn settle(hints: &mut BoxStream<'static, ()>) {
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            () = &mut patience => return,
            quiet = tokio::time::timeout(QUIET, hints.next()) => {
                if !matches!(quiet, Ok(Some(()))) {
                    return;
                }
            }
        }
    }
}

/// Every folder in which something must be seen to happen: around the file and the folder as named, where links lead,
/// and, for what does not exist yet, the nearest folder above that does.
fn folders(config: &Path, rules_dir: &Path, others: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    folders.insert(nearest_folder(rules_dir));
    let rules = rule_files(rules_dir).unwrap_or_default();
    for path in rules.iter().chain(others).map(PathBuf::as_path).chain([config, rules_dir]) {
        folders.insert(nearest_folder(above(path)));
        if let Ok(target) = path.canonicalize() {
            folders.insert(nearest_folder(above(&target)));
        }
    }
    folders
}

fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn nearest_folder(path: &Path) -> PathBuf {
    let mut path = path;
    while !path.is_dir() && above(path) != path {
        path = above(path);
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place {
        root: tempfile::TempDir,
        watch: Watch,
    }

    impl Place {
        /// A folder with a configuration and, if `prepare` makes them, rules; watched from then on.
        fn with(prepare: impl FnOnce(&Path)) -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join("c.toml"), "v = 1").unwrap();
            prepare(root.path());
            let watch = Watch::new(&root.path().join("c.toml"), &root.path().join("rules"));
            assert!(watch.watches.is_some(), "this machine gives no file notices");
            Self { root, watch }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        async fn tick(&mut self) {
            tokio::time::timeout(Duration::from_secs(60), self.watch.changed()).await.expect("a tick");
        }
    }

    fn one_rule(root: &Path) {
        fs::create_dir(root.join("rules")).unwrap();
        fs::write(root.join("rules/a.toml"), "v = 1").unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_written_in_place_is_noticed() {
        let mut place = Place::with(one_rule);
        fs::write(place.path("rules/a.toml"), "v = 2").unwrap();
        place.tick().await;
        fs::write(place.path("c.toml"), "v = 2").unwrap();
        place.tick().await;
    }

    #[tokio::test]
    async fn an_editors_rename_is_noticed_again_and_again() {
        let mut place = Place::with(one_rule);
        for version in 2..5 {
            for file in ["rules/a.toml", "c.toml"] {
                fs::write(place.path("rules/.a.swp"), format!("v = {version}")).unwrap();
                fs::rename(place.path("rules/.a.swp"), place.path(file)).unwrap();
                place.tick().await;
            }
        }
    }

    #[tokio::test]
    async fn a_new_file_and_a_removed_one_are_noticed() {
        let mut place = Place::with(one_rule);
        fs::write(place.path("rules/b.toml"), "").unwrap();
        place.tick().await;
        fs::remove_file(place.path("rules/a.toml")).unwrap();
        place.tick().await;
    }

    #[tokio::test]
    async fn the_symlink_swap_of_a_config_map_is_noticed() {
        let mut place = Place::with(|root| {
            fs::create_dir_all(root.join("rules/..v1")).unwrap();
            fs::write(root.join("rules/..v1/a.toml"), "v = 1").unwrap();
            symlink("..v1", root.join("rules/..data")).unwrap();
            symlink("..data/a.toml", root.join("rules/a.toml")).unwrap();
        });
        for (old, new) in [("..v1", "..v2"), ("..v2", "..v3")] {
            fs::create_dir(place.path("rules").join(new)).unwrap();
            fs::write(place.path("rules").join(new).join("a.toml"), new).unwrap();
            symlink(new, place.path("rules/..data_tmp")).unwrap();
            fs::rename(place.path("rules/..data_tmp"), place.path("rules/..data")).unwrap();
            fs::remove_dir_all(place.path("rules").join(old)).unwrap();
            place.tick().await;
        }
    }

    #[tokio::test]
    async fn a_linked_file_that_changes_elsewhere_is_noticed() {
        let mut place = Place::with(|root| {
            fs::create_dir_all(root.join("elsewhere")).unwrap();
            fs::create_dir_all(root.join("rules")).unwrap();
            fs::write(root.join("elsewhere/x"), "v = 1").unwrap();
            symlink("../elsewhere/x", root.join("rules/a.toml")).unwrap();
        });
        fs::write(place.path("elsewhere/x"), "v = 2").unwrap();
        place.tick().await;
    }

    #[tokio::test]
    async fn a_folder_that_comes_later_or_comes_again_is_noticed() {
        let mut place = Place::with(|_| {});
        fs::create_dir(place.path("rules")).unwrap();
        fs::write(place.path("rules/a.toml"), "v = 1").unwrap();
        place.tick().await;
        fs::rename(place.path("rules"), place.path("old")).unwrap();
        place.tick().await;
        one_rule(place.root.path());
        place.tick().await;
        fs::write(place.path("rules/a.toml"), "v = 2").unwrap();
        place.tick().await;
    }

    #[tokio::test]
    async fn a_neighbouring_file_is_not_a_change_but_hides_none() {
        let mut place = Place::with(one_rule);
        fs::write(place.path("notes.txt"), "x").unwrap();
        fs::write(place.path("rules/readme.md"), "x").unwrap();
        // Ticks come in order: had the neighbours made one, this change would be left for a second.
        let before = place.watch.seen;
        fs::write(place.path("rules/a.toml"), "v = 2").unwrap();
        place.tick().await;
        assert_ne!(place.watch.seen, before);
        assert_eq!(place.watch.seen, place.watch.fingerprint());
    }

    #[tokio::test(start_paused = true)]
    async fn hints_are_gathered_until_it_is_quiet_but_not_for_ever() {
        let start = tokio::time::Instant::now();
        settle(&mut pending().boxed()).await;
        assert_eq!(start.elapsed(), QUIET);
        let restless = futures_util::stream::repeat(()).then(|()| tokio::time::sleep(QUIET / 2));
        let start = tokio::time::Instant::now();
        settle(&mut restless.boxed()).await;
        assert_eq!(start.elapsed(), PATIENCE);
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_loses_nothing() {
        let mut place = Place::with(one_rule);
        fs::write(place.path("rules/a.toml"), "v = 2").unwrap();
        place.watch.hints.next().await;
        place.watch.hinted = true;
        tokio::select! {
            biased;
            () = place.watch.changed() => panic!("it cannot be quiet yet"),
            () = std::future::ready(()) => {}
        }
        place.tick().await;
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_kernels_hints_the_contents_are_compared_now_and_then() {
        let mut place = Place::with(one_rule);
        place.watch.watches = None;
        fs::write(place.path("rules/a.toml"), "v = 2").unwrap();
        place.tick().await;
    }
}

//! The memory of `off`: a small file, so that what was turned off stays off through a restart.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    off: bool,
}

/// Whether everything was turned off when the file was last written; a missing file says no.
///
/// # Errors
/// The file is there but cannot be read or understood. Whether the latch was engaged is then unknown: tell the user,
/// and go on with the latch in memory only.
pub fn read(path: &Path) -> Result<bool, LatchError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(LatchError::Read { path: path.to_owned(), source }),
    };
    let memory: Memory = serde_json::from_slice(&text)
        .map_err(|error| LatchError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    Ok(memory.off)
}

/// Remembers whether everything is off. The file is written whole or not at all, and is on the disk afterwards.
///
/// # Errors
/// It cannot be written; what it said before still stands there.
pub fn write(path: &Path, off: bool) -> Result<(), LatchError> {
    write_whole(path, &serde_json::to_vec(&Memory { off }).unwrap_or_default())
        .map_err(|source| LatchError::Write { path: path.to_owned(), source })
}

fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Beside the file, for a rename does not cross file systems; with our id, for two instances may share a folder.
    name.push(format!(".{}.tmp", std::process::id()));
    let aside = path.with_file_name(name);
    let written = (|| {
        let mut file = File::create(&aside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    })();
    if written.is_err() {
        // Best effort: the error that counts is the one that is returned.
        let _ = fs::remove_file(&aside);
    }
    written
}

/// Why the latch cannot be kept on the disk.
#[derive(Debug, thiserror::Error)]
pub enum LatchError {
    /// The file is there and cannot be read.
    #[error("{}: cannot be read: {source} (make it readable, or set safety.state_file)", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It does not say what it should.
    #[error("{}: is not a state file: {reason} (remove it, or set safety.state_file)", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be written.
    #[error("{}: cannot be written: {source} (make its folder writable, or set safety.state_file)", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".brownout-state.json");
        assert!(!read(&path).unwrap(), "without a file nothing was turned off");
        write(&path, true).unwrap();
        assert!(read(&path).unwrap());
        write(&path, false).unwrap();
        assert!(!read(&path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_an_error_and_not_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for text in ["", "{\"off\":", "{}", "true"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(LatchError::Malformed { .. })), "{text}");
        }
        assert!(matches!(read(folder.path()), Err(LatchError::Read { .. })));
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::create_dir(&path).unwrap();
        let error = write(&path, true).unwrap_err();
        assert!(matches!(error, LatchError::Write { .. }) && error.to_string().contains("safety.state_file"));
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        assert!(write(Path::new("/nowhere/at/all/state"), true).is_err());
    }
}

//! The memory of `off`: a small file, so that what was turned off stays off through a restart.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// No state file is longer.
const LONGEST: u64 = 4096;

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
    let text = match read_small(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(LatchError::Read { path: path.to_owned(), source }),
    };
    let memory: Memory = serde_json::from_slice(&text)
        .map_err(|error| LatchError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    Ok(memory.off)
}

/// A device can be read for ever, and a file of ours is short.
fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    fs::metadata(path)?;
    regular(path)?;
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// A device or a folder must not be put aside for a file of ours.
fn regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is there and is not a regular file"))
        }
        _ => Ok(()),
    }
}

/// Finds out whether [`write`] would work, without changing what is remembered: on the day when everything has to be
/// turned off it is too late.
///
/// # Errors
/// The file could not be written.
pub fn probe(path: &Path) -> Result<(), LatchError> {
    let tried = regular(path).and_then(|()| write_aside(path, &text(true))).and_then(fs::remove_file);
    tried.map_err(|source| LatchError::Write { path: path.to_owned(), source })
}

/// Remembers whether everything is off. The file is written whole or not at all, and is on the disk afterwards.
///
/// # Errors
/// It cannot be written; what it said before still stands there.
pub fn write(path: &Path, off: bool) -> Result<(), LatchError> {
    let written = regular(path).and_then(|()| write_aside(path, &text(off))).and_then(|aside| {
        let renamed = fs::rename(&aside, path);
        if renamed.is_err() {
            // Best effort: the error that counts is the one that is returned.
            let _ = fs::remove_file(&aside);
        }
        renamed
    });
    written.map_err(|source| LatchError::Write { path: path.to_owned(), source })
}

fn text(off: bool) -> Vec<u8> {
    serde_json::to_vec(&Memory { off }).unwrap_or_default()
}

/// Writes a file beside this one, to be put in its place; it is on the disk afterwards.
fn write_aside(path: &Path, text: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Beside the file, for a rename does not cross file systems; with our id, for two instances may share a folder.
    name.push(format!(".{}.tmp", std::process::id()));
    let aside = path.with_file_name(name);
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(aside),
        Err(error) => {
            let _ = fs::remove_file(&aside);
            Err(error)
        }
    }
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
    fn whether_it_can_be_written_is_known_beforehand_and_asking_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        probe(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        write(&path, true).unwrap();
        probe(&path).unwrap();
        assert!(read(&path).unwrap());
        assert!(probe(folder.path()).is_err() && probe(Path::new("/nowhere/at/all/state")).is_err());
        assert!(probe(Path::new("/dev/full")).unwrap_err().to_string().contains("regular file"));
        assert!(write(Path::new("/dev/full"), true).unwrap_err().to_string().contains("regular file"));
    }

    #[test]
    fn a_device_is_not_read_for_ever() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(LatchError::Read { .. })));
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

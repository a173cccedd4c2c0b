//! The rules folder: which of its files are read, and in which order.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// The rule files of a folder in file-name order: every `*.toml` that is not hidden, symbolic links included.
/// `..data` and its like, the places that a Kubernetes ConfigMap keeps its versions in, are hidden.
/// A folder that is not there has no files.
///
/// # Errors
/// When there is something under that name and it cannot be listed.
pub fn rule_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        // What a link leads to counts; a link that leads nowhere is kept, so that reading it reports it.
        let is_folder = std::fs::metadata(&path).is_ok_and(|target| target.is_dir());
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && !is_folder && path.extension() == Some(OsStr::new("toml")) {
            files.push(path);
        }
    }
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(files)
}

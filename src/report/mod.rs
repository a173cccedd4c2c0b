//! Reports: one file per format over [`results`](crate::results).
//!
//! `words` and `figures` say things, the formats lay them out. A report reads the result and nothing else, so that
//! one can be written again from `result.json` alone.
//!
//! Adding a format: one file here, and two adjacent lines below (`mod` and its row in [`FORMATS`]).

mod figures;
pub mod html;
pub mod json;
pub mod load_summary;
pub mod terminal;
mod words;

#[cfg(test)]
mod fixture;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::results::ExperimentResult;

/// Writes one kind of report.
pub trait Format: Sync {
    /// The name for `--format`.
    fn name(&self) -> &'static str;

    /// The file's name in the output folder; `None` for what goes to standard output only.
    fn file(&self) -> Option<&'static str>;

    /// Writes the report.
    ///
    /// # Errors
    /// Only those of `out`: every result can be written.
    fn write(&self, result: &ExperimentResult, out: &mut dyn Write) -> io::Result<()>;
}

/// One row per file of this folder.
pub static FORMATS: &[&dyn Format] = &[&terminal::Terminal::PLAIN, &json::Json, &html::Html];

/// Writes every format that has a file into the folder, which is created; gives the paths in the order of [`FORMATS`].
///
/// # Errors
/// Those of the file system. What was written before stays, each file whole.
pub fn write_all(result: &ExperimentResult, folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut written = Vec::new();
    for format in FORMATS {
        if let Some(name) = format.file() {
            let path = folder.join(name);
            write_file(&path, |out| format.write(result, out))?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Writes a file whole or not at all: beside its final place first, then renamed over it.
///
/// # Errors
/// Those of `content` and of the file system; what stood at `path` before is then untouched.
pub fn write_file(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a file needs a name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    // Two processes that write the same report must not share a half-written file.
    hidden.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(hidden);
    let written = fill(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell; a file that was never made cannot be removed either.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn fill(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    content(&mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_and_file_names_are_unique() {
        let mut names: Vec<_> = FORMATS.iter().map(|format| format.name()).collect();
        let mut files: Vec<_> = FORMATS.iter().filter_map(|format| format.file()).collect();
        let counts = (names.len(), files.len());
        names.sort_unstable();
        names.dedup();
        files.sort_unstable();
        files.dedup();
        assert_eq!((names.len(), files.len()), counts);
    }

    #[test]
    fn a_folder_holds_every_report_that_is_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("deep/out");
        let written = write_all(&fixture::recovered_late(), &out).expect("written");
        assert_eq!(written, [out.join("result.json"), out.join("report.html")]);
        let mut found: Vec<_> = fs::read_dir(&out).expect("listed").map(|entry| entry.expect("entry").path()).collect();
        found.sort();
        assert_eq!(found, [out.join("report.html"), out.join("result.json")]);
    }

    #[test]
    fn a_report_that_breaks_off_leaves_the_old_one_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result.json");
        fs::write(&path, "old").expect("written");
        let broken = write_file(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(broken.is_err());
        assert_eq!(fs::read_to_string(&path).expect("read"), "old");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}

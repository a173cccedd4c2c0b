//! The body of an answer: a text, a file below the rules' folder, a template.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::template::{FIELDS, Template};
use crate::diagnostics::Reader;

/// The largest file that becomes an answer.
const LARGEST: u64 = 1 << 20;

/// What is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// The body as written, also of a template.
    pub(super) text: String,
    /// If fields of the request are to be filled in.
    pub(super) template: Option<Arc<Template>>,
    /// The text was read from a file: the rule must carry it when it goes elsewhere.
    pub(super) from_file: bool,
}

impl Content {
    /// Reads `body` or `body_file`, and `template`. Problems are recorded; what is wrong is empty.
    pub(super) fn read(reader: &mut Reader<'_>, is_json: bool) -> Self {
        let mut content = Self { text: reader.or("body", String::new()), ..Self::default() };
        if let Some(file) = reader.optional::<String>("body_file") {
            content.from_file = true;
            if reader.has("body") {
                reader.reject("body_file", "stands beside body", Some("give one of the two"));
            }
            match read_file(reader.file(), &file) {
                Ok(text) => content.text = text,
                Err((problem, cure)) => reader.reject("body_file", format!("{file:?} {problem}"), Some(cure)),
            }
        }
        if reader.or("template", false) {
            match Template::parse(&content.text, is_json) {
                Ok(template) => content.template = Some(Arc::new(template)),
                Err(problem) => reader.reject("template", format!("the body {problem}"), Some(FIELDS)),
            }
        }
        content
    }

    pub(super) fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.text.as_bytes())
    }
}

/// Reads a text that lies below the folder of the rule file: a rule must not be a way to read anything else.
fn read_file(rules: &str, file: &str) -> Result<String, (String, &'static str)> {
    const CURE: &str = "a path below the folder of the rule file";
    let folder = folder_of(rules).ok_or_else(|| ("cannot be named here".to_owned(), "give the body itself"))?;
    let relative = Path::new(file);
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(("leads out of the folder of the rule file".to_owned(), CURE));
    }
    let unreadable = |error: std::io::Error| (format!("cannot be read: {error}"), CURE);
    let path = folder.join(relative).canonicalize().map_err(unreadable)?;
    if !path.starts_with(&folder) {
        return Err(("leads out of the folder of the rule file".to_owned(), CURE));
    }
    let length = fs::metadata(&path).map_err(unreadable)?.len();
    if length > LARGEST {
        return Err((format!("has {length} bytes"), "at most 1 MiB"));
    }
    fs::read_to_string(&path).map_err(unreadable)
}

/// The folder of a rule file, resolved; `None` if the rule stands in no file.
fn folder_of(rules: &str) -> Option<PathBuf> {
    let file = Path::new(rules);
    if !file.is_file() {
        return None;
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_below_the_folder_of_the_rules_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("rules");
        fs::create_dir_all(below.join("bodies")).unwrap();
        let rules = below.join("r.toml");
        for (path, text) in [(&rules, ""), (&below.join("bodies/503.json"), "{}"), (&folder.path().join("secret"), "s")]
        {
            fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink(folder.path().join("secret"), below.join("link")).unwrap();
        let rules = rules.to_str().unwrap();
        assert_eq!(read_file(rules, "bodies/503.json").unwrap(), "{}");
        assert_eq!(read_file(rules, "./bodies/503.json").unwrap(), "{}");
        for outside in ["../secret", "link", "/etc/hostname", "bodies/../../secret"] {
            assert!(read_file(rules, outside).unwrap_err().0.contains("leads out"), "{outside}");
        }
        assert!(read_file(rules, "none").unwrap_err().0.contains("cannot be read"));
        assert!(read_file("PUT /api/v1/rules", "bodies/503.json").unwrap_err().0.contains("cannot be named here"));
    }
}

//! The rules folder: which of its files are read, in which order, and what they say together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sections::Safety;
use crate::diagnostics::{Node, Problem, Problems, Reader};
use crate::rules::{Origin, RuleSpec, check, read_rules};

/// Reads all rules of a folder, in file-name order and then in file order. A folder that is not there has none.
///
/// # Errors
/// Every mistake in every file, every name that two files use, and every rule that goes beyond what is allowed.
pub fn read_rules_dir(dir: &Path, safety: &Safety) -> Result<Vec<RuleSpec>, Problems> {
    let files = rule_files(dir)
        .map_err(|error| Problems::one(dir.display().to_string(), format!("cannot be listed: {error}"), None))?;
    let mut problems = Problems::default();
    let mut rules: Vec<RuleSpec> = Vec::new();
    for file in files {
        match read_rule_file(&file) {
            Ok(found) => rules.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(used_twice(&rules));
    if problems.is_empty() {
        // Only now: a rule that could not be read is not one that is not there.
        problems.extend(check::couples(&rules));
    }
    problems.extend(safety.ceilings().problems(&rules));
    problems.or(rules)
}

/// Reads one rule file by itself, whatever may be allowed where it will be used.
///
/// # Errors
/// Every mistake in it.
pub fn read_rule_file(path: &Path) -> Result<Vec<RuleSpec>, Problems> {
    let document = Node::from_toml_file(path)?;
    let file = path.display().to_string();
    let problems = RefCell::default();
    let mut top = Reader::new(&file, &document, "", &problems);
    let rules = read_rules(&mut top);
    top.finish();
    problems.into_inner().or(rules)
}

/// Names are unique in the layer that all files make together; within one file the reader has seen to it.
fn used_twice(rules: &[RuleSpec]) -> Problems {
    let mut first: HashMap<&Arc<str>, &Origin> = HashMap::new();
    let mut problems = Problems::default();
    for rule in rules {
        match first.get(&rule.name) {
            Some(taken) => problems.0.push(Problem {
                file: rule.origin.file.to_string(),
                line: rule.origin.line,
                message: format!("rule \"{}\": has the name of the rule in {taken}", rule.name),
                cure: Some("give one of them another name".to_owned()),
            }),
            None => _ = first.insert(&rule.name, &rule.origin),
        }
    }
    problems
}

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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::units::Share;

    fn rule(name: &str) -> String {
        format!("[[rule]]\nname = \"{name}\"\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n")
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn names(rules: &[RuleSpec]) -> Vec<&str> {
        rules.iter().map(|rule| &*rule.name).collect()
    }

    #[test]
    fn files_are_read_in_the_order_of_their_names_and_links_are_followed() {
        let two = format!("{}{}", rule("b1"), rule("b0"));
        let folder = folder(&[("b.toml", &two), ("c.toml", ""), (".hidden.toml", "?"), ("notes.md", "?")]);
        fs::create_dir(folder.path().join("..data")).unwrap();
        fs::create_dir(folder.path().join("folder.toml")).unwrap();
        fs::write(folder.path().join("..data/a.toml"), rule("a")).unwrap();
        symlink("..data/a.toml", folder.path().join("a.toml")).unwrap();
        assert_eq!(names(&read_rules_dir(folder.path(), &Safety::default()).unwrap()), ["a", "b1", "b0"]);
        assert_eq!(names(&read_rules_dir(&folder.path().join("nowhere"), &Safety::default()).unwrap()), [""; 0]);
    }

    #[test]
    fn every_mistake_of_every_file_is_reported_and_names_used_twice_with_both_places() {
        let folder = folder(&[
            ("a.toml", &rule("same")),
            ("b.toml", &format!("{}{}", rule("other"), rule("same"))),
            ("c.toml", "[[rule]]\nname = \"c\"\n"),
            ("d.toml", "[[rules]]\n"),
            ("e.toml", "= 1\n"),
        ]);
        symlink("nowhere", folder.path().join("f.toml")).unwrap();
        let problems = read_rules_dir(folder.path(), &Safety::default()).unwrap_err();
        let places: Vec<String> = problems
            .0
            .iter()
            .map(|p| format!("{}:{}", p.file.rsplit('/').next().unwrap(), p.line.unwrap_or(0)))
            .collect();
        assert_eq!(places, ["c.toml:1", "d.toml:1", "e.toml:1", "f.toml:0", "b.toml:6"], "{problems}");
        let twice = &problems.0[4].message;
        assert!(twice.contains("\"same\"") && twice.ends_with("a.toml:1"), "{twice}");
    }

    #[test]
    fn what_is_allowed_holds_for_the_rules_of_the_folder() {
        let folder = folder(&[("a.toml", &rule("a"))]);
        let half = Share::new(0.5).unwrap();
        let safety = Safety { max_probability: half, require_lease: true, ..Safety::default() };
        assert_eq!(read_rules_dir(folder.path(), &safety).unwrap_err().0.len(), 2);
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_a_mistake() {
        let folder = folder(&[("rules", "")]);
        assert!(read_rules_dir(&folder.path().join("rules"), &Safety::default()).is_err());
    }
}

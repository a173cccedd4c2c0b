//! The parts of the manual that are made from the code: each page must contain them as they are made.
//!
//! `BROWNOUT_BLESS=1 cargo test --lib faults::manual` writes them anew.

use std::fs;
use std::path::Path;

use super::KINDS;
use super::compose::tests::LAW;

/// All kinds in one table, for the README.
fn short_table() -> String {
    let mut table = String::from("| kind | what the client sees |\n|---|---|\n");
    for kind in KINDS {
        table.push_str(&format!("| `{}` | {} |\n", kind.name, cell(kind.summary)));
    }
    table
}

/// A section for each kind.
fn reference() -> String {
    let section = |kind: &super::Kind| {
        format!(
            "### `{}`\n{}.\n\nParameters: {}.\n```toml\n[[rule.fault]]\n{}```\n",
            kind.name,
            capital(kind.summary),
            kind.parameters,
            kind.example
        )
    };
    KINDS.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn law() -> String {
    let row = |(asked, happens): &(&[&str], &str)| format!("| {} | {happens} |\n", asked.join(", "));
    format!("| faults, in composition order | what happens |\n|---|---|\n{}", LAW.iter().map(row).collect::<String>())
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Holds what stands between `<!-- name -->` and `<!-- end of name -->` against what is made.
#[track_caller]
fn check(page: &str, name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name}: generated -->\n"), format!("<!-- end of {name} -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
    let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} has no {end}"));
    if std::env::var_os("BROWNOUT_BLESS").is_some() {
        return fs::write(&path, format!("{before}{begin}{made}{end}{after}")).unwrap();
    }
    assert!(found == made, "{page} is out of date: BROWNOUT_BLESS=1 cargo test --lib faults::manual");
}

/// One test, so that no two of them write a page at once.
#[test]
fn the_pages_say_what_the_code_does() {
    check("docs/faults.md", "kinds", &reference());
    check("docs/faults.md", "law", &law());
    check("README.md", "faults", &short_table());
}

use super::super::fixture;
use super::*;

fn page(result: &ExperimentResult) -> String {
    let mut out = Vec::new();
    Html.write(result, &mut out).expect("a vector takes everything");
    String::from_utf8(out).expect("text")
}

fn embedded(page: &str) -> ExperimentResult {
    let (_, after) = page.split_once(r#"<script type="application/json" id="result">"#).expect("the data's start");
    let (data, _) = after.split_once("</script>").expect("the data's end");
    super::super::json::read(data).expect("a result")
}

#[test]
fn the_page_carries_the_whole_result() {
    for (name, result) in fixture::all() {
        assert_eq!(embedded(&page(&result)), result, "{name}");
    }
}

#[test]
fn every_name_in_the_template_has_a_value() {
    for name in TEMPLATE.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name) {
        let source = include_str!("../html.rs");
        assert!(source.contains(&format!("(\"{name}\", ")), "{name}");
    }
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let page = page(&fixture::recovered_late());
    let markup = page.split("<script").next().expect("a head");
    for forbidden in ["src=", "<link", "@import", "url(http", "url(//"] {
        assert!(!markup.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("default-src 'none'"), "the page forbids it to itself");
}

#[test]
fn names_from_files_stay_text() {
    let result = fixture::awkward_names();
    let page = page(&result);
    assert!(!page.contains("<b>an-identifier") && !page.contains("<i>an-identifier"));
    assert_eq!(page.matches("</script>").count(), 2, "the data's and the script's own");
    assert_eq!(page.matches("<script").count(), 2);
}

#[test]
fn tags_are_closed_in_the_order_in_which_they_were_opened() {
    for (name, result) in fixture::all() {
        let page = page(&result);
        let (body, _) = page.split_once("<script").expect("a script");
        let (_, body) = body.split_once("<body>").expect("a body");
        let mut open: Vec<&str> = Vec::new();
        for tag in body.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
            let word = tag.split([' ', '/']).next().unwrap_or_default();
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed), "{name}: </{closed}>");
            } else if !tag.ends_with('/') && !["br", "meta", "i/"].contains(&word) {
                open.push(word);
            }
        }
        assert!(open.is_empty(), "{name}: {open:?}");
    }
}

#[test]
fn a_single_run_has_no_overview_and_several_are_linked() {
    assert!(!page(&fixture::recovered_late()).contains("href=\"#run-1\""));
    let page = page(&fixture::repeated());
    for run in 1..=3 {
        assert!(page.contains(&format!("href=\"#run-{run}\"")) && page.contains(&format!("id=\"run-{run}\"")));
    }
}

#[test]
fn a_result_without_runs_is_still_a_page() {
    let mut result = fixture::interrupted();
    result.runs.clear();
    assert!(page(&result).contains("No run was made"));
    result = fixture::interrupted();
    result.runs[0].windows.clear();
    assert!(page(&result).contains("There are no windows to draw"));
}

/// The body without styles, data and script, one block a line: what a reviewer should see change.
#[test]
fn a_withstood_fault_makes_this_page() {
    let page = page(&fixture::withstood());
    let (_, body) = page.split_once("<body>").expect("a body");
    let (body, _) = body.split_once("<details>").expect("the windows");
    insta::assert_snapshot!(body.replace("><", ">\n<"));
}

/// With BROWNOUT_REPORTS=folder the pages stay there, to be looked at in a browser.
#[test]
fn every_page_is_written_whole() {
    let passing = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os("BROWNOUT_REPORTS").map_or_else(|| passing.path().to_owned(), Into::into);
    for (name, result) in fixture::all() {
        let path = folder.join(format!("{name}.html"));
        super::super::write_file(&path, |out| Html.write(&result, out)).expect("written");
        assert!(std::fs::read_to_string(&path).expect("read").trim_end().ends_with("</html>"), "{name}");
    }
}

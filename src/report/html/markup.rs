//! Text into HTML: escaping, filling a template, and the result as data that a page can carry.

use std::fmt;

use crate::results::ExperimentResult;

/// A text that is shown as it is, in content or in a quoted attribute.
pub(super) struct Text<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.as_ref().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // A browser would show a box, or nothing.
                c if c.is_control() => f.write_str("\u{fffd}")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Puts each `{{name}}` of a template in its place, in one pass: what is put in is never read again.
/// A name without a value becomes nothing; a test holds the template against the page's names.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(template.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let Some((name, after)) = after.split_once("}}") else { break };
        page.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = after;
    }
    page.push_str(rest);
    page
}

/// The result as JSON that no `</script>` or `<!--` in a name can end.
pub(super) fn data(result: &ExperimentResult) -> serde_json::Result<String> {
    Ok(serde_json::to_string(result)?.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_is_shown_and_not_read() {
        assert_eq!(Text("<a b='c\"'>&\u{1b}").to_string(), "&lt;a b=&#39;c&quot;&#39;&gt;&amp;\u{fffd}");
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        let values = [("a", "{{b}}"), ("b", "no")];
        assert_eq!(fill("<{{a}}>{{missing}}<{{b}}>", &values), "<{{b}}><no>");
    }
}

//! Lines of at most 80 columns: headings, rows, wrapped text, and colour if it is wanted.

use std::io::{self, Write};

/// The width that every line keeps to, colour codes not counted.
pub(in crate::report) const WIDTH: usize = 80;

/// A space at which no line is broken.
pub(in crate::report) const NO_BREAK: char = '\u{a0}';

/// How a piece of text stands out where colour is on. It never says anything that the words do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Style {
    Bold,
    Dim,
    Good,
    Bad,
    Unsure,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "1;32",
            Self::Bad => "1;31",
            Self::Unsure => "1;33",
        }
    }
}

/// Lays text out on a writer.
pub(in crate::report) struct Page<'a> {
    out: &'a mut dyn Write,
    colour: bool,
}

impl<'a> Page<'a> {
    pub(in crate::report) fn new(out: &'a mut dyn Write, colour: bool) -> Self {
        Self { out, colour }
    }

    /// The text with the codes of its style around it, or as it is.
    pub(in crate::report) fn paint(&self, style: Style, text: &str) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
    }

    /// A line as it is: the caller has kept it within [`WIDTH`].
    pub(in crate::report) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", text.trim_end())
    }

    pub(in crate::report) fn blank(&mut self) -> io::Result<()> {
        self.line("")
    }

    /// A section's name, with a remark beside it.
    pub(in crate::report) fn heading(&mut self, name: &str, remark: &str) -> io::Result<()> {
        self.blank()?;
        let remark = clip(remark, WIDTH - 4 - name.chars().count());
        let mut line = format!("  {}", self.paint(Style::Bold, name));
        if !remark.is_empty() {
            line = format!("{line}  {}", self.paint(Style::Dim, &remark));
        }
        self.line(&line)
    }

    /// A name, a value and what it means; the meaning wraps under itself.
    pub(in crate::report) fn row(&mut self, label: &str, value: &str, note: &str) -> io::Result<()> {
        let head = format!("    {label:<20}{value:>9}   ");
        self.hanging(&head, note, Style::Dim)
    }

    /// Text behind a first piece; further lines stand under the text's first one.
    pub(in crate::report) fn hanging(&mut self, head: &str, text: &str, style: Style) -> io::Result<()> {
        let indent = head.chars().count().min(WIDTH / 2);
        let mut first = true;
        for part in wrap(text, WIDTH - indent) {
            let lead = if first { head.to_owned() } else { " ".repeat(indent) };
            let line = format!("{lead}{}", self.paint(style, &part));
            self.line(&line)?;
            first = false;
        }
        Ok(())
    }

    /// Text that wraps at an indent.
    pub(in crate::report) fn text(&mut self, indent: usize, text: &str) -> io::Result<()> {
        for part in wrap(text, WIDTH - indent) {
            self.line(&format!("{}{part}", " ".repeat(indent)))?;
        }
        Ok(())
    }
}

/// A text cut to at most this many columns, with a sign that it was.
pub(in crate::report) fn clip(text: &str, columns: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= columns {
        return text;
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Control characters would move the cursor or change colours: a name from a file must not.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Breaks a text between words into lines of at most `columns`; a longer word is broken inside. At least one line.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in printable(text).split(' ').filter(|word| !word.is_empty()) {
        let mut word: Vec<char> = word.chars().collect();
        let used = lines.last().map_or(0, |line| line.chars().count());
        let room = columns.saturating_sub(used + usize::from(used > 0));
        if used > 0 && word.len() > room {
            lines.push(String::new());
        }
        while word.len() > columns {
            let rest = word.split_off(columns);
            append(&mut lines, &word);
            lines.push(String::new());
            word = rest;
        }
        append(&mut lines, &word);
    }
    lines.iter().map(|line| line.replace(NO_BREAK, " ")).collect()
}

fn append(lines: &mut [String], word: &[char]) {
    if let Some(line) = lines.last_mut() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_while_they_fit() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("a\u{1b}[2J", 10), ["a?[2J"]);
    }

    #[test]
    fn a_clipped_text_says_so() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("abcdefg", 6), "abcde…");
    }

    #[test]
    fn no_text_breaks_out_of_the_page() {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, false);
        let long = "x".repeat(300);
        page.row(&long[..20], "1", &long).expect("a vector takes everything");
        page.hanging(&long[..70], &long, Style::Bad).expect("a vector takes everything");
        page.heading("Name", &long).expect("a vector takes everything");
        for line in String::from_utf8(out).expect("text").lines() {
            assert!(line.chars().count() <= WIDTH || line.starts_with('x'), "{line}");
        }
    }
}

//! Tables and lines of name and value, as wide as the terminal they are shown on: nothing is cut, and what
//! does not fit goes on below. Where there is no terminal (a pipe, a file) every row is one line, whatever
//! its length: programs read that.

use std::io::{IsTerminal, stdout};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use unicode_width::UnicodeWidthStr;

use crate::output::{NOTHING_KNOWN, terminal_safe};

/// How far what belongs to the line above is moved in.
const INDENT: usize = 2;
/// Narrowest column that text is wrapped in beside its name; below that it goes under the name.
const COLUMN_MIN: usize = 20;

/// A table, one line for each row; empty cells say that nothing is known. On a terminal that is too narrow
/// for it, each row is a paragraph that begins with its first cell and leaves out what is not known.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    table_within(columns(), header, rows)
}

/// Lines of name and value.
pub(crate) fn lines(rows: &[(&str, String)]) -> String {
    lines_within(columns(), rows)
}

/// Columns of the terminal that stdout is. `COLUMNS` has the last word, as elsewhere.
fn columns() -> Option<usize> {
    if !stdout().is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || rustix::termios::tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
    said.or_else(asked).filter(|columns| *columns > 0)
}

fn table_within<const N: usize>(
    columns: Option<usize>,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|text| cell(&text))).collect();
    let text = plain_table(header, &rows);
    match columns {
        Some(columns) if text.lines().any(|line| line.width() > columns) => {
            paragraphs(columns, header, &rows)
        }
        _ => text,
    }
}

fn plain_table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}

fn paragraphs<const N: usize>(columns: usize, header: [&str; N], rows: &[[String; N]]) -> String {
    let paragraph = |row: &[String; N]| {
        let mut cells = header.iter().zip(row);
        let first = cells.next().map_or("", |(_, first)| first);
        let known = cells.filter(|(_, value)| *value != NOTHING_KNOWN);
        let rest: Vec<_> = known.map(|(name, value)| format!("{} {value}", name.to_lowercase())).collect();
        let rest = wrap(&rest.join(", "), columns.saturating_sub(INDENT));
        let rest: Vec<_> = rest.iter().map(|line| format!("{:INDENT$}{line}\n", "")).collect();
        format!("{first}\n{}", rest.concat())
    };
    rows.iter().map(paragraph).collect()
}

fn lines_within(columns: Option<usize>, rows: &[(&str, String)]) -> String {
    let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + INDENT;
    let line = |(name, value): &(&str, String)| {
        let value = terminal_safe(value);
        let Some(columns) = columns.filter(|columns| names + value.width() > *columns) else {
            return format!("{name:names$}{value}\n");
        };
        let (begin, indent) = match columns.saturating_sub(names) {
            COLUMN_MIN.. => (format!("{name:names$}"), names),
            _ => (format!("{name}\n{:INDENT$}", ""), INDENT),
        };
        let wrapped = wrap(&value, columns.saturating_sub(indent));
        begin + &wrapped.join(&format!("\n{:indent$}", "")) + "\n"
    };
    rows.iter().map(line).collect()
}

fn cell(text: &str) -> String {
    let text = terminal_safe(text);
    if text.is_empty() { NOTHING_KNOWN.to_owned() } else { text }
}

/// Lines of at most that width, broken at blanks. A word that is longer stays whole: it is to be copied.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    const HEADER: [&str; 3] = ["SESSION", "STATE", "STARTED (UTC)"];

    fn rows() -> [[String; 3]; 2] {
        let long = format!("mahavishnu-{}", "x".repeat(60));
        [
            [long, "ended".to_owned(), "2026-11-20 09:19:52".to_owned()],
            ["b", "", "\u{1b}[2J"].map(str::to_owned),
        ]
    }

    #[test]
    fn without_a_terminal_every_row_is_one_line_with_every_value_in_full() {
        let text = table_within(None, HEADER, rows().into_iter());
        assert_eq!(text.lines().count(), 3);
        assert!(rows().iter().flatten().all(|value| text.contains(&terminal_safe(value))), "{text}");
        let line = lines_within(None, &[("name", "word ".repeat(100))]);
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_terminal_that_is_wide_enough_shows_the_table_as_it_is() {
        let text = table_within(None, HEADER, rows().into_iter());
        let widest = text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
        assert_eq!(table_within(Some(widest), HEADER, rows().into_iter()), text);
        assert_ne!(table_within(Some(widest - 1), HEADER, rows().into_iter()), text);
    }

    #[test]
    fn a_narrow_terminal_gets_a_paragraph_for_each_row_and_nothing_is_lost() {
        let text = table_within(Some(40), HEADER, rows().into_iter());
        let lines: Vec<&str> = text.lines().collect();
        let [long, ..] = &rows();
        assert_eq!(lines.first(), Some(&long[0].as_str()), "a name stays whole");
        assert_eq!(
            lines.get(1..),
            Some(&["  state ended, started (utc) 2026-11-20", "  09:19:52", "b", "  started (utc) [2J"][..])
        );
    }

    #[test]
    fn long_values_are_wrapped_beside_their_name_or_below_it() {
        let rows = [("server", "one two three four five six".to_owned()), ("b", "c".to_owned())];
        let narrow = lines_within(Some(30), &rows);
        assert_eq!(narrow, "server  one two three four\n        five six\nb       c\n");
        assert_eq!(lines_within(Some(20), &rows), "server\n  one two three four\n  five six\nb       c\n");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(wrap("\u{6f22}\u{5b57} \u{6f22}\u{5b57}", 8), ["\u{6f22}\u{5b57}", "\u{6f22}\u{5b57}"]);
        assert_eq!(wrap("\u{6f22}\u{5b57} \u{6f22}\u{5b57}", 9).len(), 1);
        assert_eq!(wrap("", 5), [""]);
    }
}

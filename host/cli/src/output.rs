//! What goes to the terminal or into a pipe. What comes from servers is untrusted: nothing shown may
//! steer the terminal it is shown on.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::failure::Failure;
pub(crate) use crate::layout::{lines, table};
use crate::session::{Delivery, Record};

/// What stands where nothing is known.
pub(crate) const NOTHING_KNOWN: &str = "-";

/// Writes lines to stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes JSON to stdout, indented, with a newline at the end. Characters that could steer a terminal
/// are written as `\u` escapes: the value stays what it is.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&json(value)?)
}

/// JSON on a line of its own.
pub(crate) fn json_line(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| Failure::Failed(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, SafeFormatter(PrettyFormatter::new()));
    value.serialize(&mut serializer).map_err(|error| Failure::Failed(error.to_string()))?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(|error| Failure::Failed(error.to_string()))
}

/// The text without anything that could steer a terminal: controls and what reorders or hides text.
pub(crate) fn terminal_safe(text: &str) -> String {
    text.chars().filter(|c| !is_steering(*c)).collect()
}

/// C0, DEL and C1 controls, line and paragraph separators, bidirectional and invisible formatting
/// (UAX #9, CVE-2021-42574), tags.
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Sessions as a table, one line each; empty for none.
pub(crate) fn sessions_table(records: &[Record]) -> String {
    let header = [
        "SESSION",
        "STATE",
        "COMPONENT",
        "SHELL",
        "USER",
        "HOST",
        "PID",
        "STARTED (UTC)",
        "LASTED",
        "EXIT",
        "DELIVERY",
    ];
    let rows = records.iter().map(|record| {
        [
            cell(record.session_id.as_ref().or(record.correlation_id.as_ref())),
            cell(record.state.as_ref()),
            cell(record.component_name.as_ref()),
            cell(record.shell_type.as_ref()),
            cell(record.username.as_ref()),
            cell(record.hostname.as_ref()),
            number(record.pid),
            record.start_time.as_deref().map_or_else(|| NOTHING_KNOWN.to_owned(), short_time),
            record.duration_seconds.map_or_else(|| NOTHING_KNOWN.to_owned(), duration),
            number(record.exit_status),
            delivery(record.delivery).to_owned(),
        ]
    });
    table(header, rows)
}

/// One session as lines of name and value.
pub(crate) fn session_lines(record: &Record) -> String {
    let text = |value: &Option<String>| cell(value.as_ref());
    let rows = [
        ("session", text(&record.session_id)),
        ("type", text(&record.session_type)),
        ("state", text(&record.state)),
        ("component", text(&record.component_name)),
        ("shell", text(&record.shell_type)),
        ("started", text(&record.start_time)),
        ("ended", text(&record.end_time)),
        ("lasted", record.duration_seconds.map_or_else(|| NOTHING_KNOWN.to_owned(), duration)),
        ("exit status", number(record.exit_status)),
        ("exit reason", text(&record.exit_reason)),
        ("pid", number(record.pid)),
        ("user", text(&record.username)),
        ("host", text(&record.hostname)),
        ("platform", text(&record.platform)),
        ("python", text(&record.python_version)),
        ("directory", text(&record.working_directory)),
        ("metadata", terminal_safe(&record.metadata.to_string())),
        ("key", text(&record.correlation_id)),
        ("event", text(&record.event_id)),
        ("delivery", delivery(record.delivery).to_owned()),
    ];
    lines(&rows)
}

/// RFC 3339 in UTC of milliseconds since 1970.
pub(crate) fn time_of_ms(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| NOTHING_KNOWN.to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn cell(value: Option<&String>) -> String {
    let text = value.map(|value| terminal_safe(value)).filter(|text| !text.is_empty());
    text.unwrap_or_else(|| NOTHING_KNOWN.to_owned())
}

fn number(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NOTHING_KNOWN.to_owned(), |value| value.to_string())
}

fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Delivered => "delivered",
        Delivery::Pending => "pending",
    }
}

/// Such as `1 event`, `2 events`.
pub(crate) fn several(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// To the second, in UTC.
fn short_time(time: &str) -> String {
    match DateTime::parse_from_rfc3339(time) {
        Ok(time) => time.to_utc().format("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => NOTHING_KNOWN.to_owned(),
    }
}

/// Such as `0.42 s`, `12 s`, `3 min 05 s`, `2 h 00 min`, `5 d 01 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.2} s");
    }
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// serde_json's pretty form, with every steering character escaped.
struct SafeFormatter(PrettyFormatter<'static>);

impl Formatter for SafeFormatter {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }
    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }
    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }
    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }
    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_steering(*c)) {
            let (plain, from) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = from.get(c.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_cannot_steer_the_terminal() {
        let hostile = "a\u{1b}[2Jb\u{9b}31mc\u{202e}d\ne\u{e0041}";
        let record = Record {
            session_id: Some(hostile.to_owned()),
            state: Some("\u{7}".to_owned()),
            ..Record::default()
        };
        for text in [sessions_table(std::slice::from_ref(&record)), session_lines(&record)] {
            assert!(!text.chars().any(|c| is_steering(c) && c != '\n'), "{text:?}");
            assert!(text.contains("a[2Jb31mcde"), "{text:?}");
        }
    }

    #[test]
    fn json_escapes_what_could_steer_the_terminal_and_stays_the_same_value() {
        let hostile = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0041}\"\\ü";
        let text = json(&[hostile]).unwrap();
        assert!(!text.chars().any(|c| is_steering(c) && c != '\n'), "{text:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [hostile]);
    }

    #[test]
    fn an_empty_list_is_an_empty_array() {
        assert_eq!(json(&Vec::<u8>::new()).unwrap(), "[]\n");
    }

    #[test]
    fn durations_are_told_in_two_units() {
        let told: Vec<_> = [0.004, 9.99, 59.9, 185.0, 7200.0, 435_600.0].map(duration).into();
        assert_eq!(told, ["0.00 s", "9.99 s", "59 s", "3 min 05 s", "2 h 00 min", "5 d 01 h"]);
        assert_eq!(duration(f64::NAN), "0 s");
    }

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(short_time("2026-01-01T01:02:03.5+01:00"), "2026-01-01 00:02:03");
        assert_eq!(short_time("yesterday"), NOTHING_KNOWN);
        assert_eq!(time_of_ms(0), "1970-01-01T00:00:00Z");
    }
}

//! What a stream says is not to be trusted: here it becomes safe to look at. And times of day.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether a terminal would do something about this character, instead of showing it.
fn acts(char: char) -> bool {
    // The controls, and what changes the direction of the text around it.
    (char.is_control() && char != '\t')
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with everything escaped that could drive a terminal, line breaks included.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if acts(char) {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
    out.into()
}

/// The same for JSON, which stays JSON: what is left to escape there can only be inside its strings.
pub(super) fn shown_json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if acts(char) {
            // All of them lie in the first plane, so one unit of UTF-16 says it. Writing to a string does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        } else {
            out.push(char);
        }
    }
    out.into()
}

/// The start of a text, for a message: one line of at most so many characters.
pub(super) fn brief(text: &str, limit: usize) -> String {
    let text = text.trim();
    let mut out: String = text.chars().take(limit).collect();
    if out.len() < text.len() {
        out.push_str("...");
    }
    shown(&out).into_owned()
}

/// The time of day, UTC.
pub(super) fn time_of_day(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

/// A number of milliseconds as people say it.
pub(super) fn duration(milliseconds: u64) -> String {
    if milliseconds < 1000 {
        return format!("{milliseconds} ms");
    }
    format!("{:.1} s", Duration::from_millis(milliseconds).as_secs_f64())
}

/// `1 event`, `2 events`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

//! What is safe to show, and how it is worded.

use std::time::{Duration, UNIX_EPOCH};

use super::super::text::{brief, count, duration, shown, shown_json, time_of_day};

#[test]
fn nothing_drives_the_terminal() {
    for (text, safe) in [
        ("plain, ünïcode 🙂\ttab", "plain, ünïcode 🙂\ttab"),
        ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
        ("a\r\nb\x07\x7f", "a\\r\\nb\\u{7}\\u{7f}"),
        ("\u{9b}31m", "\\u{9b}31m"),
        ("\u{202e}txt\u{2066}", "\\u{202e}txt\\u{2066}"),
    ] {
        assert_eq!(shown(text), safe);
    }
    let line = serde_json::json!({ "data": "\x1b\u{9b}\u{7f}\u{202e}" }).to_string();
    let safe = shown_json(&line);
    assert_eq!(safe, "{\"data\":\"\\u001b\\u009b\\u007f\\u202e\"}");
    let [before, after]: [serde_json::Value; 2] =
        [&line, &*safe].map(|text| serde_json::from_str(text).unwrap());
    assert_eq!(before, after);
}

#[test]
fn words() {
    assert_eq!(brief("  short  ", 10), "short");
    assert_eq!(brief("ünïcödé\nmore", 9), "ünïcödé\\nm...");
    assert_eq!(
        [duration(0), duration(999), duration(1500)],
        ["0 ms", "999 ms", "1.5 s"]
    );
    assert_eq!(
        [count(1, "event"), count(0, "event")],
        ["1 event", "0 events"]
    );
    assert_eq!(
        time_of_day(UNIX_EPOCH + Duration::from_millis(90_061_007)),
        "01:01:01.007Z"
    );
}

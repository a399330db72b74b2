//! Findings, printed: for people, or as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::facts::{Facts, Outcome};
use super::findings::{Finding, Verdict};
use crate::cli::console::{Console, Style};
use crate::cli::text::{count, shown, shown_json};

/// The width of a line of advice.
const WIDTH: usize = 100;
/// Where advice begins.
const INDENT: usize = 30;

const fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Ok => Style::Good,
        Verdict::Note => Style::Warning,
        Verdict::Problem => Style::Alarm,
        Verdict::Unknown => Style::Dim,
    }
}

/// The report for people.
pub(in crate::cli) fn readable(
    facts: &Facts,
    findings: &[Finding],
    console: &Console<'_>,
) -> String {
    let mut out = format!("{}\n\n", shown(&facts.url));
    for finding in findings {
        // What is painted has bytes that take no room: pad before.
        let verdict = format!("{:<8}", finding.verdict.as_str());
        let check = format!("{:<18}", finding.check);
        let lines = wrapped(&finding.found);
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "  {} {} ",
            console.paint(style(finding.verdict), verdict),
            console.paint(Style::Name, check)
        );
        out.push_str(&lines.join(&format!("\n{:INDENT$}", "")));
        out.push('\n');
        for advice in &finding.advice {
            let lines = wrapped(advice);
            let _ = writeln!(
                out,
                "{:>INDENT$}{}",
                "-> ",
                lines.join(&format!("\n{:INDENT$}", ""))
            );
        }
    }
    out.push('\n');
    out.push_str(&summary(findings, console));
    out
}

fn summary(findings: &[Finding], console: &Console<'_>) -> String {
    let number = |verdict| {
        let found = findings.iter().filter(|finding| finding.verdict == verdict);
        found.count() as u64
    };
    let (problems, notes) = (number(Verdict::Problem), number(Verdict::Note));
    let text = match (problems, notes) {
        (0, 0) => "no problem was found".into(),
        (0, notes) => format!("no problem was found; {}", count(notes, "note")),
        (problems, 0) => count(problems, "problem"),
        (problems, notes) => format!("{}, {}", count(problems, "problem"), count(notes, "note")),
    };
    let style = if problems > 0 {
        Style::Alarm
    } else {
        Style::Good
    };
    format!("{}\n", console.paint(style, text))
}

/// The report for programs: one object, on one line.
pub(in crate::cli) fn json(facts: &Facts, findings: &[Finding], console: &Console<'_>) -> String {
    let listed: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check,
                "verdict": finding.verdict.as_str(),
                "found": finding.found,
                "advice": finding.advice,
            })
        })
        .collect();
    let report = json!({
        "url": facts.url,
        "healthy": is_healthy(findings),
        "connected": !matches!(facts.outcome, Outcome::NoConnection(_)),
        "findings": listed,
    });
    let line = report.to_string();
    if console.shows_to_a_person() {
        format!("{}\n", shown_json(&line))
    } else {
        format!("{line}\n")
    }
}

/// Whether there is no problem.
pub(in crate::cli) fn is_healthy(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Problem)
}

/// The text in lines that fit.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - INDENT {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

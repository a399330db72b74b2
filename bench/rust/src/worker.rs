//! The protocol of all workers: a ready line, then one line of JSON per request.

use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Why a request failed, in words for the person who runs the benchmark.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Says which version is measured, then answers requests until stdin ends.
pub fn serve<R: DeserializeOwned>(
    version: &str,
    mut answer: impl FnMut(R) -> Result<Value, Failure>,
) -> io::Result<()> {
    say(&json!({ "version": version }))?;
    for line in io::stdin().lock().lines() {
        let reply = serde_json::from_str(&line?)
            .map_err(Failure::from)
            .and_then(&mut answer)
            .unwrap_or_else(|failure| json!({ "error": failure.to_string() }));
        say(&reply)?;
    }
    Ok(())
}

fn say(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

/// The version of a dependency as this package's lock file has it.
pub fn locked_version(name: &str) -> String {
    let wanted = format!("name = \"{name}\"");
    include_str!("../Cargo.lock")
        .lines()
        .skip_while(|line| *line != wanted)
        .find_map(|line| line.strip_prefix("version = "))
        .map_or_else(|| "?".into(), |version| version.trim_matches('"').into())
}

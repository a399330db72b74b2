//! Topic patterns, as NATS writes them: tokens between dots, `*` for exactly one token, `>` for one or more at the end.

use crate::error::{Error, Result};

/// The longest topic name, in bytes.
pub(crate) const MAX_NAME: usize = 256;

/// Checks a topic name: 1 to 256 bytes without control characters.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::invalid(
            "topic",
            format!(
                "a topic name has 1 to {MAX_NAME} bytes, this one has {}",
                name.len()
            ),
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(
            "topic",
            "a topic name has no control characters: remove line breaks, tabs and NUL",
        ));
    }
    Ok(())
}

/// Checks a pattern.
pub(crate) fn check_pattern(pattern: &str) -> Result<()> {
    check_name(pattern)?;
    let mut tokens = pattern.split('.').peekable();
    while let Some(token) = tokens.next() {
        let wrong = match token {
            "" => Some("has an empty token: remove the doubled, leading or trailing dot"),
            ">" if tokens.peek().is_some() => {
                Some("has `>` before its end: `>` stands for all that follows")
            }
            "*" | ">" => None,
            _ if token.contains(['*', '>']) => {
                Some("has a wildcard inside a token: `*` and `>` each stand for whole tokens")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(Error::invalid(
                "topic",
                format!("the pattern {pattern:?} {wrong}"),
            ));
        }
    }
    Ok(())
}

/// Whether a topic name matches a pattern.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut names = name.split('.');
    for token in pattern.split('.') {
        match (token, names.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(name)) if token == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("orders.*", "orders.1", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.1.lines", false),
            ("orders.>", "orders.1.lines", true),
            ("orders.>", "orders", false),
            ("*.lines", "1.lines", true),
            (">", "anything.at.all", true),
            ("*", "one", true),
            ("*", "one.two", false),
            ("exact", "exact", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        for bad in ["", "a..b", ".a", "a.", ">.a", "a.b*", "a.>.b", "a\n"] {
            assert!(check_pattern(bad).is_err(), "{bad:?}");
        }
    }
}

//! `--strace`: trace lines on standard error.

use std::io::{self, Write};

use sentry::trace::TraceSink;

/// Writes each line in one write(2), so that lines of several threads do not mix.
pub(super) struct Stderr;

impl TraceSink for Stderr {
    fn line(&self, line: &str) {
        let mut text = String::with_capacity(line.len().saturating_add(1));
        text.push_str(line);
        text.push('\n');
        // Who closes stderr does not want to see the lines.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

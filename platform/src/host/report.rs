//! Last words: a line on standard error from places that may neither allocate
//! nor lock, such as a signal handler.

use std::fmt::{self, Write};

use super::{HostRule, rule};

/// Rules of this file.
pub(super) const RULES: &[HostRule] = &[rule!(
    SYS_write,
    &[],
    "log, results and crash reports go to descriptors opened at start",
)];

/// Longest line; what is beyond is cut off.
const MAX: usize = 512;

struct Line {
    bytes: [u8; MAX],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for &byte in s.as_bytes() {
            let Some(slot) = self.bytes.get_mut(self.len) else {
                return Err(fmt::Error);
            };
            *slot = byte;
            self.len = self.len.saturating_add(1);
        }
        Ok(())
    }
}

/// Writes one line to standard error in one write; async-signal-safe, never fails.
pub fn line(text: fmt::Arguments<'_>) {
    let mut line = Line {
        bytes: [0; MAX],
        len: 0,
    };
    let _ = line.write_fmt(text);
    let end = line.len.min(MAX.saturating_sub(1));
    if let Some(slot) = line.bytes.get_mut(end) {
        *slot = b'\n';
    }
    let all = line.bytes.get(..=end).unwrap_or_default();
    // SAFETY: [buffer] pointer and length are one live slice's.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, all.as_ptr().cast(), all.len()) };
}

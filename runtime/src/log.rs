//! `--debug-log`: what was set up for a sandbox, in plain words.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::Failure;

/// Longest line in bytes; one write each.
const LINE_MAX: usize = 4096;

/// A log that is written line by line, or nowhere.
#[derive(Debug, Default)]
pub(crate) struct Log {
    file: Option<Mutex<File>>,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    /// What was done.
    Info,
    /// What makes the sandbox weaker or smaller than asked for.
    Warning,
}

impl Log {
    /// A new file for `command` in `directory`, which is made if missing. To be called
    /// before the sentry's root is empty.
    pub(crate) fn create(directory: &Path, command: &str) -> Result<Self, Failure> {
        let failed = |what: &str, error: std::io::Error| {
            Failure::own(format!(
                "cannot {what} the debug log in `{}`: {error}; name a directory you can write to",
                directory.display()
            ))
        };
        std::fs::create_dir_all(directory)
            .map_err(|error| failed("make a directory for", error))?;
        let name = format!("ringfence.{}.{}.log", std::process::id(), command);
        let file = File::options()
            .append(true)
            .create(true)
            .open(directory.join(name))
            .map_err(|error| failed("open", error))?;
        Ok(Self {
            file: Some(Mutex::new(file)),
        })
    }

    /// Writes one line. A log that cannot be written is no reason to stop.
    pub(crate) fn write(&self, level: Level, text: &str) {
        let Some(file) = &self.file else {
            return;
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let level = match level {
            Level::Info => "info",
            Level::Warning => "warning",
        };
        let mut line = format!("{}.{:06} {level}: ", now.as_secs(), now.subsec_micros());
        // One line, whatever the names in it hold.
        for character in text.chars().take(LINE_MAX) {
            if character.is_control() {
                line.extend(character.escape_default());
            } else {
                line.push(character);
            }
        }
        // Room for the line's end.
        line.truncate(line.floor_char_boundary(LINE_MAX - 1));
        line.push('\n');
        if let Ok(mut file) = file.lock() {
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// What was done.
    pub(crate) fn info(&self, text: &str) {
        self.write(Level::Info, text);
    }

    /// What makes the sandbox weaker or smaller than asked for.
    pub(crate) fn warn(&self, text: &str) {
        self.write(Level::Warning, text);
    }
}

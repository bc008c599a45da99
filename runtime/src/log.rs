//! What is told of a verb's work: `--debug-log` (what was set up, in plain words) and `--log`
//! (what clients of a container runtime read).

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::Failure;
use crate::container::{now, rfc3339};

/// Longest line in bytes; one write each.
const LINE_MAX: usize = 4096;

/// A log that is written line by line, or nowhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    file: Option<Arc<Mutex<File>>>,
    client: Option<Arc<ClientLog>>,
    /// Warnings are for the person at the terminal, too.
    spoken: bool,
}

/// The file of `--log`.
#[derive(Debug)]
struct ClientLog {
    file: Mutex<File>,
    format: Format,
    /// Whether details are told.
    debug: bool,
}

/// `--log-format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line of `key=value`.
    #[default]
    Text,
    /// A JSON object on a line.
    Json,
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
            file: Some(Arc::new(Mutex::new(file))),
            ..Self::default()
        })
    }

    /// Tells a client as well: in the file at `path`, or else on stderr.
    pub(crate) fn and_client(
        mut self,
        path: Option<&Path>,
        format: Format,
        debug: bool,
    ) -> Result<Self, Failure> {
        let Some(path) = path else {
            self.spoken = true;
            return Ok(self);
        };
        let mut options = File::options();
        let file = options
            .append(true)
            .create(true)
            .open(path)
            .map_err(|error| {
                Failure::own(format!("cannot open the log `{}`: {error}", path.display()))
            })?;
        self.client = Some(Arc::new(ClientLog {
            file: Mutex::new(file),
            format,
            debug,
        }));
        Ok(self)
    }

    /// The same for the sandbox's process, whose stderr is the program's.
    pub(crate) fn in_sandbox(&self) -> Self {
        Self {
            spoken: false,
            ..self.clone()
        }
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
        self.tell("debug", text);
    }

    /// What makes the sandbox weaker or smaller than asked for.
    pub(crate) fn warn(&self, text: &str) {
        self.write(Level::Warning, text);
        self.tell("warning", text);
        if self.spoken {
            crate::cli::say(&format!("warning: {text}"));
        }
    }

    /// Why a verb failed.
    pub(crate) fn error(&self, text: &str) {
        self.write(Level::Warning, text);
        self.tell("error", text);
    }

    /// A line for the client. A log that cannot be written is no reason to stop.
    fn tell(&self, level: &str, text: &str) {
        let Some(client) = &self.client else {
            return;
        };
        if level == "debug" && !client.debug {
            return;
        }
        let text: String = text.chars().take(LINE_MAX).collect();
        let time = rfc3339(now());
        let line = match client.format {
            Format::Json => format!(
                "{}\n",
                serde_json::json!({"level": level, "msg": text, "time": time})
            ),
            Format::Text => format!("time=\"{time}\" level={level} msg={text:?}\n"),
        };
        if let Ok(mut file) = client.file.lock() {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

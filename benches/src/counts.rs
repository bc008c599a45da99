//! How often a loop's round needs the sentry, and the sentry its stubs.

use std::fs;
use std::path::Path;

use crate::programs::{nanoseconds, with_rounds};
use crate::{Measured, Nullify, Programs};

/// Events of one round.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Counts {
    /// System calls.
    pub calls: f64,
    /// Page faults that the host's kernel could not answer.
    pub faults: f64,
    /// Requests to stub processes: batches of mappings, threads and processes made.
    pub requests: f64,
}

impl Counts {
    /// The least a round can cost on the ptrace platform: what it costs natively, and the floors
    /// of what it needs beside; all in nanoseconds.
    #[must_use]
    pub fn floor(&self, native: f64, call: f64, mapping: f64) -> f64 {
        native + (self.calls + self.faults) * call + self.requests * mapping
    }

    /// Counts a loop's events: the difference between two runs, of which one has twice the rounds.
    pub fn of(programs: &Programs, what: &[&str], rounds: u32) -> Measured<Self> {
        let few = total(programs, what, rounds)?;
        let many = total(programs, what, rounds.saturating_mul(2))?;
        let each = |few: f64, many: f64| (many - few).max(0.0) / f64::from(rounds);
        Ok(Self {
            calls: each(few.calls, many.calls),
            faults: each(few.faults, many.faults),
            requests: each(few.requests, many.requests),
        })
    }
}

/// The events of a whole sandbox.
fn total(programs: &Programs, what: &[&str], rounds: u32) -> Measured<Counts> {
    let name = format!("ringfence-benches-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory)?;
    let mut command = programs.sandbox(Nullify::Sysemu);
    command.arg("--debug-log").arg(&directory);
    command.arg("--").arg(&programs.measure);
    let run = nanoseconds(with_rounds(&mut command, what, rounds));
    let counts = run.and_then(|_| parse(&directory));
    fs::remove_dir_all(&directory)?;
    counts
}

/// Reads the line that the sandbox writes at its end.
fn parse(directory: &Path) -> Measured<Counts> {
    let mut text = String::new();
    for entry in fs::read_dir(directory)? {
        text.push_str(&fs::read_to_string(entry?.path())?);
    }
    let before = |what: &str| -> Measured<f64> {
        let missing = || format!("the sandbox's log does not tell its {what}");
        let (head, _) = text.split_once(what).ok_or_else(missing)?;
        let number = head.split_whitespace().next_back().ok_or_else(missing)?;
        Ok(number.parse()?)
    };
    Ok(Counts {
        calls: before(" system calls")?,
        faults: before(" page faults")?,
        requests: before(" requests to stubs")?,
    })
}

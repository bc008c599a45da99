//! `ringfence kill`: a signal for a container's program.

use clap::Args;
use platform::host::setup;

use super::{Failure, Globals};
use crate::container::{Client, Status};
use crate::sandbox::Request;

/// Sends a signal to a container's program.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// To all processes of the container.
    #[arg(short, long)]
    all: bool,

    /// The container's name.
    #[arg(value_name = "ID")]
    id: String,

    /// The signal: a name, with or without SIG, or a number.
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM", value_parser = parse)]
    signal: i32,
}

const SIGKILL: i32 = 9;

/// Names of signals by number, from 1 on: signal(7), asm-generic.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The first and the last real-time signal that programs get.
const REAL_TIME: (i32, i32) = (34, 64);

/// The number of a signal.
fn parse(text: &str) -> Result<i32, String> {
    let unknown = || format!("unknown signal `{text}`");
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=REAL_TIME.1).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(index + 1).map_err(|_| unknown());
    }
    let from = |base: i32, sign: i32, rest: &str| {
        let by = match rest {
            "" => Some(0),
            rest => rest.trim_start_matches(['+', '-']).parse::<i32>().ok(),
        };
        let number = by.map(|by| base.saturating_add(by.saturating_mul(sign)));
        number
            .filter(|number| (REAL_TIME.0..=REAL_TIME.1).contains(number))
            .ok_or_else(unknown)
    };
    match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX"), name) {
        (Some(rest), ..) => from(REAL_TIME.0, 1, rest),
        (_, Some(rest), _) => from(REAL_TIME.1, -1, rest),
        (.., "POLL") => Ok(29),
        (.., "CLD") => Ok(17),
        (.., "IOT") => Ok(6),
        _ => Err(unknown()),
    }
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, globals: &Globals) -> Result<u8, Failure> {
    let container = globals.container(&arguments.id)?;
    let record = container.record()?.ok_or_else(|| container.missing())?;
    let not_running = || Failure::own("container not running");
    match record.status(&container) {
        // What was killed with all its processes is as it should be.
        Status::Stopped if arguments.all => return Ok(0),
        Status::Stopped | Status::Creating => return Err(not_running()),
        Status::Created | Status::Running | Status::Paused => {}
    }
    let process = record.process.ok_or_else(not_running)?;
    if arguments.signal == SIGKILL {
        // Whatever state the sandbox is in; its end is the end of all that is in it.
        return match setup::kill(process.pid, SIGKILL) {
            Err(errno) if process.is_alive() => Err(Failure::own(format!(
                "cannot kill process {}: {errno}",
                process.pid
            ))),
            _ => Ok(0),
        };
    }
    let mut client = Client::connect(&container)?.ok_or_else(not_running)?;
    let asked = client.ask(&Request::Kill {
        signal: arguments.signal,
        all: arguments.all,
    });
    match asked {
        // It ended by it, and took the answer with it.
        Err(_) if record.status(&container) == Status::Stopped => Ok(0),
        asked => asked.map(|_| 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        assert_eq!(parse("KILL"), Ok(9));
        assert_eq!(parse("sigterm"), Ok(15));
        assert_eq!(parse("SIGSYS"), Ok(31));
        assert_eq!(parse("28"), Ok(28));
        assert_eq!(parse("RTMIN+3"), Ok(37));
        assert_eq!(parse("SIGRTMAX-1"), Ok(63));
        for wrong in ["", "0", "65", "-9", "SIGNONE", "RTMIN+99", "RTMIN+x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

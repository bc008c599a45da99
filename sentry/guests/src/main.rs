//! Guest programs: each case asserts what Linux does. They run natively first, which shows that
//! the assertion is right, and then inside the sandbox on every platform.
//!
//! ```text
//! guests list [--theme T]        names, one a line
//! guests run NAME...             each in a process group of its own, with a time limit
//! guests all [--theme T]         the same for all cases
//! guests one NAME                one case in this very process, for strace(1)
//! guests helper NAME [ARG...]    what cases execute as another program
//! guests load NAME [NUMBER]      what uses up the machine or the sandbox, or measures it
//! ```
//!
//! `GUESTS_TIMEOUT` is a case's time limit in seconds (20). Cases are plain functions; a failed
//! assertion reports itself with file and line and ends the process it happened in, which may be
//! a child of the case's own.

mod arch;
mod helper;
mod load;
mod runner;
mod support;

mod credentials;
mod files;
mod limits;
mod memory;
mod pipes;
mod process;
mod seccomp;
mod signals;
mod sockets;
mod system;
mod threads;
mod time;

use runner::Case;
use std::process::ExitCode;

/// All cases, by theme.
fn registry() -> Vec<Case> {
    [
        process::CASES,
        threads::CASES,
        signals::CASES,
        memory::CASES,
        limits::CASES,
        files::CASES,
        pipes::CASES,
        sockets::CASES,
        time::CASES,
        credentials::CASES,
        seccomp::CASES,
        system::CASES,
    ]
    .iter()
    .flat_map(|groups| groups.iter())
    .flat_map(|group| group.iter().copied())
    .collect()
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: guests list [--theme T] | run NAME... | all [--theme T] | one NAME | helper NAME [ARG...] | load NAME [NUMBER]"
    );
    ExitCode::from(2)
}

/// The cases that a command line asks for: all of them, or those of `--theme T`.
fn selected(args: &[String]) -> Option<Vec<Case>> {
    let cases = registry();
    match args {
        [] => Some(cases),
        [flag, theme] if flag == "--theme" => {
            let prefix = format!("{theme}/");
            let found: Vec<_> = cases
                .into_iter()
                .filter(|c| c.name.starts_with(&prefix))
                .collect();
            (!found.is_empty()).then_some(found)
        }
        _ => None,
    }
}

fn named(names: &[String]) -> Result<Vec<Case>, String> {
    let cases = registry();
    names
        .iter()
        .map(|name| {
            cases
                .iter()
                .find(|c| c.name == name)
                .copied()
                .ok_or_else(|| name.clone())
        })
        .collect()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((verb, rest)) = args.split_first() else {
        return usage();
    };
    match verb.as_str() {
        "list" => match selected(rest) {
            Some(cases) => {
                cases.iter().for_each(|case| println!("{}", case.name));
                ExitCode::SUCCESS
            }
            None => usage(),
        },
        "all" => selected(rest).map_or_else(usage, |cases| runner::run(&cases)),
        "run" | "one" => match named(rest) {
            Err(name) => {
                eprintln!("guests: no case `{name}`; see `guests list`");
                ExitCode::from(2)
            }
            Ok(cases) if cases.is_empty() => usage(),
            Ok(cases) if verb == "run" => runner::run(&cases),
            Ok(cases) => runner::one(&cases[0]),
        },
        "helper" => helper::main(rest),
        "load" => load::main(rest),
        _ => usage(),
    }
}

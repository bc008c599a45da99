//! Loops to be timed: the same program runs natively and inside, so that their times compare.
//!
//! ```text
//! measure list               names, one a line
//! measure NAME ROUNDS        nanoseconds that ROUNDS rounds took, start-up not counted
//! measure best BATCHES NAME ROUNDS
//!                            the least that one of so many batches of ROUNDS rounds took
//! measure spawn ROUNDS PROGRAM [ARG...]
//!                            the same for running a program that often, its output thrown away
//! ```
//!
//! `bare-...` are floors, for native runs only: what a tracer that does nothing else than the
//! host's kernel asks of it needs for the same thing.

mod bare;
mod calls;
mod memory;
mod processes;

use std::process::ExitCode;
use std::time::Duration;

/// Something to be timed.
struct Loop {
    name: &'static str,
    /// Does it that many times and gives the time, without that of preparations.
    run: fn(u32) -> Duration,
}

fn all() -> impl Iterator<Item = &'static Loop> {
    [calls::LOOPS, memory::LOOPS, processes::LOOPS, bare::LOOPS]
        .into_iter()
        .flatten()
}

/// The result of a call that is not part of what is looked at must be good.
fn ok(result: i64) -> i64 {
    if result < 0 {
        panic!("{}", std::io::Error::last_os_error());
    }
    result
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [verb] if verb == "list" => {
            all().for_each(|one| println!("{}", one.name));
            ExitCode::SUCCESS
        }
        [name, rounds] => {
            let found = all().find(|one| one.name == name);
            let (Some(found), Ok(rounds)) = (found, rounds.parse()) else {
                eprintln!("measure: no such loop, or not a number of rounds: {name} {rounds}");
                return ExitCode::from(2);
            };
            println!("{}", (found.run)(rounds).as_nanos());
            ExitCode::SUCCESS
        }
        [verb, batches, name, rounds] if verb == "best" => {
            let found = all().find(|one| one.name == name);
            let (Some(found), Ok(rounds), Ok(batches @ 1..)) =
                (found, rounds.parse(), batches.parse::<u32>())
            else {
                eprintln!("measure: no such loop, or not a number: {batches} {name} {rounds}");
                return ExitCode::from(2);
            };
            let best = (0..batches).map(|_| (found.run)(rounds)).min();
            println!("{}", best.unwrap_or_default().as_nanos());
            ExitCode::SUCCESS
        }
        [verb, rounds, program, args @ ..] if verb == "spawn" => {
            let Ok(rounds) = rounds.parse() else {
                eprintln!("measure: not a number of rounds: {rounds}");
                return ExitCode::from(2);
            };
            println!("{}", processes::spawn(rounds, program, args).as_nanos());
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!(
                "usage: measure list | NAME ROUNDS | best BATCHES NAME ROUNDS | spawn ROUNDS PROGRAM [ARG...]"
            );
            ExitCode::from(2)
        }
    }
}

//! Turns what `benches/instructions` has measured in emulated machines into two tables
//! and a plot.
//!
//! ```text
//! instructions RESULTS TARGET
//! ```
//!
//! `RESULTS` is a directory with a file for each machine of [`MACHINES`], and the
//! exceptions that its CPU took where `.exceptions` is added to the name. What is written
//! to the directory `TARGET`: TRIPS.md with trips.svg, and ARCHITECTURES.md.

#![forbid(unsafe_code)]

mod architectures;
mod exceptions;
mod plot;
mod results;
mod trips;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use benches::Measured;
use results::Results;

/// A kind of machine.
struct Machine {
    /// The results' file.
    file: &'static str,
    name: &'static str,
    /// A bar's colour: each can be told from the others without seeing colours.
    colour: &'static str,
}

/// In the order of columns.
const MACHINES: [Machine; 4] = [
    Machine {
        file: "arm64-vhe",
        name: "arm64, VHE",
        colour: "#0072b2",
    },
    Machine {
        file: "arm64-nvhe",
        name: "arm64, no VHE",
        colour: "#56b4e9",
    },
    Machine {
        file: "x86-64-nested",
        name: "x86-64, nested paging",
        colour: "#b34400",
    },
    Machine {
        file: "x86-64-shadow",
        name: "x86-64, shadow paging",
        colour: "#e69f00",
    },
];

/// How programs reach a kernel, in the order of columns: the machine's own, and platforms.
const WAYS: [&str; 4] = ["native", "ptrace", "seccomp", "kvm"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match write(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why.to_string());
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "what a command does")]
fn complain(why: &str) {
    eprintln!("instructions: {why}");
}

fn write(arguments: &[String]) -> Measured<()> {
    let [results, target] = arguments else {
        return Err("usage: instructions RESULTS TARGET".into());
    };
    let target = Path::new(target);
    let read = |machine: &Machine| Results::read(Path::new(results), machine.file);
    let all = MACHINES.iter().map(read).collect::<Measured<Vec<_>>>()?;
    fs::write(target.join("TRIPS.md"), trips::page(&all)?)?;
    fs::write(target.join("trips.svg"), trips::plot(&all).svg())?;
    fs::write(target.join("ARCHITECTURES.md"), architectures::page(&all)?)?;
    Ok(())
}

/// A number of instructions for people: thousands are set apart.
fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(number(4.0), "4");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(1_234_567.0), "1,234,567");
    }
}

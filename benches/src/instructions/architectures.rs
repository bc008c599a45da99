//! ARCHITECTURES.md: what programs do often, on both architectures and each platform.

use std::fmt::Write;

use benches::Measured;

use crate::results::Results;
use crate::trips::{absences, kernels};
use crate::{MACHINES, WAYS, number};

/// Loops of `measure`, and what a round is.
const LOOPS: &[(&str, &str)] = &[
    ("getpid", "system call (`getpid`)"),
    ("stat", "`stat` of a file"),
    ("open-close", "open and close a file"),
    ("page-fault", "first write to a page"),
    ("mmap-touch-munmap", "map, write to and unmap four pages"),
    ("mprotect-pair", "make a page read-only and writable again"),
    ("signal", "signal to itself, handled"),
    ("pipe-ping-pong", "byte to another process and back"),
    ("thread", "create a thread and join it"),
    ("fork-wait", "fork and wait"),
    ("fork-exec-wait", "fork, exec and wait"),
];

const HEAD: &str = "\
# Both architectures, in instructions

Made by `benches/instructions`: what the loops of `measure` (`sentry/guests`) take for one round in
machines of one CPU that QEMU emulates, whose clock goes by the instruction. Natively is on that
machine's own kernel; × is by native. The figures do not depend on what else goes on and mostly
differ by less than one in a hundred from run to run, so small changes show; where threads of the
sentry and of a program wait for each other (new threads, `mprotect` on ptrace) there can be twice
as many. What they do not weigh stands in [TRIPS.md](TRIPS.md): for times see
[RESULTS.md](RESULTS.md). Where a loop waits for the clock, the waiting counts as well: these kernels
let a thread that takes over another one's virtual CPU wait in KVM_RUN until all CPUs have passed
through the scheduler (`synchronize_rcu`), some ticks of the clock. Those are the millions of new
threads and processes on kvm.
";

/// The page; `all` are the machines' results in their order.
pub(crate) fn page(all: &[Results]) -> Measured<String> {
    let mut text = HEAD.to_owned();
    for (machine, results) in MACHINES.iter().zip(all) {
        writeln!(text, "\n## {}\n", machine.name)?;
        table(&mut text, results)?;
    }
    text.push_str("\n## arm64 by x86-64\n\nWith VHE and nested paging.\n\n");
    if let [vhe, _, nested, ..] = all {
        beside(&mut text, vhe, nested)?;
    }
    text.push_str(&absences(all));
    text.push_str(&kernels(all));
    Ok(text)
}

fn table(text: &mut String, results: &Results) -> Measured<()> {
    text.push_str("| what | native |");
    for way in WAYS.iter().skip(1) {
        write!(text, " {way} | × |")?;
    }
    writeln!(text, "\n|---|---:|{}", "---:|---:|".repeat(WAYS.len() - 1))?;
    for (name, what) in LOOPS {
        let native = results.of(name, "native");
        write!(
            text,
            "| {what} | {} |",
            native.map_or(String::new(), number)
        )?;
        for way in WAYS.iter().skip(1) {
            match (results.of(name, way), native) {
                (Some(cost), Some(native)) => {
                    write!(text, " {} | {} |", number(cost), times(cost / native))?;
                }
                _ => text.push_str(" not available | |"),
            }
        }
        text.push('\n');
    }
    Ok(())
}

/// The first machine's figures by the second's.
fn beside(text: &mut String, first: &Results, second: &Results) -> Measured<()> {
    writeln!(text, "| what | {} |", WAYS.join(" | "))?;
    writeln!(text, "|---|{}", "---:|".repeat(WAYS.len()))?;
    for (name, what) in LOOPS {
        let cells = WAYS.map(|way| match (first.of(name, way), second.of(name, way)) {
            (Some(first), Some(second)) => times(first / second),
            _ => "not available".to_owned(),
        });
        writeln!(text, "| {what} | {} |", cells.join(" | "))?;
    }
    Ok(())
}

fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 10.0 => format!("{ratio:.2}"),
        ratio => format!("{ratio:.0}"),
    }
}

//! A system call that does nothing: natively, in a sandbox by both ways of nullifying, and with
//! a tracer written by hand that does no more than the host's kernel asks of everybody.
//!
//! The goal is 1.3 times the tracer. The ratios at the end come from runs that take turns.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints and fails by panicking"
)]

use std::time::Duration;

use benches::{Measured, Nullify, Programs, Side, in_turns};
use criterion::Criterion;

/// A sandbox and its floor.
const PAIRS: [(Nullify, &str); 2] = [
    (Nullify::Sysemu, "bare-sysemu"),
    (Nullify::Getpid, "bare-getpid"),
];

fn main() {
    let programs = Programs::build().unwrap();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let mut bench = |name: &str, side, what: &str| {
        criterion.bench_function(&format!("getpid/{name}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let rounds = rounds.try_into().unwrap_or(u32::MAX);
                programs.time(side, &[what], rounds).unwrap()
            });
        });
    };
    bench("native", Side::Native, "getpid");
    for (nullify, floor) in PAIRS {
        let name = nullify.name();
        bench(&format!("bare tracer, {name}"), Side::Native, floor);
        bench(
            &format!("ringfence, {name}"),
            Side::Inside(nullify),
            "getpid",
        );
    }
    criterion.final_summary();
    for (nullify, floor) in PAIRS {
        ratio(&programs, nullify, floor).unwrap();
    }
}

fn ratio(programs: &Programs, nullify: Nullify, floor: &str) -> Measured<()> {
    const ROUNDS: u32 = 10_000;
    let inside = |rounds| programs.time(Side::Inside(nullify), &["getpid"], rounds);
    let bare = |rounds| programs.time(Side::Native, &[floor], rounds);
    let (inside, bare) = in_turns(15, (ROUNDS, inside), (ROUNDS, bare))?;
    println!(
        "{}: {:.2} times the bare tracer ({:.2} by medians), goal 1.3",
        nullify.name(),
        inside.best() / bare.best(),
        inside.median() / bare.median(),
    );
    Ok(())
}

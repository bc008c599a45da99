//! The loops of the guests' `measure` program, natively and inside.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::time::Duration;

use benches::{Nullify, Programs, Side};
use criterion::Criterion;

const LOOPS: &[&str] = &[
    "mmap-touch-munmap",
    "mprotect-pair",
    "page-fault",
    "fork-wait",
    "fork-exec-wait",
    "thread",
    "pipe-ping-pong",
    "futex-ping-pong",
    "pread-4k",
    "stat",
    "open-close",
    "signal",
];

fn main() {
    let programs = Programs::build().unwrap();
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for name in LOOPS {
        let sides = [
            ("native", Side::Native),
            ("ringfence", Side::Inside(Nullify::Sysemu)),
        ];
        let mut group = criterion.benchmark_group(*name);
        for (side_name, side) in sides {
            group.bench_function(side_name, |bencher| {
                bencher.iter_custom(|rounds| {
                    let rounds = rounds.try_into().unwrap_or(u32::MAX);
                    programs.time(side, &[name], rounds).unwrap()
                });
            });
        }
    }
    criterion.final_summary();
}

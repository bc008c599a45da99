//! What a sandbox costs that does nothing: time from start to end, memory, size of the binary.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints and fails by panicking"
)]

use std::time::Duration;

use benches::{Nullify, Programs, Side, resident, resident_native};
use criterion::Criterion;

fn main() {
    let programs = Programs::build().unwrap();
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let sides = [
        ("native", Side::Native),
        ("ringfence", Side::Inside(Nullify::Sysemu)),
    ];
    for (name, side) in sides {
        criterion.bench_function(&format!("run true/{name}"), |bencher| {
            bencher.iter(|| {
                let status = programs.command(side, "/bin/true").status().unwrap();
                assert!(status.success());
            });
        });
    }
    criterion.final_summary();
    let kib = |bytes: u64| bytes / 1024;
    println!(
        "memory around `sleep`: {} KiB, natively {} KiB (PSS of all processes)",
        kib(resident(&programs).unwrap()),
        kib(resident_native(&programs).unwrap()),
    );
    let size = std::fs::metadata(&programs.ringfence).unwrap().len();
    println!("binary: {} KiB in this profile", kib(size));
}

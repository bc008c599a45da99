//! The table of what a sandbox costs: native and inside in the same run, the peer, the goal.
//!
//! Without arguments all rows are measured and `RESULTS.md` is written; with arguments only rows
//! whose text has one of them, and nothing is written.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a benchmark prints and fails by panicking"
)]

mod rows;

use std::fmt::Write;
use std::time::{Duration, Instant};

use benches::{
    Counts, Measured, Nullify, Programs, Side, in_turns, load, machine, resident, resident_native,
};
use rows::{BUSY, Goal, ROWS, Row, SOURCE};

/// What a floor may be exceeded by.
const MARGIN: f64 = 1.3;

/// The costs that nobody avoids, in nanoseconds.
struct Floors {
    call: f64,
    mapping: f64,
}

fn main() {
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |what: &str| filters.is_empty() || filters.iter().any(|part| what.contains(part));
    let programs = Programs::build().unwrap();
    let source = std::env::temp_dir().join(SOURCE);
    std::fs::write(
        &source,
        "#include <stdio.h>\nint main(void) { return puts(\"\"); }\n",
    )
    .unwrap();
    let mut text = head();
    let show = |text: &mut String, line: Measured<String>, what: &str| match line {
        Ok(line) => {
            println!("{line}");
            let _ = writeln!(text, "{line}");
        }
        Err(why) => {
            eprintln!("{what}: {why}");
            let _ = writeln!(text, "| {what} | failed | | | | | | |");
        }
    };
    print!("{text}");
    let floors = floors(&programs).unwrap();
    for nullify in [Nullify::Sysemu, Nullify::Getpid] {
        let what = format!("bare tracer's call, {}", nullify.name());
        if wanted(&what) {
            show(&mut text, against_tracer(&programs, nullify, &what), &what);
        }
    }
    for row in ROWS.iter().filter(|row| wanted(row.what)) {
        show(&mut text, measured(&programs, row, &floors), row.what);
    }
    if wanted("start") {
        show(&mut text, start(&programs), "run `/bin/true`");
        show(&mut text, memory(&programs), "idle sandbox");
        show(&mut text, size(&programs), "binary");
    }
    let _ = std::fs::remove_file(source);
    let floors = format!(
        "\nFloors of this run: a call {:.1} µs, a mapping made by another process {:.1} µs.\n\
         Load average at the end {}.\n",
        floors.call / 1e3,
        floors.mapping / 1e3,
        load()
    );
    print!("{floors}");
    text.push_str(&floors);
    if filters.is_empty() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"), text).unwrap();
    }
}

fn head() -> String {
    format!(
        "# Measurements\n\n\
         Made by `benches/peer-table`, which explains the columns in `benches/README.md`.\n\n\
         {}. The platform is `ptrace`.\n\n\
         | what | native | inside | × | by medians | peer, × | goal, × | per round: calls, faults, requests |\n\
         |---|---|---|---|---|---|---|---|\n",
        machine()
    )
}

fn floors(programs: &Programs) -> Measured<Floors> {
    let call = |rounds| programs.time(Side::Native, &["bare-sysemu"], rounds);
    let mapping = |rounds| programs.time(Side::Native, &["bare-mapping"], rounds);
    let (call, mapping) = in_turns(9, (5_000, call), (5_000, mapping))?;
    Ok(Floors {
        call: call.best(),
        mapping: mapping.best(),
    })
}

/// One row for a call beside the bare tracer's; "native" is the tracer here.
fn against_tracer(programs: &Programs, nullify: Nullify, what: &str) -> Measured<String> {
    let floor = format!("bare-{}", nullify.name());
    let bare = |rounds| programs.time(Side::Native, &[&floor], rounds);
    let inside = |rounds| programs.time(Side::Inside(nullify), &["getpid"], rounds);
    let (bare, inside) = in_turns(15, (5_000, bare), (5_000, inside))?;
    let ratio = inside.best() / bare.best();
    Ok(format!(
        "| {what} | {} | {} | {ratio:.2} | {:.2} | | {} | |",
        span(bare.best()),
        span(inside.best()),
        inside.median() / bare.median(),
        verdict(ratio, MARGIN),
    ))
}

fn measured(programs: &Programs, row: &Row, floors: &Floors) -> Measured<String> {
    let native = |rounds| programs.time(Side::Native, row.of, rounds);
    let inside_side = Side::Inside(Nullify::Sysemu);
    let inside = |rounds| programs.time(inside_side, row.of, rounds);
    let (native, inside) = in_turns(row.repeats, (row.native, native), (row.inside, inside))?;
    let counts = Counts::of(programs, row.of, row.inside.clamp(1, 1_000))?;
    let goal = match row.goal {
        Goal::Counted => {
            let floor = counts.floor(native.best(), floors.call, floors.mapping);
            MARGIN * floor / native.best()
        }
        Goal::Busy => 1.0 / BUSY,
    };
    let ratio = inside.best() / native.best();
    Ok(format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |",
        row.what,
        span(native.best()),
        span(inside.best()),
        times_native(ratio),
        times_native(inside.median() / native.median()),
        if row.peer.is_nan() {
            String::new()
        } else {
            verdict(ratio, row.peer)
        },
        verdict(ratio, goal),
        counted(&counts),
    ))
}

/// A limit, marked if `ratio` is above it.
fn verdict(ratio: f64, limit: f64) -> String {
    let limit_text = times_native(limit);
    if ratio <= limit {
        limit_text
    } else {
        format!("**{limit_text}**")
    }
}

fn times_native(ratio: f64) -> String {
    let digits = if ratio < 10.0 { 1 } else { 0 };
    format!("{ratio:.digits$}")
}

fn counted(counts: &Counts) -> String {
    let short = |n: f64| {
        let digits = if n > 0.0 && n < 9.95 && n.fract() != 0.0 {
            1
        } else {
            0
        };
        format!("{n:.digits$}")
    };
    let (calls, faults) = (short(counts.calls), short(counts.faults));
    format!("{calls}, {faults}, {}", short(counts.requests))
}

/// A time for people; `nanos` in nanoseconds.
fn span(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e5 => format!("{:.1} µs", n / 1e3),
        n if n < 1e6 => format!("{:.0} µs", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}

/// Start and end of a whole sandbox, as a shell sees it.
fn start(programs: &Programs) -> Measured<String> {
    let run = |side, rounds: u32| -> Measured<Duration> {
        let start = Instant::now();
        for _ in 0..rounds {
            let status = programs.command(side, "/bin/true").status()?;
            if !status.success() {
                return Err(format!("/bin/true: {status}").into());
            }
        }
        Ok(start.elapsed())
    };
    let native = |rounds| run(Side::Native, rounds);
    let inside = |rounds| run(Side::Inside(Nullify::Sysemu), rounds);
    let (native, inside) = in_turns(40, (1, native), (1, inside))?;
    let ratio = |ms: f64| ms * 1e6 / native.best();
    let ours = inside.best() / native.best();
    Ok(format!(
        "| run `/bin/true`: median {} | {} | {} | {} | {} | {} (114 ms) | {} (5 ms) | |",
        span(inside.median()),
        span(native.best()),
        span(inside.best()),
        times_native(ours),
        times_native(inside.median() / native.median()),
        verdict(ours, ratio(114.0)),
        verdict(ours, ratio(5.0)),
    ))
}

fn memory(programs: &Programs) -> Measured<String> {
    const KIB: u64 = 1024;
    let native = resident_native(programs)? / KIB;
    let inside = resident(programs)? / KIB;
    let goal = if inside <= 4 * KIB {
        "4 MiB"
    } else {
        "**4 MiB**"
    };
    Ok(format!(
        "| idle sandbox, PSS of all processes | {native} KiB | {inside} KiB | | | 35 MiB | {goal} | |"
    ))
}

fn size(programs: &Programs) -> Measured<String> {
    let kib = std::fs::metadata(&programs.ringfence)?.len() / 1024;
    Ok(format!("| size of the binary | | {kib} KiB | | | | | |"))
}

//! What it costs to leave a virtual machine and to come back, by each way out that the
//! architecture has, and what a system call within the machine costs beside. Prints a
//! line `NAME COST` for each, in nanoseconds.
//!
//! Where time passes by the instruction, as in `ci/machine ARCH --icount`, a nanosecond is
//! an instruction, of the machine's, its host's kernel's or this program's. `ladder`,
//! beside this, explains the machines that are made here.

/// Machine code between two new symbols, as bytes of this program's.
macro_rules! code {
    ($($name:ident, $end:ident: $($line:literal),+;)*) => {
        $(std::arch::global_asm!(
            ".pushsection .rodata",
            ".p2align 2",
            concat!(".globl ", stringify!($name), ", ", stringify!($end)),
            concat!(stringify!($name), ":"),
            $($line,)+
            concat!(stringify!($end), ":"),
            ".popsection",
        );)*
        unsafe extern "C" {
            $(safe static $name: u8;
            safe static $end: u8;)*
        }
    };
}

#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
mod machine;
#[path = "../ladder/memory.rs"]
mod memory;

use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Makes the trip as often as it was made for.
type Go = Box<dyn FnMut() -> Result<()>>;

/// One kind of trip.
struct Trip {
    name: &'static str,
    /// Makes a machine that does so many in a row.
    make: fn(rounds: u64) -> Result<Go>,
}

/// Where a marked stretch begins or ends. Marks are for who looks at the CPU from outside:
/// see [`machine::mark`].
enum Mark {
    /// What follows is another kind of trip.
    Trip,
    /// [`ROUNDS`] trips begin.
    Short,
    /// Twice as many begin.
    Long,
    /// The last ones have ended.
    End,
}

/// Trips in a row. Few enough that the clock's interrupt hits few of the rows.
const ROUNDS: u32 = 32;
/// How many rows.
const ROWS: u32 = 24;

fn timed(go: &mut Go, mark: Mark) -> Result<Duration> {
    machine::mark(mark);
    let start = Instant::now();
    let done = go();
    let time = start.elapsed();
    machine::mark(Mark::End);
    done.map(|()| time)
}

/// The cost of one trip: what rows twice as long cost more, so that what is done once a
/// row doesn't count. The shortest rows, as disturbances only add.
fn cost(trip: &Trip) -> Result<f64> {
    machine::mark(Mark::Trip);
    let mut short = (trip.make)(ROUNDS.into())?;
    let mut long = (trip.make)(u64::from(ROUNDS) * 2)?;
    short()?;
    long()?;
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROWS {
        best.0 = best.0.min(timed(&mut short, Mark::Short)?);
        best.1 = best.1.min(timed(&mut long, Mark::Long)?);
    }
    let more = best.1.saturating_sub(best.0);
    Ok(more.as_secs_f64() * 1e9 / f64::from(ROUNDS))
}

#[expect(clippy::print_stdout, reason = "what the example is for")]
fn main() -> Result<()> {
    for trip in machine::TRIPS {
        match cost(trip) {
            Ok(cost) => println!("{} {cost:.1}", trip.name),
            Err(why) => println!("SKIP {}: {why}", trip.name),
        }
    }
    Ok(())
}

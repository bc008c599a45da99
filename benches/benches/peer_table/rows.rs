//! The rows: what is timed, what the peer's ptrace platform needs for it, and the goal.

/// One line of the table.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// A loop of `measure`, with what follows its rounds.
    pub(crate) of: &'static [&'static str],
    /// Rounds of one timed run, on either side.
    pub(crate) native: u32,
    pub(crate) inside: u32,
    /// How many such runs.
    pub(crate) repeats: u32,
    /// The peer's time in native ones.
    pub(crate) peer: f64,
    pub(crate) goal: Goal,
}

/// What a row is to reach.
pub(crate) enum Goal {
    /// 1.3 times the sum of the native time and of the floors of what the round needs.
    Counted,
    /// Both sides keep the whole machine busy: this share of the native speed.
    Busy,
}

/// Share of the native speed without a core to spare.
pub(crate) const BUSY: f64 = 0.35;

/// The C file that is compiled, below the temporary directory.
pub(crate) const SOURCE: &str = "ringfence-benches.c";

const fn row(
    what: &'static str,
    of: &'static [&'static str],
    native: u32,
    inside: u32,
    peer: f64,
) -> Row {
    Row {
        what,
        of,
        native,
        inside,
        repeats: 9,
        peer,
        goal: Goal::Counted,
    }
}

const fn busy(row: Row) -> Row {
    Row {
        goal: Goal::Busy,
        ..row
    }
}

const fn program(what: &'static str, of: &'static [&'static str], peer: f64) -> Row {
    Row {
        repeats: 5,
        ..row(what, of, 3, 3, peer)
    }
}

/// All rows that need no network.
pub(crate) const ROWS: &[Row] = &[
    row("`getpid`, raw", &["getpid"], 200_000, 5_000, 470.0),
    row("`getpid` by libc", &["getpid-libc"], 200_000, 5_000, 470.0),
    row(
        "open+close in the root",
        &["open-close"],
        20_000,
        2_000,
        64.0,
    ),
    row("stat in the root", &["stat"], 50_000, 3_000, f64::NAN),
    row(
        "pread of 4 KiB in the root",
        &["pread-4k"],
        100_000,
        4_000,
        91.0,
    ),
    row("signal to itself", &["signal"], 20_000, 1_000, f64::NAN),
    row(
        "mmap+touch+munmap, 4 pages",
        &["mmap-touch-munmap"],
        5_000,
        500,
        23.0,
    ),
    row("mprotect pair", &["mprotect-pair"], 20_000, 500, 74.0),
    row("anonymous page fault", &["page-fault"], 16_384, 16_384, 1.8),
    row("thread create+join", &["thread"], 1_000, 200, 4.6),
    row("fork+wait", &["fork-wait"], 200, 50, 14.0),
    row("fork+exec+wait", &["fork-exec-wait"], 40, 20, 6.4),
    busy(row(
        "futex ping-pong, a core for each",
        &["futex-ping-pong"],
        5_000,
        1_000,
        2.3,
    )),
    busy(row(
        "pipe ping-pong, a core for each",
        &["pipe-ping-pong"],
        5_000,
        1_000,
        2.9,
    )),
    Row {
        native: 1,
        inside: 1,
        repeats: 3,
        ..program("`find /usr`", &["spawn", "find", "/usr"], 44.0)
    },
    program(
        "`tar` of a tree",
        &["spawn", "sh", "-c", "tar -cf - /usr/include/linux | cat"],
        27.0,
    ),
    program(
        "`gcc -c`, per file",
        &[
            "spawn",
            "sh",
            "-c",
            "cd ${TMPDIR:-/tmp} && gcc -c -o /tmp/ringfence-benches.o ringfence-benches.c",
        ],
        4.7,
    ),
    program(
        "`python3 -c pass`",
        &["spawn", "/usr/bin/python3", "-c", "pass"],
        4.8,
    ),
    program(
        "`python3`, imports",
        &[
            "spawn",
            "/usr/bin/python3",
            "-c",
            "import asyncio, email, http.client, json, sqlite3",
        ],
        4.4,
    ),
];

//! `ringfence` as its callers see it: `do`, and the verbs of a container runtime; exit
//! statuses, files, descriptors, signals, and what is left of the sentry's rights while a
//! program runs.
//!
//! Each case runs the binary as the caller and, if that is root, as an ordinary user too.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, also in their helpers"
)]

mod sandbox {
    mod bundle;
    mod confined;
    mod containers;
    mod doctor;
    mod ends;
    mod files;
    mod harness;
    mod killed;
    mod limits;
    mod mistakes;
    mod program;
    mod pty;
    mod terminal;
}

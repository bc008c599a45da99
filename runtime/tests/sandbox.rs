//! `ringfence do` as its callers see it: exit statuses, files, descriptors, signals, and
//! what is left of the sentry's rights while a program runs.
//!
//! Each case runs the binary as the caller and, if that is root, as an ordinary user too.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, also in their helpers"
)]

mod sandbox {
    mod confined;
    mod doctor;
    mod ends;
    mod files;
    mod harness;
    mod limits;
    mod program;
    mod pty;
    mod terminal;
}

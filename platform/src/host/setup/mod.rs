//! Host calls of a sandbox's start, made while the process is single-threaded and
//! before it confines itself. None has a seccomp rule: once [`seccomp::install`] has
//! run, each of them kills the sentry.

mod capabilities;
mod job;
mod mounts;
mod namespaces;
mod process;
pub mod seccomp;
mod session;

pub use capabilities::{drop_capabilities, no_new_privs};
pub use job::{Stopped, in_foreground, is_job, stop};
pub use mounts::{Below, TreeAccess, clone_tree, empty_root, huge_page_file, make_mounts_private};
pub use namespaces::{IdMaps, Namespaces, enter_check, parse_id_map};
pub use process::{
    Exit, Forked, Sender, Signals, block_signals, close_from, current_groups, current_ids,
    die_with_parent, fork_into, limit_arenas, limit_resources, reap_now, take_umask, wait_for,
    wait_for_any,
};
pub use session::{
    control_terminal, inherited, kill, new_session, replace, replace_standard, send,
};

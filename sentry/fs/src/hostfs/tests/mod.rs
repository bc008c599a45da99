//! Host trees over directories of the test's own.

mod escape;
mod reading;
mod writing;

use std::sync::Arc;

use vfs::{DeviceId, FileSystem, Inode};

use super::{Access, Coherence, Descriptors, HostFs, Options};
use crate::scratch::Scratch;

fn options(access: Access, coherence: Coherence) -> Options {
    Options {
        access,
        coherence,
        device: DeviceId::new(0, 7),
    }
}

fn serve(scratch: &Scratch, options: Options) -> Arc<dyn Inode> {
    HostFs::over_directory(scratch.open(), options, &Descriptors::new(1024))
        .expect("served")
        .root()
}

fn read_only(scratch: &Scratch) -> Arc<dyn Inode> {
    serve(scratch, options(Access::ReadOnly, Coherence::Frozen))
}

fn writable(scratch: &Scratch) -> Arc<dyn Inode> {
    serve(scratch, options(Access::WriteThrough, Coherence::Exclusive))
}

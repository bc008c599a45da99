//! Placeholder for open(2)'s flags until the file ABI is written; replaced by it.

bitflags::bitflags! {
    /// Flags of open(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// Write only.
        const WRONLY = 1;
        /// Read and write.
        const RDWR = 2;
        /// Create.
        const CREAT = 0o100;
        /// Must not exist.
        const EXCL = 0o200;
        /// Never the controlling terminal.
        const NOCTTY = 0o400;
        /// Cut to nothing.
        const TRUNC = 0o1000;
        /// Write at the end.
        const APPEND = 0o2000;
        /// Do not wait.
        const NONBLOCK = 0o4000;
        /// Only a directory.
        const DIRECTORY = 0o200_000;
        /// Not through a symbolic link.
        const NOFOLLOW = 0o400_000;
        /// Close on exec.
        const CLOEXEC = 0o2_000_000;
        /// A place only.
        const PATH = 0o10_000_000;
    }
}

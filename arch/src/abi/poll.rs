//! Readiness and event descriptors: poll(2), epoll(7), eventfd(2), signalfd(2), inotify(7).

use super::macros::{abi_struct, flags, numbers};

pub use crate::current::abi::EpollEvent;

abi_struct! {
    /// `struct pollfd`: poll(2).
    pub struct PollFd {
        /// The descriptor; negative: skipped.
        pub fd: i32,
        /// What to wait for.
        pub events: i16,
        /// What is so.
        pub revents: i16,
    }
}

flags! {
    /// Readiness bits, of poll(2) and, with the upper ones, of epoll(7).
    PollEvents: u32, poll_events = linux_raw_sys::general;
    IN EPOLLIN 0x1, "Readable.";
    PRI EPOLLPRI 0x2, "Urgent data.";
    OUT EPOLLOUT 0x4, "Writable.";
    ERR EPOLLERR 0x8, "An error; always reported.";
    HUP EPOLLHUP 0x10, "Hung up; always reported.";
    NVAL EPOLLNVAL 0x20, "Not an open descriptor; poll(2) only.";
    RDNORM EPOLLRDNORM 0x40, "Normal data can be read.";
    RDBAND EPOLLRDBAND 0x80, "Priority data can be read.";
    WRNORM EPOLLWRNORM 0x100, "Normal data can be written.";
    WRBAND EPOLLWRBAND 0x200, "Priority data can be written.";
    MSG EPOLLMSG 0x400, "Unused.";
    RDHUP EPOLLRDHUP 0x2000, "The peer will write no more.";
    EXCLUSIVE EPOLLEXCLUSIVE 0x1000_0000, "epoll_ctl(2): wake one waiter.";
    WAKEUP EPOLLWAKEUP 0x2000_0000, "epoll_ctl(2): keep the machine awake.";
    ONESHOT EPOLLONESHOT 0x4000_0000, "epoll_ctl(2): disable after one event.";
    ET EPOLLET 0x8000_0000, "epoll_ctl(2): edge triggered.";
}

numbers! {
    u32, epoll_numbers = linux_raw_sys::general;
    EPOLL_CTL_ADD 1 "Add a descriptor.";
    EPOLL_CTL_DEL 2 "Take a descriptor out.";
    EPOLL_CTL_MOD 3 "Change a descriptor's events.";
    EPOLL_CLOEXEC 0o2000000 "epoll_create1(2): close on execve(2).";
}

flags! {
    /// Flags of eventfd2(2).
    EventFdFlags: u32, eventfd_flags = linux_raw_sys::general;
    SEMAPHORE EFD_SEMAPHORE 1, "Reads take one.";
    NONBLOCK EFD_NONBLOCK 0o4000, "Do not wait.";
    CLOEXEC EFD_CLOEXEC 0o2000000, "Close on execve(2).";
}

flags! {
    /// Flags of signalfd4(2).
    SignalFdFlags: u32, signalfd_flags = libc;
    NONBLOCK SFD_NONBLOCK 0o4000, "Do not wait.";
    CLOEXEC SFD_CLOEXEC 0o2000000, "Close on execve(2).";
}

flags! {
    /// Flags of inotify_init1(2).
    InotifyInitFlags: u32, inotify_init_flags = linux_raw_sys::general;
    NONBLOCK IN_NONBLOCK 0o4000, "Do not wait.";
    CLOEXEC IN_CLOEXEC 0o2000000, "Close on execve(2).";
}

flags! {
    /// Events and options of inotify(7).
    InotifyMask: u32, inotify_mask = linux_raw_sys::general;
    ACCESS IN_ACCESS 0x1, "Read.";
    MODIFY IN_MODIFY 0x2, "Written.";
    ATTRIB IN_ATTRIB 0x4, "Status changed.";
    CLOSE_WRITE IN_CLOSE_WRITE 0x8, "Closed after writing.";
    CLOSE_NOWRITE IN_CLOSE_NOWRITE 0x10, "Closed, not opened for writing.";
    OPEN IN_OPEN 0x20, "Opened.";
    MOVED_FROM IN_MOVED_FROM 0x40, "Moved out of the directory.";
    MOVED_TO IN_MOVED_TO 0x80, "Moved into the directory.";
    CREATE IN_CREATE 0x100, "Created in the directory.";
    DELETE IN_DELETE 0x200, "Deleted from the directory.";
    DELETE_SELF IN_DELETE_SELF 0x400, "The watched file was deleted.";
    MOVE_SELF IN_MOVE_SELF 0x800, "The watched file was moved.";
    UNMOUNT IN_UNMOUNT 0x2000, "Event only: unmounted.";
    Q_OVERFLOW IN_Q_OVERFLOW 0x4000, "Event only: events were lost.";
    IGNORED IN_IGNORED 0x8000, "Event only: the watch is gone.";
    ONLYDIR IN_ONLYDIR 0x0100_0000, "Watch directories only.";
    DONT_FOLLOW IN_DONT_FOLLOW 0x0200_0000, "Do not follow a symbolic link.";
    EXCL_UNLINK IN_EXCL_UNLINK 0x0400_0000, "No events for unlinked children.";
    MASK_CREATE IN_MASK_CREATE 0x1000_0000, "Fail if the watch exists.";
    MASK_ADD IN_MASK_ADD 0x2000_0000, "Add to the watch's mask.";
    ISDIR IN_ISDIR 0x4000_0000, "Event only: about a directory.";
    ONESHOT IN_ONESHOT 0x8000_0000, "One event, then gone.";
}

abi_struct! {
    /// The fixed part of `struct inotify_event`; `len` bytes of name follow.
    pub struct InotifyEvent {
        /// The watch.
        pub wd: i32,
        /// What happened.
        pub mask: InotifyMask,
        /// Ties the two halves of a move together.
        pub cookie: u32,
        /// Bytes of the name with padding zeros.
        pub len: u32,
    }
}

abi_struct! {
    /// `struct signalfd_siginfo`, 128 bytes.
    pub struct SignalfdSiginfo {
        /// Signal number.
        pub signo: u32,
        /// Error number.
        pub errno: i32,
        /// `si_code`.
        pub code: i32,
        /// Sender's or child's pid.
        pub pid: u32,
        /// Sender's or child's real uid.
        pub uid: u32,
        /// Descriptor, of SIGIO.
        pub fd: i32,
        /// POSIX timer id.
        pub tid: u32,
        /// Event bits, of SIGIO.
        pub band: u32,
        /// POSIX timer overruns.
        pub overrun: u32,
        /// Trap number; unused.
        pub trapno: u32,
        /// Exit status or signal, of SIGCHLD.
        pub status: i32,
        /// `int` of `union sigval`.
        pub int: i32,
        /// Pointer of `union sigval`.
        pub ptr: u64,
        /// User time, of SIGCHLD.
        pub utime: u64,
        /// System time, of SIGCHLD.
        pub stime: u64,
        /// Address, of machine faults.
        pub addr: u64,
        /// Least significant bit of the address, of SIGBUS.
        pub addr_lsb: u16,
        #[doc(hidden)]
        pub pad0: u16,
        /// System call, of SIGSYS.
        pub syscall: i32,
        /// Address of the call, of SIGSYS.
        pub call_addr: u64,
        /// Architecture, of SIGSYS.
        pub arch: u32,
        #[doc(hidden)]
        pub pad1: [u32; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;

    same_layout!(pollfd: PollFd = libc::pollfd { fd = fd, events = events, revents = revents });
    same_layout!(inotify_event: InotifyEvent = libc::inotify_event {
        wd = wd, mask = mask, cookie = cookie, len = len,
    });
    same_layout!(signalfd_siginfo: SignalfdSiginfo = libc::signalfd_siginfo {
        signo = ssi_signo, errno = ssi_errno, code = ssi_code, pid = ssi_pid, uid = ssi_uid,
        fd = ssi_fd, tid = ssi_tid, band = ssi_band, overrun = ssi_overrun, trapno = ssi_trapno,
        status = ssi_status, int = ssi_int, ptr = ssi_ptr, utime = ssi_utime, stime = ssi_stime,
        addr = ssi_addr, addr_lsb = ssi_addr_lsb, syscall = ssi_syscall, call_addr = ssi_call_addr,
        arch = ssi_arch,
    });
}

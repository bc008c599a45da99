//! Sockets of the family AF_UNIX, and on the loopback.

mod calls;
mod inet;
mod passing;
mod unix;

use crate::runner::Case;

pub const CASES: &[&[Case]] = &[unix::CASES, passing::CASES, calls::CASES, inet::CASES];

use crate::support::*;

/// A connected pair of `kind`.
#[track_caller]
pub fn pair(kind: c_int) -> [c_int; 2] {
    let mut ends = [0; 2];
    ok(unsafe { socketpair(AF_UNIX, kind, 0, ends.as_mut_ptr()) });
    ends
}

/// An AF_UNIX address and its length; a name that begins with NUL is abstract.
pub fn named(name: &[u8]) -> (sockaddr_un, socklen_t) {
    let mut address: sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = AF_UNIX as u16;
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = *from as c_char;
    }
    let terminator = usize::from(name.first() != Some(&0) && !name.is_empty());
    (address, (2 + name.len() + terminator) as socklen_t)
}

pub fn bind_to(fd: c_int, name: &[u8]) -> c_int {
    let (address, len) = named(name);
    unsafe { bind(fd, (&raw const address).cast(), len) }
}

pub fn connect_to(fd: c_int, name: &[u8]) -> c_int {
    let (address, len) = named(name);
    unsafe { connect(fd, (&raw const address).cast(), len) }
}

#[track_caller]
pub fn new(kind: c_int) -> c_int {
    ok(unsafe { socket(AF_UNIX, kind, 0) })
}

pub fn send_bytes(fd: c_int, data: &[u8], flags: c_int) -> isize {
    unsafe { send(fd, data.as_ptr().cast(), data.len(), flags) }
}

#[track_caller]
pub fn receive(fd: c_int, max: usize, flags: c_int) -> Vec<u8> {
    let mut buffer = vec![0; max];
    let done = ok(unsafe { recv(fd, buffer.as_mut_ptr().cast(), max, flags) });
    buffer.truncate(done as usize);
    buffer
}

#[track_caller]
pub fn option(fd: c_int, level: c_int, name: c_int) -> c_int {
    let (mut value, mut len): (c_int, socklen_t) = (-1, 4);
    ok(unsafe { getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) });
    value
}

//! Options of SOL_SOCKET that are the same for every family.

use std::time::Duration;

use arch::abi::Timeval;
use arch::abi::socket::{
    Linger, SO_BROADCAST, SO_DEBUG, SO_DONTROUTE, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_OOBINLINE,
    SO_PASSCRED, SO_PRIORITY, SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVLOWAT, SO_RCVTIMEO, SO_REUSEADDR,
    SO_REUSEPORT, SO_SNDBUF, SO_SNDBUFFORCE, SO_SNDLOWAT, SO_SNDTIMEO, SO_TIMESTAMP,
    SO_TIMESTAMPNS,
};
use base::Errno;
use base::lock::{Mutex, rank};
use vfs::Capabilities;
use zerocopy::{FromBytes, IntoBytes};

use crate::{Context, Timeouts};

/// net.core.wmem_max, rmem_max and their defaults, in bytes.
pub const DEFAULT_BUFFER: usize = 212_992;
/// The least that SO_SNDBUF makes, in bytes.
const MIN_SEND: usize = 4608;
/// The least that SO_RCVBUF makes, in bytes.
const MIN_RECEIVE: usize = 2304;
/// The most that SO_SNDBUFFORCE and SO_RCVBUFFORCE make, in bytes: the sandbox's own bound.
const MAX_FORCED: usize = 16 << 20;

/// The stored options of one socket.
#[derive(Debug)]
pub struct Options {
    stored: Mutex<Stored>,
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    send_buffer: usize,
    receive_buffer: usize,
    flags: Flags,
    priority: i32,
    low_water: i32,
    linger: Linger,
    timeouts: Timeouts,
}

bitflags::bitflags! {
    /// Options that are on or off.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    struct Flags: u32 {
        const DEBUG = 1;
        const REUSEADDR = 2;
        const DONTROUTE = 4;
        const BROADCAST = 8;
        const KEEPALIVE = 0x10;
        const OOBINLINE = 0x20;
        const REUSEPORT = 0x40;
        const PASSCRED = 0x80;
        const TIMESTAMP = 0x100;
        const TIMESTAMPNS = 0x200;
    }
}

/// The flag of an option that is on or off.
const fn flag(name: i32) -> Option<Flags> {
    Some(match name {
        SO_DEBUG => Flags::DEBUG,
        SO_REUSEADDR => Flags::REUSEADDR,
        SO_DONTROUTE => Flags::DONTROUTE,
        SO_BROADCAST => Flags::BROADCAST,
        SO_KEEPALIVE => Flags::KEEPALIVE,
        SO_OOBINLINE => Flags::OOBINLINE,
        SO_REUSEPORT => Flags::REUSEPORT,
        SO_PASSCRED => Flags::PASSCRED,
        SO_TIMESTAMP => Flags::TIMESTAMP,
        SO_TIMESTAMPNS => Flags::TIMESTAMPNS,
        _ => return None,
    })
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stored: Mutex::new(
                rank::LEAF,
                Stored {
                    send_buffer: DEFAULT_BUFFER,
                    receive_buffer: DEFAULT_BUFFER,
                    flags: Flags::empty(),
                    priority: 0,
                    low_water: 1,
                    linger: Linger::default(),
                    timeouts: Timeouts::default(),
                },
            ),
        }
    }
}

impl Options {
    /// SO_SNDBUF in bytes.
    #[must_use]
    pub fn send_buffer(&self) -> usize {
        self.stored.lock().send_buffer
    }

    /// SO_RCVBUF in bytes.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.stored.lock().receive_buffer
    }

    /// SO_PASSCRED.
    #[must_use]
    pub fn pass_credentials(&self) -> bool {
        self.stored.lock().flags.contains(Flags::PASSCRED)
    }

    /// What an accepted socket has of the listening one: SO_PASSCRED.
    pub fn inherit(&self, listening: &Self) {
        let passes = listening.pass_credentials();
        self.stored.lock().flags.set(Flags::PASSCRED, passes);
    }

    /// SO_RCVTIMEO and SO_SNDTIMEO.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.stored.lock().timeouts
    }

    /// The value of an option that is only stored. `ENOPROTOOPT`.
    pub fn get(&self, name: i32) -> Result<Vec<u8>, Errno> {
        let stored = *self.stored.lock();
        if let Some(flag) = flag(name) {
            return Ok(int(i32::from(stored.flags.contains(flag))));
        }
        let size = |bytes| int(i32::try_from(bytes).unwrap_or(i32::MAX));
        Ok(match name {
            SO_SNDBUF => size(stored.send_buffer),
            SO_RCVBUF => size(stored.receive_buffer),
            SO_PRIORITY => int(stored.priority),
            SO_RCVLOWAT => int(stored.low_water),
            SO_SNDLOWAT => int(1),
            SO_LINGER => stored.linger.as_bytes().to_vec(),
            SO_RCVTIMEO => timeval(stored.timeouts.receive),
            SO_SNDTIMEO => timeval(stored.timeouts.send),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }

    /// Sets an option that is only stored. `EINVAL` for too short a value, `EDOM` for
    /// a wrong time, `EPERM`, `ENOPROTOOPT`.
    pub fn set(&self, name: i32, value: &[u8], context: &Context<'_>) -> Result<(), Errno> {
        match name {
            SO_LINGER => {
                let (linger, _) = Linger::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
                self.stored.lock().linger = Linger {
                    onoff: i32::from(linger.onoff != 0),
                    ..linger
                };
                return Ok(());
            }
            SO_RCVTIMEO => {
                let timeout = timeout(value)?;
                self.stored.lock().timeouts.receive = timeout;
                return Ok(());
            }
            SO_SNDTIMEO => {
                let timeout = timeout(value)?;
                self.stored.lock().timeouts.send = timeout;
                return Ok(());
            }
            _ => {}
        }
        let value = read_int(value)?;
        let may = |wanted| context.caller.credentials.capable(wanted);
        let mut stored = self.stored.lock();
        if let Some(flag) = flag(name) {
            if flag == Flags::DEBUG && value != 0 && !may(Capabilities::NET_ADMIN) {
                return Err(Errno::EACCES);
            }
            stored.flags.set(flag, value != 0);
            return Ok(());
        }
        match name {
            SO_SNDBUF => stored.send_buffer = doubled(value, DEFAULT_BUFFER, MIN_SEND),
            SO_RCVBUF => stored.receive_buffer = doubled(value, DEFAULT_BUFFER, MIN_RECEIVE),
            SO_SNDBUFFORCE | SO_RCVBUFFORCE if !may(Capabilities::NET_ADMIN) => {
                return Err(Errno::EPERM);
            }
            SO_SNDBUFFORCE => stored.send_buffer = doubled(value.max(0), MAX_FORCED, MIN_SEND),
            SO_RCVBUFFORCE => {
                stored.receive_buffer = doubled(value.max(0), MAX_FORCED, MIN_RECEIVE);
            }
            SO_PRIORITY if (0..=6).contains(&value) || may(Capabilities::NET_ADMIN) => {
                stored.priority = value;
            }
            SO_PRIORITY => return Err(Errno::EPERM),
            SO_RCVLOWAT => stored.low_water = if value < 0 { i32::MAX } else { value.max(1) },
            SO_ERROR | SO_SNDLOWAT => return Err(Errno::ENOPROTOOPT),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }
}

/// Linux takes twice what is asked for; a negative value is a huge one.
fn doubled(value: i32, max: usize, min: usize) -> usize {
    let value = usize::try_from(value).unwrap_or(max).min(max);
    value.saturating_mul(2).max(min)
}

/// An `int` as an option's value.
#[must_use]
pub fn int(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

/// An option's value as an `int`. `EINVAL` if it is too short.
pub fn read_int(value: &[u8]) -> Result<i32, Errno> {
    i32::read_from_prefix(value)
        .map(|(value, _)| value)
        .map_err(|_| Errno::EINVAL)
}

fn timeval(timeout: Option<Duration>) -> Vec<u8> {
    let timeout = timeout.unwrap_or_default();
    let value = Timeval {
        sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        usec: i64::from(timeout.subsec_micros()),
    };
    value.as_bytes().to_vec()
}

/// `None`: for ever, which zero means; negative seconds mean not at all.
fn timeout(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (value, _) = Timeval::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    let micros = u32::try_from(value.usec)
        .ok()
        .filter(|micros| *micros < 1_000_000)
        .ok_or(Errno::EDOM)?;
    let Ok(seconds) = u64::try_from(value.sec) else {
        return Ok(Some(Duration::ZERO));
    };
    let timeout = Duration::new(seconds, micros.saturating_mul(1000));
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

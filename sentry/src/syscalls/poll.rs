//! poll(2), select(2) and epoll(7): the waiting; what is ready the files say.

use std::sync::Arc;
use std::time::Duration;

use arch::abi::poll::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EpollEvent, PollEvents, PollFd,
};
use arch::abi::{OpenFlags, SigSet, Timespec, Timeval};
use base::{Addr, Errno, Pollable, Ready, num};
use fs::epoll::{EpollFile, Watched};
use fs::poll::{self, SELECT_EXCEPT, SELECT_READ, SELECT_WRITE};
use mem::{UserPtr, UserSlice};
use vfs::{Fd, FileDescription};

use super::fd::{install, on_exec};
use super::signal::check_size;
use super::{Outcome, SysErr, SysResult};
use crate::signal::{Restart, RestartBlock};
use crate::task::{Deadline, Resource, Task, Woken};

/// Descriptors of one select(2): the highest that a table can have, plus one.
const SELECT_MAX: u32 = vfs::NR_OPEN;
/// Events that one epoll_wait(2) gives at most, bounding what the sentry holds.
const EVENTS_MAX: usize = 4096;

/// When a wait of `timeout` from now ends. `EINVAL` for a time that is none.
fn deadline(task: &Task, timeout: Option<Duration>) -> Option<Deadline> {
    timeout.map(|timeout| task.deadline_in(timeout))
}

/// A timeout in milliseconds; negative: none.
fn millis(timeout: i32) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

/// A timeout behind a pointer. `EINVAL` for a time that is none.
fn timespec(task: &Task, pointer: UserPtr<Timespec>) -> Result<Option<Duration>, Errno> {
    match pointer.non_null() {
        None => Ok(None),
        Some(pointer) => {
            let time = pointer.read(task.user())?;
            time.to_duration().map(Some).ok_or(Errno::EINVAL)
        }
    }
}

/// What is left of a wait, for the calls that write it back.
fn left(task: &Task, deadline: Deadline) -> Duration {
    let now = task.deadline_in(Duration::ZERO);
    deadline.at.since(now.at)
}

/// Waits until any of `entries` is ready; what each then is, and for how many that is
/// anything. None at the deadline.
fn wait_for_any(
    task: &Task,
    entries: &[poll::Entry<'_>],
    deadline: Option<Deadline>,
) -> Result<(Vec<Ready>, usize), SysErr> {
    let found = poll::look(entries);
    let no_wait = deadline.is_some_and(|deadline| left(task, deadline).is_zero());
    if found.1 > 0 || no_wait {
        return Ok(found);
    }
    let _subscription = poll::subscribe(entries, &task.waker());
    let woken = task.block(deadline, || {
        let found = poll::look(entries);
        (found.1 > 0).then_some(found)
    });
    match woken {
        Woken::Done(found) => Ok(found),
        Woken::TimedOut => Ok((vec![Ready::empty(); entries.len()], 0)),
        Woken::Interrupted => Err(SysErr::Restart(Restart::NoHand)),
    }
}

/// The open file of each descriptor, so that it stays while it is waited for.
fn files(task: &Task, fds: impl Iterator<Item = i32>) -> Vec<Option<Arc<FileDescription>>> {
    fds.map(|fd| task.fds().get(Fd(fd)).ok()).collect()
}

fn pollable(file: &Option<Arc<FileDescription>>) -> Option<&dyn Pollable> {
    let file: &dyn Pollable = &**file.as_ref()?;
    Some(file)
}

/// The bits of poll(2)'s 16-bit fields.
fn interest_of(events: i16) -> Ready {
    Ready::from_bits_truncate(u32::from(events.cast_unsigned()))
}

fn poll_in(
    task: &Task,
    fds: UserPtr<PollFd>,
    count: usize,
    deadline: Option<Deadline>,
) -> SysResult {
    let limit = num::usize_of(task.limit(Resource::Nofile).min(vfs::NR_OPEN.into()));
    let mut list = UserSlice::new(fds, count)?.read_vec(task.user(), limit)?;
    let open = files(task, list.iter().map(|entry| entry.fd));
    // A negative descriptor is passed over: it is asked for nothing and has nothing.
    let entries: Vec<poll::Entry<'_>> = list
        .iter()
        .zip(&open)
        .filter(|(entry, _)| entry.fd >= 0)
        .map(|(entry, file)| (pollable(file), interest_of(entry.events)))
        .collect();
    let (found, ready) = wait_for_any(task, &entries, deadline)?;
    let mut found = found.into_iter();
    for entry in &mut list {
        let bits = if entry.fd >= 0 {
            found.next().unwrap_or_default()
        } else {
            Ready::empty()
        };
        entry.revents = num::low16(u64::from(bits.bits())).cast_signed();
    }
    for (index, entry) in list.iter().enumerate() {
        let offset = num::u64_of(index.saturating_mul(size_of::<PollFd>()));
        let at = fds.addr().checked_add(offset).ok_or(Errno::EFAULT)?;
        UserPtr::new(at).write(task.user(), entry)?;
    }
    Ok(Outcome::Return(num::u64_of(ready)))
}

/// Blocks the signals of a mask that the program may have given, until the call is over.
/// `EINVAL`, `EFAULT`.
fn set_mask(task: &mut Task, mask: UserPtr<SigSet>, size: usize) -> Result<(), Errno> {
    if let Some(mask) = mask.non_null() {
        check_size(size)?;
        let mask = mask.read(task.user())?;
        task.set_temporary_mask(mask);
    }
    Ok(())
}

/// poll(2).
pub fn poll(task: &mut Task, fds: UserPtr<PollFd>, count: usize, timeout: i32) -> SysResult {
    let deadline = deadline(task, millis(timeout));
    poll_to_the_end(task, fds, count, deadline)
}

/// Goes on with a poll(2) that a signal without a handler interrupted, until the time it
/// had at first: restart_syscall(2).
pub(crate) fn poll_rest(task: &mut Task, args: &[u64; 6], until: Deadline) -> SysResult {
    let [fds, count, ..] = *args;
    let (fds, count) = (UserPtr::new(Addr(fds)), num::usize_of(count));
    poll_to_the_end(task, fds, count, Some(until))
}

/// As [`poll_in`]; a signal without a handler has it go on with what is left of the time.
fn poll_to_the_end(
    task: &Task,
    fds: UserPtr<PollFd>,
    count: usize,
    deadline: Option<Deadline>,
) -> SysResult {
    match (poll_in(task, fds, count, deadline), deadline) {
        (Err(SysErr::Restart(Restart::NoHand)), Some(until)) => {
            let block = RestartBlock::Poll { until };
            Err(SysErr::Restart(Restart::Block(block)))
        }
        (other, _) => other,
    }
}

/// ppoll(2): writes back what is left of the time.
pub fn ppoll(
    task: &mut Task,
    fds: UserPtr<PollFd>,
    count: usize,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<SigSet>,
    mask_size: usize,
) -> SysResult {
    let deadline = deadline(task, timespec(task, timeout)?);
    set_mask(task, mask, mask_size)?;
    let result = poll_in(task, fds, count, deadline);
    put_left(task, timeout, deadline);
    result
}

/// Linux writes the rest of the time back, and does not mind if that fails.
fn put_left(task: &Task, timeout: UserPtr<Timespec>, deadline: Option<Deadline>) {
    if let (Some(pointer), Some(deadline)) = (timeout.non_null(), deadline) {
        let rest = Timespec::from_duration(left(task, deadline));
        let _ = pointer.write(task.user(), &rest);
    }
}

/// One of select(2)'s three sets.
struct FdSet {
    pointer: Addr,
    words: Vec<u64>,
}

impl FdSet {
    /// Reads the words that hold descriptors below `count`.
    fn read(task: &Task, pointer: UserPtr<u64>, count: u32) -> Result<Option<Self>, Errno> {
        let Some(pointer) = pointer.non_null() else {
            return Ok(None);
        };
        let len = num::usize_of(u64::from(count.div_ceil(64)));
        let words = UserSlice::new(pointer, len)?.read_vec(task.user(), len)?;
        Ok(Some(Self {
            pointer: pointer.addr(),
            words,
        }))
    }

    fn contains(&self, fd: u32) -> bool {
        let word = self.words.get(num::usize_of(u64::from(fd / 64)));
        word.is_some_and(|word| word >> (fd % 64) & 1 == 1)
    }

    fn set(&mut self, fd: u32) {
        if let Some(word) = self.words.get_mut(num::usize_of(u64::from(fd / 64))) {
            *word |= 1 << (fd % 64);
        }
    }

    fn write(&self, task: &Task) -> Result<(), Errno> {
        let bytes: Vec<u8> = self
            .words
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        if task.user().copy_out(self.pointer, &bytes)? < bytes.len() {
            return Err(Errno::EFAULT);
        }
        Ok(())
    }
}

/// The three sets with what makes a descriptor ready in each.
const KINDS: [Ready; 3] = [SELECT_READ, SELECT_WRITE, SELECT_EXCEPT];

fn select_in(
    task: &Task,
    count: i32,
    sets: [UserPtr<u64>; 3],
    deadline: Option<Deadline>,
) -> SysResult {
    let count = u32::try_from(count).map_err(|_| Errno::EINVAL)?;
    // What lies beyond the table cannot be open; Linux does not look at it either.
    let size = u32::try_from(task.fds().size()).unwrap_or(SELECT_MAX);
    let count = count.min(size);
    let mut asked = Vec::with_capacity(sets.len());
    for pointer in sets {
        asked.push(FdSet::read(task, pointer, count)?);
    }
    let mut wanted = Vec::new();
    for fd in 0..count {
        let mut interest = Ready::empty();
        for (set, kind) in asked.iter().zip(KINDS) {
            if set.as_ref().is_some_and(|set| set.contains(fd)) {
                interest |= kind;
            }
        }
        if !interest.is_empty() {
            let number = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
            let file = task.fds().get_open(Fd(number))?;
            wanted.push((fd, interest, file));
        }
    }
    let entries: Vec<poll::Entry<'_>> = wanted
        .iter()
        .map(|(_, interest, file)| {
            let file: &dyn Pollable = &**file;
            (Some(file), *interest)
        })
        .collect();
    let (found, _) = wait_for_any(task, &entries, deadline)?;
    let mut answer: Vec<Option<FdSet>> = asked
        .iter()
        .map(|set| {
            set.as_ref().map(|set| FdSet {
                pointer: set.pointer,
                words: vec![0; set.words.len()],
            })
        })
        .collect();
    let mut ready = 0_u64;
    for ((fd, _, _), bits) in wanted.iter().zip(found) {
        for ((asked, answer), kind) in asked.iter().zip(&mut answer).zip(KINDS) {
            let (Some(asked), Some(answer)) = (asked, answer) else {
                continue;
            };
            if asked.contains(*fd) && bits.intersects(kind) {
                answer.set(*fd);
                ready = ready.saturating_add(1);
            }
        }
    }
    for set in answer.iter().flatten() {
        set.write(task)?;
    }
    Ok(Outcome::Return(ready))
}

/// select(2): writes back what is left of the time, as Linux does.
pub fn select(
    task: &mut Task,
    count: i32,
    reads: UserPtr<u64>,
    writes: UserPtr<u64>,
    exceptions: UserPtr<u64>,
    timeout: UserPtr<Timeval>,
) -> SysResult {
    let span = match timeout.non_null() {
        None => None,
        Some(pointer) => {
            let time = pointer.read(task.user())?;
            if time.sec < 0 || time.usec < 0 {
                return Err(Errno::EINVAL.into());
            }
            // More than a million microseconds carry over into the seconds.
            let seconds = Duration::from_secs(time.sec.unsigned_abs());
            let micros = Duration::from_micros(time.usec.unsigned_abs());
            Some(seconds.saturating_add(micros))
        }
    };
    let deadline = deadline(task, span);
    let result = select_in(task, count, [reads, writes, exceptions], deadline);
    if let (Some(pointer), Some(deadline)) = (timeout.non_null(), deadline) {
        let rest = Timeval::from_duration(left(task, deadline));
        let _ = pointer.write(task.user(), &rest);
    }
    result
}

/// pselect6(2): the last argument points to a mask's address and size.
pub fn pselect6(
    task: &mut Task,
    count: i32,
    reads: UserPtr<u64>,
    writes: UserPtr<u64>,
    exceptions: UserPtr<u64>,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<[u64; 2]>,
) -> SysResult {
    let deadline = deadline(task, timespec(task, timeout)?);
    if let Some(mask) = mask.non_null() {
        let [pointer, size] = mask.read(task.user())?;
        set_mask(task, UserPtr::new(Addr(pointer)), num::usize_of(size))?;
    }
    let result = select_in(task, count, [reads, writes, exceptions], deadline);
    put_left(task, timeout, deadline);
    result
}

/// epoll_create(2). `EINVAL` for a size that is not positive.
pub fn epoll_create(task: &mut Task, size: i32) -> SysResult {
    if size <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create1(task, 0)
}

/// epoll_create1(2).
pub fn epoll_create1(task: &mut Task, flags: u32) -> SysResult {
    if flags & !EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    FileDescription::check_room()?;
    let ops = Box::new(EpollFile::new());
    let file = task
        .kernel
        .anonymous_file("[eventpoll]", ops, OpenFlags::RDWR);
    let close = flags & EPOLL_CLOEXEC != 0;
    Ok(install(task, file, on_exec(close))?.into())
}

/// epoll_ctl(2). `EBADF`, `EPERM`, `EINVAL` and what the instance says.
pub fn epoll_ctl(
    task: &mut Task,
    epfd: Fd,
    operation: u32,
    fd: Fd,
    event: UserPtr<EpollEvent>,
) -> SysResult {
    let event = if operation == EPOLL_CTL_DEL {
        EpollEvent::new(0, 0)
    } else {
        event.read(task.user())?
    };
    let holder = task.fds().get_open(epfd)?;
    let file = task.fds().get_open(fd)?;
    let epoll = holder.ops_as::<EpollFile>().ok_or(Errno::EINVAL)?.epoll();
    let events = PollEvents::from_bits_truncate(event.events());
    let watched: Arc<dyn Watched> = file;
    match operation {
        EPOLL_CTL_ADD => epoll.add(&watched, fd.0, events, event.data())?,
        EPOLL_CTL_MOD => epoll.modify(&watched, fd.0, events, event.data())?,
        EPOLL_CTL_DEL => epoll.remove(&watched, fd.0)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(Outcome::ZERO)
}

fn epoll_in(
    task: &Task,
    epfd: Fd,
    out: UserPtr<EpollEvent>,
    max: i32,
    deadline: Option<Deadline>,
) -> SysResult {
    let max = usize::try_from(max)
        .ok()
        .filter(|max| *max > 0)
        .ok_or(Errno::EINVAL)?;
    UserSlice::new(out, max)?;
    let max = max.min(EVENTS_MAX);
    let file = task.fds().get_open(epfd)?;
    let holder = file.ops_as::<EpollFile>().ok_or(Errno::EINVAL)?;
    let epoll = holder.epoll();
    let mut events = epoll.collect(max);
    let no_wait = deadline.is_some_and(|deadline| left(task, deadline).is_zero());
    if events.is_empty() && !no_wait {
        let _subscription = holder.subscribe(&task.waker(), Ready::IN);
        let woken = task.block(deadline, || {
            let events = epoll.collect(max);
            (!events.is_empty()).then_some(events)
        });
        events = match woken {
            Woken::Done(events) => events,
            Woken::TimedOut => Vec::new(),
            Woken::Interrupted => return Err(SysErr::Restart(Restart::Never)),
        };
    }
    let mut at = out.addr();
    for event in &events {
        let record = EpollEvent::new(event.events.bits(), event.data);
        UserPtr::new(at).write(task.user(), &record)?;
        at = at.checked_add(EpollEvent::SIZE).ok_or(Errno::EFAULT)?;
    }
    Ok(Outcome::Return(num::u64_of(events.len())))
}

/// epoll_wait(2).
pub fn epoll_wait(
    task: &mut Task,
    epfd: Fd,
    out: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
) -> SysResult {
    let deadline = deadline(task, millis(timeout));
    epoll_in(task, epfd, out, max, deadline)
}

/// epoll_pwait(2).
pub fn epoll_pwait(
    task: &mut Task,
    epfd: Fd,
    out: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
    mask: UserPtr<SigSet>,
    mask_size: usize,
) -> SysResult {
    let deadline = deadline(task, millis(timeout));
    set_mask(task, mask, mask_size)?;
    epoll_in(task, epfd, out, max, deadline)
}

/// epoll_pwait2(2).
pub fn epoll_pwait2(
    task: &mut Task,
    epfd: Fd,
    out: UserPtr<EpollEvent>,
    max: i32,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<SigSet>,
    mask_size: usize,
) -> SysResult {
    let deadline = deadline(task, timespec(task, timeout)?);
    set_mask(task, mask, mask_size)?;
    epoll_in(task, epfd, out, max, deadline)
}

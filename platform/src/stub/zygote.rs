//! The way from the sentry's own process to the zygote's image: fork, descriptors,
//! exec. Before confinement only, so no rules.
//!
//! Invariant `[child]`: between fork and exec the child makes system calls on values
//! that were prepared before, and nothing else: no allocation, no lock, no return.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use arch::abi::Errno;

use crate::host;

/// Descriptors are first moved above all final numbers.
const ABOVE: i32 = 128;

/// What the child needs, as plain numbers.
struct Plan {
    /// (descriptor here, number there).
    descriptors: Vec<(i32, i32)>,
    image: i32,
    /// Write end of a pipe that closes when the image is executed, or tells an errno.
    report: i32,
    /// What the stubs may call.
    filter: Vec<libc::sock_filter>,
}

/// Starts a process from `image` with these descriptors at these numbers, and no other,
/// under `filter`.
/// Returns when it has been executed, with its pid.
pub(crate) fn spawn(
    descriptors: &[(BorrowedFd<'_>, u32)],
    image: BorrowedFd<'_>,
    filter: Vec<libc::sock_filter>,
) -> Result<i32, Errno> {
    let (result, report) = host::pipe()?;
    let mut plan = Plan {
        descriptors: descriptors
            .iter()
            .map(|(fd, number)| (fd.as_raw_fd(), i32::try_from(*number).unwrap_or(0)))
            .collect(),
        image: image.as_raw_fd(),
        report: report.as_raw_fd(),
        filter,
    };
    // SAFETY: [child] the child runs `child` alone.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        child(&mut plan);
    }
    if pid < 0 {
        return Err(host::last_errno());
    }
    drop(report);
    let mut code = [0; 2];
    match host::read(result.as_fd(), &mut code)? {
        2 => {
            host::reap_blocking(pid);
            Err(Errno(u16::from_ne_bytes(code)))
        }
        // Closed by exec. What fails later shows at the first request.
        _ => Ok(pid),
    }
}

fn child(plan: &mut Plan) -> ! {
    let errno = prepare(plan).err().unwrap_or(Errno::EIO);
    let code = errno.0.to_ne_bytes();
    // SAFETY: [child] two bytes of a live array.
    unsafe { libc::write(plan.report, code.as_ptr().cast(), code.len()) };
    // SAFETY: [child] ends the child without any of the parent's exit handlers.
    unsafe { libc::_exit(127) }
}

/// Everything up to exec, which does not return.
fn prepare(plan: &mut Plan) -> Result<(), Errno> {
    plan.report = above(plan.report)?;
    plan.image = above(plan.image)?;
    for (fd, _) in &mut plan.descriptors {
        *fd = above(*fd)?;
    }
    let mut last = 0;
    for &(fd, number) in &plan.descriptors {
        // SAFETY: [child] numbers only.
        done(unsafe { libc::dup2(fd, number) })?;
        last = i32::max(last, number);
    }
    // What lies between, and standard input, output and error, is not the stub's business.
    for number in 0..last {
        if !plan.descriptors.iter().any(|&(_, taken)| taken == number) {
            let number = number.cast_unsigned();
            close(number, number)?;
        }
    }
    close_on_exec(last.saturating_add(1))?;
    host::leave_session();
    host::reset_signals();
    host::no_core_files();
    host::setup::no_new_privs()?;
    host::setup::drop_capabilities(0)?;
    // After the credentials: a change of those clears it.
    host::die_with_maker()?;
    restrict(&mut plan.filter)?;
    execute(plan.image)
}

/// Installs the filter.
fn restrict(filter: &mut [libc::sock_filter]) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(0),
        filter: filter.as_mut_ptr(),
    };
    let (set, mode) = (libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER);
    // SAFETY: [child] a live program, whose length is the slice's.
    done(unsafe { libc::prctl(set, mode, &raw const program) }).map(drop)
}

fn above(fd: i32) -> Result<i32, Errno> {
    // SAFETY: [child] numbers only.
    done(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, ABOVE) })
}

fn close(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: [child] numbers only.
    done(unsafe { libc::close_range(first, last, 0) }).map(drop)
}

fn close_on_exec(first: i32) -> Result<(), Errno> {
    let first = first.cast_unsigned();
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: [child] numbers only.
    done(unsafe { libc::close_range(first, u32::MAX, flags) }).map(drop)
}

fn execute(image: i32) -> Result<(), Errno> {
    let name = c"ringfence-stub";
    let arguments = [name.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: [child] NUL-terminated strings and null-terminated arrays of them.
    done(unsafe { libc::fexecve(image, arguments.as_ptr(), environment.as_ptr()) }).map(drop)
}

fn done(result: i32) -> Result<i32, Errno> {
    if result < 0 {
        Err(host::last_errno())
    } else {
        Ok(result)
    }
}

//! The start of the platform: files, filters, the stub's image, the zygote.

use std::os::fd::AsFd;
use std::sync::Arc;

use arch::abi::num::u64_of;
use arch::abi::{Addr, Errno, PAGE_SIZE};

use super::areas::Areas;
use super::filter::Stops;
use super::shared::{AREAS_NR, AREAS_READ_NR, MAPS_NR, Shared};
use super::spin::Cores;
use super::{Fast, Options, code, filter, fixes, kernels, kick, layout, machine};
use crate::host;
use crate::memory::MemoryFile;
use crate::stub::control::Control;
use crate::stub::family::{Family, Setup, Table, boot_ops};
use crate::stub::{self, Op, Place};
use crate::{Limits, PlatformError};

/// SA_SIGINFO | SA_ONSTACK | SA_RESTART.
pub(super) const ACTION_FLAGS: u64 = 4 | 0x0800_0000 | 0x1000_0000;

/// What faults, exceptions, the filter and the sentry raise.
const SIGNALS: [i32; 7] = [
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGSYS,
    kick::SIGNAL,
];

fn refused(what: &'static str) -> impl Fn(Errno) -> PlatformError {
    move |errno| PlatformError::Host { what, errno }
}

/// See [`super::Seccomp::start`].
pub(super) fn start(
    memory: &Arc<MemoryFile>,
    options: Options,
) -> Result<Arc<Shared>, PlatformError> {
    if let Some(why) = machine::missing() {
        return Err(PlatformError::Unavailable(why.to_owned()));
    }
    kernels::check()?;
    let failed = refused("making the files that stubs share");
    let control = Control::create().map_err(&failed)?;
    let maps = Control::create().map_err(&failed)?;
    let maps_read_only = maps.read_only().map_err(&failed)?;
    let areas = Areas::create().map_err(&failed)?;
    let areas_read_only = host::reopen_read_only(areas.file()).map_err(&failed)?;
    let family = Family::start(Setup {
        memory: memory.as_fd(),
        files: &[
            (areas.file(), AREAS_NR),
            (areas_read_only.as_fd(), AREAS_READ_NR),
            (maps_read_only.as_fd(), MAPS_NR),
        ],
        control,
        filter: filter::base(),
        image: &|place| image(place, options),
        table: Table::Own,
    })?;
    let limits = Limits {
        min_address: Addr(family.min_address),
        max_address: Addr(family.max_address),
        reports_preemption: false,
    };
    Ok(Arc::new(Shared {
        family,
        limits,
        options,
        cores: Arc::new(Cores::new(host::cpu_count().get())),
        watch: Arc::default(),
        areas,
        maps: Arc::new(maps),
        _memory: Arc::clone(memory),
    }))
}

/// The stub's image: the keeper's code, this platform's, and the tables that the kernel
/// reads from the code page.
fn image(place: Place, options: Options) -> Vec<u8> {
    let at = |offset| place.code.saturating_add(u64_of(offset));
    let action = machine::action(code::Point::Handler.address(place));
    let action: Vec<u8> = action.iter().flat_map(|word| word.to_le_bytes()).collect();
    let stops = Stops {
        reported: code::Point::Reported.address(place),
        returned: fixes::returned(place),
    };
    let whole = match options.fast.contains(Fast::WHOLE) {
        true => fixes::WHOLE,
        false => &[],
    };
    let program = filter::bytes(&filter::program(stops, whole), at(layout::PROGRAM));
    let [first, end] = Areas::range(place);
    let areas: Vec<u8> = [first, end]
        .iter()
        .flat_map(|at| at.to_le_bytes())
        .collect();
    // Stubs keep all that is theirs above what guests get: see `Family`.
    let mapper = filter::mapper(place.code);
    let mapper = filter::bytes(&mapper, at(layout::MAPPER_PROGRAM));
    stub::image_with(
        place,
        &boot(place),
        &[
            (layout::CODE, code::bytes()),
            (layout::ACTION, &action),
            (layout::MASK, &u64::MAX.to_le_bytes()),
            (layout::AREAS, &areas),
            (layout::PROGRAM, &program),
            (layout::MAPPER_PROGRAM, &mapper),
        ],
    )
}

/// What the zygote does first: besides what all do, block all signals, install the one
/// handler, and seal the code page, where that can be done.
fn boot(place: Place) -> Vec<Op> {
    /// SIG_SETMASK.
    const SET: u64 = 2;
    let at = |offset| place.code.saturating_add(u64_of(offset));
    let mut ops = boot_ops(place);
    let mask = [SET, at(layout::MASK), 0, 8];
    ops.push(Op::new(libc::SYS_rt_sigprocmask, mask));
    for signal in SIGNALS {
        let signal = u64::from(signal.cast_unsigned());
        let args = [signal, at(layout::ACTION), 0, 8];
        ops.push(Op::new(libc::SYS_rt_sigaction, args));
    }
    if host::can_seal() {
        ops.push(Op::new(host::MSEAL, [place.code, PAGE_SIZE]));
    }
    ops
}

//! Register layouts against those of the C library on the machine the test runs on.

use std::mem::offset_of;

#[cfg(target_arch = "x86_64")]
#[test]
fn registers_match_the_c_library() {
    use arch::Regs;
    use libc::user_regs_struct as User;
    assert_eq!(size_of::<Regs>(), size_of::<User>());
    assert_eq!(offset_of!(Regs, r15), offset_of!(User, r15));
    assert_eq!(offset_of!(Regs, rax), offset_of!(User, rax));
    assert_eq!(offset_of!(Regs, orig_rax), offset_of!(User, orig_rax));
    assert_eq!(offset_of!(Regs, rip), offset_of!(User, rip));
    assert_eq!(offset_of!(Regs, eflags), offset_of!(User, eflags));
    assert_eq!(offset_of!(Regs, rsp), offset_of!(User, rsp));
    assert_eq!(offset_of!(Regs, fs_base), offset_of!(User, fs_base));
    assert_eq!(offset_of!(Regs, gs), offset_of!(User, gs));
}

#[cfg(target_arch = "aarch64")]
#[test]
fn registers_match_the_c_library() {
    use arch::Regs;
    use libc::user_regs_struct as User;
    assert_eq!(Regs::PRSTATUS_SIZE, size_of::<User>());
    assert_eq!(offset_of!(Regs, x), offset_of!(User, regs));
    assert_eq!(offset_of!(Regs, sp), offset_of!(User, sp));
    assert_eq!(offset_of!(Regs, pc), offset_of!(User, pc));
    assert_eq!(offset_of!(Regs, pstate), offset_of!(User, pstate));
}

#[test]
fn stat_matches_the_c_library() {
    use arch::abi::Stat;
    assert_eq!(size_of::<Stat>(), size_of::<libc::stat>());
    assert_eq!(offset_of!(Stat, mode), offset_of!(libc::stat, st_mode));
    assert_eq!(offset_of!(Stat, nlink), offset_of!(libc::stat, st_nlink));
    assert_eq!(offset_of!(Stat, uid), offset_of!(libc::stat, st_uid));
    assert_eq!(offset_of!(Stat, rdev), offset_of!(libc::stat, st_rdev));
    assert_eq!(offset_of!(Stat, size), offset_of!(libc::stat, st_size));
    assert_eq!(
        offset_of!(Stat, blksize),
        offset_of!(libc::stat, st_blksize)
    );
    assert_eq!(offset_of!(Stat, blocks), offset_of!(libc::stat, st_blocks));
    assert_eq!(offset_of!(Stat, mtime), offset_of!(libc::stat, st_mtime));
    use arch::abi::poll::EpollEvent;
    assert_eq!(size_of::<EpollEvent>(), size_of::<libc::epoll_event>());
    assert_eq!(EpollEvent::new(1, 2).data(), 2);
}

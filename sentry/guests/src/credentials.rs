//! User and group ids, capabilities, no_new_privs.

use crate::runner::Case;
use crate::support::*;

pub const CASES: &[&[Case]] = &[ALL];

crate::cases!(ALL "credentials":
    ids_agree, setuid_to_self, setuid_of_ordinary_user, setresuid_drops_root, seteuid_and_back, setgid_rules, groups_roundtrip, setfsuid_reports, capget_versions, capget_of_others,
    capset_drops, capabilities_lost_with_root, keepcaps_keeps, no_new_privs_stays, set_id_program_is_harmless, ids_in_proc_status, setreuid_rules, bounding_set, securebits,
    ids_after_fork_and_exec, thread_credentials_are_own,
);

unsafe fn resuid() -> (uid_t, uid_t, uid_t) {
    let (mut r, mut e, mut s) = (0, 0, 0);
    ok(getresuid(&raw mut r, &raw mut e, &raw mut s));
    (r, e, s)
}

unsafe fn resgid() -> (gid_t, gid_t, gid_t) {
    let (mut r, mut e, mut s) = (0, 0, 0);
    ok(getresgid(&raw mut r, &raw mut e, &raw mut s));
    (r, e, s)
}

/// Root with the right to change ids; else the case is for others.
unsafe fn need_root() {
    if !is_root() {
        skip("needs root");
    }
    if setresuid(u32::MAX, 1234, u32::MAX) == -1 || seteuid(0) == -1 {
        skip("root without the right to change ids");
    }
}

unsafe fn ids_agree() {
    eq(resuid(), (getuid(), geteuid(), getuid()));
    eq(resgid(), (getgid(), getegid(), getgid()));
    eq(getauxval(AT_UID), u64::from(getuid()));
    err(getresuid(16 as *mut uid_t, null_mut(), null_mut()), EFAULT);
}

unsafe fn setuid_to_self() {
    ok(setuid(getuid()));
    ok(setgid(getgid()));
    ok(setresuid(u32::MAX, u32::MAX, u32::MAX));
    ok(setreuid(u32::MAX, u32::MAX));
    err(setuid(u32::MAX), EINVAL);
    err(setgid(u32::MAX), EINVAL);
}

unsafe fn setuid_of_ordinary_user() {
    if is_root() {
        need_root();
        ok(setresuid(1234, 1234, 1234));
    }
    let me = getuid();
    err(setuid(0), EPERM);
    err(setresuid(0, u32::MAX, u32::MAX), EPERM);
    err(setresuid(u32::MAX, me + 1, u32::MAX), EPERM);
    err(seteuid(0), EPERM);
    eq(resuid(), (me, me, me));
}

unsafe fn setresuid_drops_root() {
    need_root();
    ok(setresuid(1234, 1234, 1234));
    eq(resuid(), (1234, 1234, 1234));
    err(setresuid(0, 0, 0), EPERM);
    // The directory is root's alone.
    err(sys::open(c"f", O_RDWR | O_CREAT, 0o600), EACCES);
}

unsafe fn seteuid_and_back() {
    need_root();
    ok(seteuid(1234));
    eq(resuid(), (0, 1234, 0));
    err(setresuid(5, 5, 5), EPERM);
    ok(seteuid(0));
    eq(resuid(), (0, 0, 0));
    // setuid(2) by root sets all three.
    ok(setuid(1234));
    eq(resuid(), (1234, 1234, 1234));
}

unsafe fn setreuid_rules() {
    need_root();
    // Setting the real id, or the effective one to another than the real, moves the saved one.
    ok(setreuid(1234, 4321));
    eq(resuid(), (1234, 4321, 4321));
    ok(setreuid(u32::MAX, 1234));
    eq(resuid(), (1234, 1234, 4321));
    ok(setresuid(u32::MAX, 4321, u32::MAX));
    err(setreuid(u32::MAX, 0), EPERM);
}

unsafe fn setgid_rules() {
    if !is_root() {
        err(setgid(getgid() + 1), EPERM);
        err(setresgid(u32::MAX, getgid() + 1, u32::MAX), EPERM);
        return;
    }
    need_root();
    ok(setresgid(11, 12, 13));
    eq(resgid(), (11, 12, 13));
    ok(setregid(14, u32::MAX));
    eq(resgid(), (14, 12, 12));
    file_with(c"f", b"");
    eq(sys::stat(c"f").st_gid, 12);
}

unsafe fn groups_roundtrip() {
    let count = ok(getgroups(0, null_mut()));
    let mut groups = vec![0; count as usize + 4];
    eq(
        ok(getgroups(groups.len() as c_int, groups.as_mut_ptr())),
        count,
    );
    if count > 1 {
        err(getgroups(count - 1, groups.as_mut_ptr()), EINVAL);
    }
    err(getgroups(-1, groups.as_mut_ptr()), EINVAL);
    if !is_root() {
        err(setgroups(0, null()), EPERM);
        return;
    }
    need_root();
    if setgroups(3, [7, 5, 6].as_ptr()) == -1 {
        skip("groups may not be set here");
    }
    eq(ok(getgroups(8, groups.as_mut_ptr())), 3);
    let mut seen = groups[..3].to_vec();
    seen.sort_unstable();
    eq(seen, vec![5, 6, 7]);
    err(setgroups(65537, groups.as_ptr()), EINVAL);
    // A supplementary group opens files.
    let fd = file_with(c"f", b"x");
    ok(fchown(fd, 0, 6));
    ok(fchmod(fd, 0o040));
    ok(sys::chmod(c".", 0o755));
    ok(setresuid(1234, 1234, 1234));
    ok(sys::open(c"f", O_RDONLY, 0));
    err(sys::open(c"f", O_WRONLY, 0), EACCES);
}

unsafe fn setfsuid_reports() {
    // Returns the one before, and changes nothing if refused.
    eq(setfsuid(u32::MAX) as uid_t, geteuid());
    eq(setfsgid(u32::MAX) as gid_t, getegid());
    eq(setfsuid(geteuid()) as uid_t, geteuid());
}

#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

const VERSION_3: u32 = 0x2008_0522;

/// Effective, permitted and inheritable sets.
unsafe fn capabilities() -> [u64; 3] {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [[0_u32; 3]; 2];
    ok(syscall(SYS_capget, &raw mut header, data.as_mut_ptr()));
    std::array::from_fn(|i| u64::from(data[0][i]) | u64::from(data[1][i]) << 32)
}

unsafe fn set_capabilities(sets: [u64; 3]) -> c_long {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let data = [sets.map(|s| s as u32), sets.map(|s| (s >> 32) as u32)];
    syscall(SYS_capset, &raw mut header, data.as_ptr())
}

unsafe fn capget_versions() {
    let mut header = Header { version: 0, pid: 0 };
    // An unknown version is answered with the one to use.
    ok(syscall(SYS_capget, &raw mut header, 0));
    eq(header.version, VERSION_3);
    header.version = 0x1234;
    let mut data = [0_u32; 6];
    err(
        syscall(SYS_capget, &raw mut header, data.as_mut_ptr()),
        EINVAL,
    );
    let [effective, permitted, _] = capabilities();
    eq(effective & !permitted, 0);
    if !is_root() {
        eq(effective, 0);
    }
}

unsafe fn capget_of_others() {
    let mut data = [0_u32; 6];
    let mut header = Header {
        version: VERSION_3,
        pid: getppid(),
    };
    ok(syscall(SYS_capget, &raw mut header, data.as_mut_ptr()));
    header.pid = 0x3fff_ffff;
    err(
        syscall(SYS_capget, &raw mut header, data.as_mut_ptr()),
        ESRCH,
    );
    header.pid = -1;
    err(
        syscall(SYS_capget, &raw mut header, data.as_mut_ptr()),
        EINVAL,
    );
    header.pid = getppid();
    err(syscall(SYS_capset, &raw mut header, data.as_ptr()), EPERM);
}

unsafe fn capset_drops() {
    let [_, permitted, _] = capabilities();
    // Never more than what is permitted.
    let more = permitted | 1 << 40;
    if more != permitted {
        err(set_capabilities([more, more, 0]), EPERM);
    }
    ok(set_capabilities([0, permitted, 0]));
    eq(capabilities()[0], 0);
    ok(set_capabilities([permitted, permitted, 0]));
    ok(set_capabilities([0, 0, 0]));
    eq(capabilities(), [0, 0, 0]);
    if permitted != 0 {
        err(set_capabilities([permitted, permitted, 0]), EPERM);
        // Root in name only.
        err(chroot(c".".as_ptr()), EPERM);
    }
}

unsafe fn capabilities_lost_with_root() {
    need_root();
    let before = capabilities();
    check(before[1] != 0, "root has some");
    ok(seteuid(1234));
    eq((capabilities()[0], capabilities()[1]), (0, before[1]));
    ok(seteuid(0));
    eq(capabilities()[0], before[1]);
    ok(setresuid(1234, 1234, 1234));
    eq((capabilities()[0], capabilities()[1]), (0, 0));
}

unsafe fn keepcaps_keeps() {
    need_root();
    let before = capabilities();
    ok(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    ok(setresuid(1234, 1234, 1234));
    eq((capabilities()[0], capabilities()[1]), (0, before[1]));
    ok(set_capabilities([before[1], before[1], 0]));
}

unsafe fn no_new_privs_stays() {
    // May have been on from the start.
    check(ok(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)) >= 0, "a value");
    err(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    err(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    eq(ok(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)), 1);
    in_child(|| eq(ok(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)), 1));
}

unsafe fn set_id_program_is_harmless() {
    // With no_new_privs a set-user-id bit changes nothing.
    std::fs::copy("/proc/self/exe", "program").unwrap();
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    if is_root() && chown(c"program".as_ptr(), 1234, 1234) == -1 {
        skip("other ids aren't mapped here");
    }
    ok(sys::chmod(c"program", 0o6755));
    let pid = child(|| {
        let (_keep, argv) = crate::helper::argv(&["uid"]);
        execv(c"./program".as_ptr(), argv.as_ptr());
        99
    });
    exits(pid, (geteuid() & 0x3f) as c_int);
}

unsafe fn ids_in_proc_status() {
    let status = slurp("/proc/self/status");
    let line = |key: &str| -> Vec<String> {
        let line = status.lines().find(|l| l.starts_with(key)).unwrap_or("");
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    let (r, e, s) = resuid();
    eq(
        line("Uid:"),
        vec![r.to_string(), e.to_string(), s.to_string(), e.to_string()],
    );
    let (r, e, s) = resgid();
    eq(
        line("Gid:"),
        vec![r.to_string(), e.to_string(), s.to_string(), e.to_string()],
    );
    eq(line("CapEff:"), vec![format!("{:016x}", capabilities()[0])]);
}

unsafe fn bounding_set() {
    check(ok(prctl(PR_CAPBSET_READ, 0, 0, 0, 0)) <= 1, "a bit");
    err(prctl(PR_CAPBSET_READ, 63, 0, 0, 0), EINVAL);
    let result = prctl(PR_CAPBSET_DROP, 5, 0, 0, 0);
    if capabilities()[0] & 1 << 8 == 0 {
        err(result, EPERM);
    } else {
        ok(result);
        eq(ok(prctl(PR_CAPBSET_READ, 5, 0, 0, 0)), 0);
    }
}

unsafe fn securebits() {
    check(ok(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0)) >= 0, "a value");
    if !is_root() {
        err(prctl(PR_SET_SECUREBITS, 1, 0, 0, 0), EPERM);
    }
}

unsafe fn ids_after_fork_and_exec() {
    in_child(|| eq(getuid(), geteuid()));
    exits(
        child(|| crate::helper::exec(&["uid"])),
        (geteuid() & 0x3f) as c_int,
    );
}

unsafe fn thread_credentials_are_own() {
    // The raw call changes the calling thread only.
    if !is_root() {
        skip("needs root");
    }
    std::thread::spawn(|| {
        if syscall(SYS_setresuid, 1234, 1234, 1234) == -1 {
            return;
        }
        eq(syscall(SYS_geteuid), 1234);
    })
    .join()
    .unwrap();
    eq(syscall(SYS_geteuid), 0);
}

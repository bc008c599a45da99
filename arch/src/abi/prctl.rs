//! Process attributes, capabilities and seccomp: prctl(2), capabilities(7), seccomp(2).

use super::macros::{abi_struct, flags, numbers};

numbers! {
    u32, prctl_numbers = linux_raw_sys::prctl;
    PR_SET_PDEATHSIG 1 "Signal when the parent ends.";
    PR_GET_PDEATHSIG 2 "Signal when the parent ends.";
    PR_GET_DUMPABLE 3 "Whether core dumps and tracing are allowed.";
    PR_SET_DUMPABLE 4 "Whether core dumps and tracing are allowed.";
    PR_GET_UNALIGN 5 "Unaligned access control; not on these machines.";
    PR_SET_UNALIGN 6 "Unaligned access control; not on these machines.";
    PR_GET_KEEPCAPS 7 "Keep capabilities across setuid(2).";
    PR_SET_KEEPCAPS 8 "Keep capabilities across setuid(2).";
    PR_GET_TIMING 13 "Process timing; always statistical.";
    PR_SET_TIMING 14 "Process timing; always statistical.";
    PR_SET_NAME 15 "The thread's name.";
    PR_GET_NAME 16 "The thread's name.";
    PR_GET_SECCOMP 21 "Seccomp mode.";
    PR_SET_SECCOMP 22 "Seccomp mode.";
    PR_CAPBSET_READ 23 "Whether a capability is in the bounding set.";
    PR_CAPBSET_DROP 24 "Drop a capability from the bounding set.";
    PR_GET_TSC 25 "Whether RDTSC is allowed; x86 only.";
    PR_SET_TSC 26 "Whether RDTSC is allowed; x86 only.";
    PR_GET_SECUREBITS 27 "Secure bits.";
    PR_SET_SECUREBITS 28 "Secure bits.";
    PR_SET_TIMERSLACK 29 "Timer slack in nanoseconds.";
    PR_GET_TIMERSLACK 30 "Timer slack in nanoseconds.";
    PR_SET_MM 35 "Fields of the memory map.";
    PR_SET_CHILD_SUBREAPER 36 "Adopt orphaned descendants.";
    PR_GET_CHILD_SUBREAPER 37 "Adopt orphaned descendants.";
    PR_SET_NO_NEW_PRIVS 38 "execve(2) gives no privileges.";
    PR_GET_NO_NEW_PRIVS 39 "execve(2) gives no privileges.";
    PR_GET_TID_ADDRESS 40 "The address of set_tid_address(2).";
    PR_SET_THP_DISABLE 41 "No transparent huge pages.";
    PR_GET_THP_DISABLE 42 "No transparent huge pages.";
    PR_CAP_AMBIENT 47 "Ambient capabilities.";
    PR_CAP_AMBIENT_IS_SET 1 "Whether it is ambient.";
    PR_CAP_AMBIENT_RAISE 2 "Make it ambient.";
    PR_CAP_AMBIENT_LOWER 3 "Take it out.";
    PR_CAP_AMBIENT_CLEAR_ALL 4 "Take all out.";
    PR_SVE_SET_VL 50 "SVE vector length; arm64 only.";
    PR_SVE_GET_VL 51 "SVE vector length; arm64 only.";
    PR_GET_SPECULATION_CTRL 52 "Speculation control.";
    PR_SET_SPECULATION_CTRL 53 "Speculation control.";
    PR_PAC_RESET_KEYS 54 "New pointer authentication keys; arm64 only.";
    PR_SET_TAGGED_ADDR_CTRL 55 "Tagged addresses; arm64 only.";
    PR_GET_TAGGED_ADDR_CTRL 56 "Tagged addresses; arm64 only.";
    PR_SET_IO_FLUSHER 57 "The thread helps with memory reclaim.";
    PR_GET_IO_FLUSHER 58 "The thread helps with memory reclaim.";
    PR_SET_SYSCALL_USER_DISPATCH 59 "System calls as signals.";
    PR_PAC_SET_ENABLED_KEYS 60 "Enabled pointer authentication keys; arm64 only.";
    PR_PAC_GET_ENABLED_KEYS 61 "Enabled pointer authentication keys; arm64 only.";
    PR_SET_MDWE 65 "Refuse memory that is writable and executable.";
    PR_GET_MDWE 66 "Refuse memory that is writable and executable.";
    PR_SET_VMA 0x5356_4d41 "Name a mapping.";
    PR_SET_VMA_ANON_NAME 0 "Name an anonymous mapping.";
    PR_SET_PTRACER 0x5961_6d61 "Who may trace, with Yama.";
    PR_TSC_ENABLE 1 "RDTSC works.";
    PR_TSC_SIGSEGV 2 "RDTSC is SIGSEGV.";
}

numbers! {
    u32;
    ARCH_SET_GS 0x1001 "arch_prctl(2): set the GS base.";
    ARCH_SET_FS 0x1002 "arch_prctl(2): set the FS base.";
    ARCH_GET_FS 0x1003 "arch_prctl(2): get the FS base.";
    ARCH_GET_GS 0x1004 "arch_prctl(2): get the GS base.";
    ARCH_GET_CPUID 0x1011 "arch_prctl(2): whether CPUID works.";
    ARCH_SET_CPUID 0x1012 "arch_prctl(2): whether CPUID works.";
    ARCH_GET_XCOMP_SUPP 0x1021 "arch_prctl(2): XSAVE features of the kernel.";
    ARCH_GET_XCOMP_PERM 0x1022 "arch_prctl(2): XSAVE features allowed.";
    ARCH_REQ_XCOMP_PERM 0x1023 "arch_prctl(2): ask for an XSAVE feature.";
    ARCH_CET_STATUS 0x3001 "arch_prctl(2): old shadow stack query; EINVAL.";
    TASK_COMM_LEN 16 "Bytes of a thread's name with the final zero.";
}

abi_struct! {
    /// `struct __user_cap_header_struct`: capget(2).
    pub struct CapHeader {
        /// `LINUX_CAPABILITY_VERSION_` of the data.
        pub version: u32,
        /// The thread; zero: the caller.
        pub pid: i32,
    }
}

abi_struct! {
    /// `struct __user_cap_data_struct`: 32 of the capabilities; version 3 has two of these.
    pub struct CapData {
        /// Effective.
        pub effective: u32,
        /// Permitted.
        pub permitted: u32,
        /// Inheritable.
        pub inheritable: u32,
    }
}

numbers! {
    u32, cap_versions = linux_raw_sys::general;
    _LINUX_CAPABILITY_VERSION_1 0x1998_0330 "One `CapData`.";
    _LINUX_CAPABILITY_VERSION_2 0x2007_1026 "Two; deprecated.";
    _LINUX_CAPABILITY_VERSION_3 0x2008_0522 "Two.";
}

numbers! {
    u8, capabilities = linux_raw_sys::general;
    CAP_CHOWN 0 "Change owners.";
    CAP_DAC_OVERRIDE 1 "Override permissions.";
    CAP_DAC_READ_SEARCH 2 "Override read and search permissions.";
    CAP_FOWNER 3 "Act as the owner.";
    CAP_FSETID 4 "Keep set-id bits.";
    CAP_KILL 5 "Signal anyone.";
    CAP_SETGID 6 "Set group ids.";
    CAP_SETUID 7 "Set user ids.";
    CAP_SETPCAP 8 "Change bounding set and secure bits.";
    CAP_LINUX_IMMUTABLE 9 "Change immutable flags.";
    CAP_NET_BIND_SERVICE 10 "Ports below 1024.";
    CAP_NET_BROADCAST 11 "Unused.";
    CAP_NET_ADMIN 12 "Configure the network.";
    CAP_NET_RAW 13 "Raw sockets.";
    CAP_IPC_LOCK 14 "Lock memory.";
    CAP_IPC_OWNER 15 "Override IPC permissions.";
    CAP_SYS_MODULE 16 "Load modules.";
    CAP_SYS_RAWIO 17 "Raw I/O.";
    CAP_SYS_CHROOT 18 "chroot(2).";
    CAP_SYS_PTRACE 19 "Trace anyone.";
    CAP_SYS_PACCT 20 "acct(2).";
    CAP_SYS_ADMIN 21 "mount(2) and much else.";
    CAP_SYS_BOOT 22 "reboot(2).";
    CAP_SYS_NICE 23 "Raise priorities.";
    CAP_SYS_RESOURCE 24 "Raise limits.";
    CAP_SYS_TIME 25 "Set clocks.";
    CAP_SYS_TTY_CONFIG 26 "vhangup(2).";
    CAP_MKNOD 27 "Make device files.";
    CAP_LEASE 28 "Leases on any file.";
    CAP_AUDIT_WRITE 29 "Write audit records.";
    CAP_AUDIT_CONTROL 30 "Configure auditing.";
    CAP_SETFCAP 31 "Set file capabilities.";
    CAP_MAC_OVERRIDE 32 "Override mandatory access control.";
    CAP_MAC_ADMIN 33 "Configure mandatory access control.";
    CAP_SYSLOG 34 "syslog(2).";
    CAP_WAKE_ALARM 35 "Timers that wake the machine.";
    CAP_BLOCK_SUSPEND 36 "Keep the machine awake.";
    CAP_AUDIT_READ 37 "Read audit records.";
    CAP_PERFMON 38 "Performance monitoring.";
    CAP_BPF 39 "bpf(2).";
    CAP_CHECKPOINT_RESTORE 40 "Checkpoint and restore.";
    CAP_LAST_CAP 40 "The last one.";
}

abi_struct! {
    /// `struct sock_filter`: one instruction of classic BPF.
    pub struct SockFilter {
        /// Operation.
        pub code: u16,
        /// Instructions to skip if true.
        pub jt: u8,
        /// Instructions to skip if false.
        pub jf: u8,
        /// Operand.
        pub k: u32,
    }
}

abi_struct! {
    /// `struct sock_fprog`: a classic BPF program.
    pub struct SockFprog {
        /// Instructions.
        pub len: u16,
        #[doc(hidden)]
        pub pad: [u16; 3],
        /// Address of the `SockFilter`s.
        pub filter: u64,
    }
}

abi_struct! {
    /// `struct seccomp_data`: what a filter sees.
    pub struct SeccompData {
        /// System call number.
        pub nr: i32,
        /// `AUDIT_ARCH_` of the call.
        pub arch: u32,
        /// Address after the system call instruction.
        pub instruction_pointer: u64,
        /// Arguments.
        pub args: [u64; 6],
    }
}

numbers! {
    u32, seccomp_numbers = libc;
    SECCOMP_MODE_DISABLED 0 "No seccomp.";
    SECCOMP_MODE_STRICT 1 "read(2), write(2), _exit(2), sigreturn(2).";
    SECCOMP_MODE_FILTER 2 "Filters.";
    SECCOMP_SET_MODE_STRICT 0 "seccomp(2): strict mode.";
    SECCOMP_SET_MODE_FILTER 1 "seccomp(2): add a filter.";
    SECCOMP_GET_ACTION_AVAIL 2 "seccomp(2): whether an action is known.";
    SECCOMP_GET_NOTIF_SIZES 3 "seccomp(2): sizes of the notification structs.";
    SECCOMP_RET_KILL_PROCESS 0x8000_0000 "End the process.";
    SECCOMP_RET_KILL_THREAD 0 "End the thread.";
    SECCOMP_RET_TRAP 0x0003_0000 "Send SIGSYS.";
    SECCOMP_RET_ERRNO 0x0005_0000 "Fail with the data as error number.";
    SECCOMP_RET_USER_NOTIF 0x7fc0_0000 "Ask the supervisor.";
    SECCOMP_RET_TRACE 0x7ff0_0000 "Stop for the tracer.";
    SECCOMP_RET_LOG 0x7ffc_0000 "Log, then allow.";
    SECCOMP_RET_ALLOW 0x7fff_0000 "Allow.";
    SECCOMP_RET_ACTION_FULL 0xffff_0000 "The action's bits.";
    SECCOMP_RET_DATA 0xffff "The data's bits.";
    BPF_MAXINSNS 4096 "Most instructions of a filter.";
}

flags! {
    /// Flags of seccomp(2)'s `SECCOMP_SET_MODE_FILTER`.
    SeccompFilterFlags: u32, seccomp_filter_flags = libc;
    TSYNC SECCOMP_FILTER_FLAG_TSYNC 1, "For all threads.";
    LOG SECCOMP_FILTER_FLAG_LOG 2, "Log all but allow.";
    SPEC_ALLOW SECCOMP_FILTER_FLAG_SPEC_ALLOW 4, "Leave speculation on.";
    NEW_LISTENER SECCOMP_FILTER_FLAG_NEW_LISTENER 8, "Return a notification descriptor.";
    TSYNC_ESRCH SECCOMP_FILTER_FLAG_TSYNC_ESRCH 0x10, "TSYNC fails with ESRCH.";
    WAIT_KILLABLE_RECV SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV 0x20, "Received notifications wait killably.";
}

numbers! {
    u16;
    BPF_CLASS 0x07 "Mask of the instruction class.";
    BPF_LD 0x00 "Class: load into the accumulator.";
    BPF_LDX 0x01 "Class: load into the index register.";
    BPF_ST 0x02 "Class: store the accumulator.";
    BPF_STX 0x03 "Class: store the index register.";
    BPF_ALU 0x04 "Class: arithmetic.";
    BPF_JMP 0x05 "Class: jump.";
    BPF_RET 0x06 "Class: return.";
    BPF_MISC 0x07 "Class: transfer between registers.";
    BPF_W 0x00 "A 32-bit word.";
    BPF_IMM 0x00 "Mode: the operand.";
    BPF_ABS 0x20 "Mode: data at the operand.";
    BPF_MEM 0x60 "Mode: scratch memory.";
    BPF_LEN 0x80 "Mode: length of the data.";
    BPF_K 0x00 "Source: the operand.";
    BPF_X 0x08 "Source: the index register.";
    BPF_A 0x10 "Return: the accumulator.";
    BPF_MEMWORDS 16 "Words of scratch memory.";
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;
    use linux_raw_sys::general as oracle;

    same_layout!(cap_header: CapHeader = oracle::__user_cap_header_struct { version = version, pid = pid });
    same_layout!(cap_data: CapData = oracle::__user_cap_data_struct {
        effective = effective, permitted = permitted, inheritable = inheritable,
    });
    same_layout!(sock_filter: SockFilter = libc::sock_filter { code = code, jt = jt, jf = jf, k = k });
    same_layout!(sock_fprog: SockFprog = libc::sock_fprog { len = len, filter = filter });
    same_layout!(seccomp_data: SeccompData = libc::seccomp_data {
        nr = nr, arch = arch, instruction_pointer = instruction_pointer, args = args,
    });
}

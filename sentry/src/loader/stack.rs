//! The first stack: strings, auxiliary vector, environment, arguments.
//!
//! ```text
//! high  8 zero bytes; the path; environment strings; argument strings
//!       random gap; platform name; 16 random bytes
//! low   auxv; envp, NULL; argv, NULL; argc    <- stack pointer, 16-byte aligned
//! ```
//! Source: Linux, fs/exec.c and create_elf_tables of fs/binfmt_elf.c.

use arch::abi::elf::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP,
    AT_HWCAP2, AT_MINSIGSTKSZ, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM,
    AT_RANDOM, AT_RSEQ_ALIGN, AT_RSEQ_FEATURE_SIZE, AT_SECURE, AT_SYSINFO_EHDR, AT_UID, Phdr,
};
use arch::abi::time::USER_HZ;
use arch::layout;
use base::{Addr, Errno, PAGE_SIZE, num};
use mem::{ExecInfo, Mm, UserMemory};
use platform::{Prot, host};

use super::Random;
use super::credentials::Change;
use super::map::Mapped;

/// Longest single string, the NUL included: MAX_ARG_STRLEN.
const STRING_MAX: usize = 32 * 4096;
/// Room that is mapped below the strings at the start.
const ROOM: u64 = 128 << 10;
/// `struct rseq`'s fields up to `mm_cid`, and its alignment.
const RSEQ: (u64, u64) = (28, 32);

/// Most bytes of strings and pointers for a stack limit: a quarter, 6 MiB at most, but
/// never less than ARG_MAX.
pub(super) fn strings_limit(stack: u64) -> usize {
    const ARG_MAX: u64 = 32 * 4096;
    const THREE_QUARTERS: u64 = 6 << 20;
    num::usize_of((stack / 4).clamp(ARG_MAX, THREE_QUARTERS))
}

/// `E2BIG` if they do not fit.
pub(super) fn check_strings(
    limit: usize,
    execfn: &[u8],
    argv: &[Vec<u8>],
    envp: &[Vec<u8>],
) -> Result<(), Errno> {
    let mut total = execfn.len().saturating_add(1);
    for text in argv.iter().chain(envp) {
        let size = text.len().saturating_add(1);
        if size > STRING_MAX {
            return Err(Errno::E2BIG);
        }
        // Each with its pointer.
        total = total.saturating_add(size).saturating_add(8);
        if total > limit {
            return Err(Errno::E2BIG);
        }
    }
    Ok(())
}

/// The strings that a program is given.
pub(super) struct Strings<'a> {
    pub(super) execfn: &'a [u8],
    pub(super) argv: &'a [Vec<u8>],
    pub(super) envp: &'a [Vec<u8>],
}

/// What goes to the stack, put together from its top downwards.
struct Builder {
    /// Lowest address so far.
    at: u64,
    /// Bytes from there up to `top`, in pieces from high to low.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Builder {
    fn push(&mut self, bytes: Vec<u8>) -> Result<Addr, Errno> {
        let len = num::u64_of(bytes.len());
        self.at = self.at.checked_sub(len).ok_or(Errno::E2BIG)?;
        self.pieces.push((self.at, bytes));
        Ok(Addr(self.at))
    }

    /// Strings one after the other, the first lowest; gives where each starts, and the end.
    fn push_strings(&mut self, strings: &[Vec<u8>]) -> Result<(Vec<u64>, Addr), Errno> {
        let end = Addr(self.at);
        let mut bytes = Vec::new();
        let mut offsets = Vec::with_capacity(strings.len());
        for text in strings {
            offsets.push(num::u64_of(bytes.len()));
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        let start = self.push(bytes)?;
        let places = offsets
            .iter()
            .map(|offset| start.0.saturating_add(*offset))
            .collect();
        Ok((places, end))
    }
}

impl Strings<'_> {
    /// Maps the stack and fills it; gives the stack pointer.
    pub(super) fn build(
        &self,
        memory: &Mm,
        mapped: &Mapped,
        vdso: Addr,
        change: &Change,
        random: &Random,
    ) -> Result<Addr, Errno> {
        let top = memory.layout().stack_top;
        let mut builder = Builder {
            at: top.0,
            pieces: Vec::new(),
        };
        builder.push(vec![0; 8])?;
        let mut name = self.execfn.to_vec();
        name.push(0);
        let execfn = builder.push(name)?;
        let (env, env_end) = builder.push_strings(self.envp)?;
        let env_start = Addr(builder.at);
        let (args, args_end) = builder.push_strings(self.argv)?;
        let args_start = Addr(builder.at);
        builder.at = layout::random_sp(Addr(builder.at), random.sp).0;
        let mut platform = layout::PLATFORM.as_bytes().to_vec();
        platform.push(0);
        let platform = builder.push(platform)?;
        let bytes = builder.push(random.bytes.to_vec())?;

        let mut auxv = auxiliary(mapped, vdso, change, memory.hidden_features());
        auxv.extend([
            (AT_RANDOM, bytes.0),
            (AT_EXECFN, execfn.0),
            (AT_PLATFORM, platform.0),
            (AT_NULL, 0),
        ]);
        let auxv: Vec<u64> = auxv
            .iter()
            .flat_map(|(kind, value)| [*kind, *value])
            .collect();
        let words = table(&args, &env, &auxv);
        let size = num::u64_of(words.len());
        builder.at = builder.at.checked_sub(size).ok_or(Errno::E2BIG)? & !0xf;
        builder.at = builder.at.saturating_add(size);
        let sp = builder.push(words)?;

        let used = top.0.saturating_sub(builder.at);
        let mut prot = Prot::READ | Prot::WRITE;
        prot.set(Prot::EXEC, mapped.executable_stack);
        let len = used.checked_add(ROOM).ok_or(Errno::E2BIG)?;
        memory.map_stack(len.next_multiple_of(PAGE_SIZE), prot)?;
        for (at, bytes) in &builder.pieces {
            if memory.copy_out(Addr(*at), bytes)? < bytes.len() {
                return Err(Errno::EFAULT);
            }
        }
        memory.set_exec_info(ExecInfo {
            code: mapped.code,
            data: mapped.data,
            stack: sp,
            args: (args_start, args_end),
            env: (env_start, env_end),
            auxv: auxv.iter().flat_map(|word| word.to_le_bytes()).collect(),
        });
        Ok(sp)
    }
}

/// argc, argv, NULL, envp, NULL, auxv.
fn table(args: &[u64], env: &[u64], auxv: &[u64]) -> Vec<u8> {
    let argc = num::u64_of(args.len());
    std::iter::once(&argc)
        .chain(args)
        .chain([&0])
        .chain(env)
        .chain([&0])
        .chain(auxv)
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

/// All entries whose values are numbers.
/// `hidden` are bits that AT_HWCAP and AT_HWCAP2 must not have.
fn auxiliary(mapped: &Mapped, vdso: Addr, change: &Change, hidden: [u64; 2]) -> Vec<(u64, u64)> {
    let features = |kind, hidden: u64| host::auxiliary(kind).unwrap_or(0) & !hidden;
    let who = &change.credentials;
    let mut auxv = Vec::with_capacity(24);
    if vdso != Addr::NULL {
        auxv.push((AT_SYSINFO_EHDR, vdso.0));
    }
    let minimum = host::auxiliary(AT_MINSIGSTKSZ).unwrap_or(arch::current::abi::MINSIGSTKSZ);
    auxv.extend([
        (AT_MINSIGSTKSZ, minimum),
        (AT_HWCAP, features(AT_HWCAP, hidden[0])),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, USER_HZ),
        (AT_PHDR, mapped.headers.0),
        (AT_PHENT, num::u64_of(size_of::<Phdr>())),
        (AT_PHNUM, num::u64_of(mapped.header_count)),
        (AT_BASE, mapped.base.0),
        (AT_FLAGS, 0),
        (AT_ENTRY, mapped.entry.0),
        (AT_UID, who.uid.0.into()),
        (AT_EUID, who.euid.0.into()),
        (AT_GID, who.gid.0.into()),
        (AT_EGID, who.egid.0.into()),
        (AT_SECURE, change.secure.into()),
        (AT_HWCAP2, features(AT_HWCAP2, hidden[1])),
        (AT_RSEQ_FEATURE_SIZE, RSEQ.0),
        (AT_RSEQ_ALIGN, RSEQ.1),
    ]);
    auxv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_strings() {
        assert_eq!(strings_limit(8 << 20), 2 << 20);
        assert_eq!(strings_limit(0), 128 << 10);
        assert_eq!(strings_limit(u64::MAX), 6 << 20);
        let long = vec![b'x'; STRING_MAX];
        assert_eq!(
            check_strings(6 << 20, b"x", &[long], &[]),
            Err(Errno::E2BIG)
        );
        let many: Vec<_> = (0..1000).map(|_| vec![b'x'; 200]).collect();
        assert_eq!(
            check_strings(128 << 10, b"x", &many, &[]),
            Err(Errno::E2BIG)
        );
        assert_eq!(check_strings(2 << 20, b"x", &many, &[]), Ok(()));
        let empty: Vec<_> = (0..20_000).map(|_| Vec::new()).collect();
        assert_eq!(
            check_strings(128 << 10, b"x", &[], &empty),
            Err(Errno::E2BIG),
            "pointers count"
        );
    }

    #[test]
    fn strings_lie_one_after_the_other() {
        let mut builder = Builder {
            at: 0x1000,
            pieces: Vec::new(),
        };
        let strings = [b"ab".to_vec(), b"c".to_vec()];
        let (places, end) = builder.push_strings(&strings).unwrap();
        assert_eq!(places, [0xffb, 0xffe]);
        assert_eq!(end, Addr(0x1000));
        assert_eq!(builder.pieces[0].1, b"ab\0c\0");
    }

    #[test]
    fn the_table_is_argc_argv_envp_auxv() {
        let words: Vec<u64> = table(&[1, 2], &[3], &[4, 5])
            .chunks(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [2, 1, 2, 0, 3, 0, 4, 5]);
    }
}

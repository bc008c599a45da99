//! Signal numbers, signal sets, actions and the alternate stack: signal(7).

pub use super::sigaction::*;
use core::fmt;

/// The number of the last signal; the kernel's `_NSIG`.
pub const LAST_SIGNAL: u8 = 64;
/// The first real-time signal of the kernel; C libraries reserve the first two or three.
pub const SIGRTMIN: u8 = 32;
/// The only `sigsetsize` Linux accepts, in bytes.
pub const SIGSET_SIZE: u64 = 8;

/// A signal number, `1..=64`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What happens on a signal whose action is `SIG_DFL`: signal(7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends and is said to have dumped core.
    CoreDump,
    /// Nothing happens.
    Ignore,
    /// The process stops.
    Stop,
    /// A stopped process continues.
    Continue,
}

macro_rules! signals {
    ($($name:ident $number:literal $action:ident $text:literal;)*) => {
        impl Signal {
            $(#[doc = $text] pub const $name: Self = Self($number);)*

            /// The symbolic name; `None` for real-time signals.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What `SIG_DFL` means for this signal; real-time signals end the process.
            #[must_use]
            pub const fn default_action(self) -> DefaultAction {
                match self.0 {
                    $($number => DefaultAction::$action,)*
                    _ => DefaultAction::Terminate,
                }
            }

            /// The signal with this symbolic name (`SIGHUP`).
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        #[test]
        fn signal_numbers() {
            $(super::macros::same(stringify!($name), $number, libc::$name);)*
        }
    };
}

signals! {
    SIGHUP 1 Terminate "The terminal hung up.";
    SIGINT 2 Terminate "Interrupt from the keyboard.";
    SIGQUIT 3 CoreDump "Quit from the keyboard.";
    SIGILL 4 CoreDump "Illegal instruction.";
    SIGTRAP 5 CoreDump "Breakpoint or trace trap.";
    SIGABRT 6 CoreDump "abort(3).";
    SIGBUS 7 CoreDump "Access to memory that cannot be had.";
    SIGFPE 8 CoreDump "Erroneous arithmetic.";
    SIGKILL 9 Terminate "Kill; cannot be caught, blocked or ignored.";
    SIGUSR1 10 Terminate "Free for programs.";
    SIGSEGV 11 CoreDump "Invalid memory reference.";
    SIGUSR2 12 Terminate "Free for programs.";
    SIGPIPE 13 Terminate "Write to a pipe without readers.";
    SIGALRM 14 Terminate "alarm(2), ITIMER_REAL.";
    SIGTERM 15 Terminate "Termination asked for.";
    SIGSTKFLT 16 Terminate "Unused by Linux.";
    SIGCHLD 17 Ignore "A child stopped, continued or ended.";
    SIGCONT 18 Continue "Continue if stopped.";
    SIGSTOP 19 Stop "Stop; cannot be caught, blocked or ignored.";
    SIGTSTP 20 Stop "Stop from the keyboard.";
    SIGTTIN 21 Stop "Terminal input for a background process.";
    SIGTTOU 22 Stop "Terminal output of a background process.";
    SIGURG 23 Ignore "Urgent data on a socket.";
    SIGXCPU 24 CoreDump "RLIMIT_CPU exceeded.";
    SIGXFSZ 25 CoreDump "RLIMIT_FSIZE exceeded.";
    SIGVTALRM 26 Terminate "ITIMER_VIRTUAL.";
    SIGPROF 27 Terminate "ITIMER_PROF.";
    SIGWINCH 28 Ignore "The terminal's size changed.";
    SIGIO 29 Terminate "I/O is possible.";
    SIGPWR 30 Terminate "Power failure.";
    SIGSYS 31 CoreDump "Bad system call, or seccomp's SECCOMP_RET_TRAP.";
}

impl Signal {
    /// `None` unless `1 <= number <= 64`.
    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (1..=LAST_SIGNAL).contains(&number).then_some(Self(number))
    }

    /// The number, `1..=64`.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The number as `int` fields and return values hold it.
    #[must_use]
    pub fn raw(self) -> i32 {
        i32::from(self.0)
    }

    /// Whether this is a real-time signal: queued, never merged.
    #[must_use]
    pub const fn is_realtime(self) -> bool {
        self.0 >= SIGRTMIN
    }

    /// The set that holds just this signal.
    #[must_use]
    pub const fn set(self) -> SigSet {
        // The number is 1..=64 by construction, so neither operation wraps.
        SigSet(1_u64.wrapping_shl(self.index()))
    }

    const fn index(self) -> u32 {
        let [index, ..] = [self.0.wrapping_sub(1), 0, 0, 0];
        u32::from_le_bytes([index, 0, 0, 0])
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "SIGRT_{}", self.0.wrapping_sub(SIGRTMIN)),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A set of signals: bit `n - 1` stands for signal `n`. The kernel's `sigset_t`.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::KnownLayout,
    zerocopy::Immutable,
)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);
    /// What no mask can hold: `SIGKILL` and `SIGSTOP`.
    pub const UNBLOCKABLE: Self = Signal::SIGKILL.set().union(Signal::SIGSTOP.set());
    /// Signals that stop a process by default.
    pub const STOP: Self = Signal::SIGSTOP
        .set()
        .union(Signal::SIGTSTP.set())
        .union(Signal::SIGTTIN.set())
        .union(Signal::SIGTTOU.set());
    /// Signals that the machine raises; delivered before all others.
    pub const SYNCHRONOUS: Self = Signal::SIGSEGV
        .set()
        .union(Signal::SIGBUS.set())
        .union(Signal::SIGILL.set())
        .union(Signal::SIGTRAP.set())
        .union(Signal::SIGFPE.set())
        .union(Signal::SIGSYS.set());

    /// Whether no signal is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `signal` is in the set.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & signal.set().0 != 0
    }

    /// Adds `signal`.
    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= signal.set().0;
    }

    /// Takes `signal` out.
    pub const fn remove(&mut self, signal: Signal) {
        self.0 &= !signal.set().0;
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is here but not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The signal with the lowest number.
    #[must_use]
    pub fn first(self) -> Option<Signal> {
        let index = i32::try_from(self.0.trailing_zeros()).ok()?;
        Signal::new(index.wrapping_add(1))
    }

    /// The signals in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let mut rest = self;
        core::iter::from_fn(move || {
            let signal = rest.first()?;
            rest.remove(signal);
            Some(signal)
        })
    }
}

impl core::ops::BitOr for SigSet {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl core::ops::BitAnd for SigSet {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        self.intersection(other)
    }
}

impl core::ops::Not for SigSet {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl From<Signal> for SigSet {
    fn from(signal: Signal) -> Self {
        signal.set()
    }
}

impl FromIterator<Signal> for SigSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        signals
            .into_iter()
            .fold(Self::EMPTY, |set, signal| set | signal.set())
    }
}

impl fmt::Debug for SigSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_1_to_64() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(-1), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::new(9), Some(Signal::SIGKILL));
        assert!(Signal::new(64).unwrap().is_realtime());
        assert_eq!(Signal::from_name("SIGTERM"), Some(Signal::SIGTERM));
    }

    #[test]
    fn set_bits_match_signal_numbers() {
        assert_eq!(Signal::SIGHUP.set().0, 1);
        assert_eq!(Signal::new(64).unwrap().set().0, 1 << 63);
        let all: Vec<_> = SigSet::ALL.iter().map(Signal::number).collect();
        assert_eq!(all, (1..=64).collect::<Vec<_>>());
        let mut set: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        assert_eq!(set.first(), Some(Signal::SIGINT));
        set.remove(Signal::SIGINT);
        assert!(!set.contains(Signal::SIGINT));
        assert_eq!(format!("{set:?}"), "{SIGTERM}");
        assert!(set.difference(Signal::SIGTERM.into()).is_empty());
    }
}

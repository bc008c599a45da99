//! Terminals and the requests of ioctl(2).

use super::macros::{abi_struct, flags, numbers};

/// Entries of `c_cc`.
pub const NCCS: usize = 19;

abi_struct! {
    /// The kernel's `struct termios`: `TCGETS`.
    pub struct Termios {
        /// Input flags.
        pub iflag: InputFlags,
        /// Output flags.
        pub oflag: OutputFlags,
        /// Control flags.
        pub cflag: u32,
        /// Local flags.
        pub lflag: LocalFlags,
        /// Line discipline.
        pub line: u8,
        /// Special characters, by the `V` numbers.
        pub cc: [u8; NCCS],
    }
}

abi_struct! {
    /// The kernel's `struct termios2`: `TCGETS2`.
    pub struct Termios2 {
        /// As in `Termios`.
        pub base: Termios,
        /// Input speed in baud.
        pub ispeed: u32,
        /// Output speed in baud.
        pub ospeed: u32,
    }
}

/// `c_cc` of a new terminal.
pub const INITIAL_CC: [u8; NCCS] = [
    3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0xf, 0x17, 0x16, 0, 0, 0,
];
/// `c_cflag` of a new terminal: `B38400 | CS8 | CREAD | HUPCL`.
pub const INITIAL_CFLAG: u32 = 0o17 | 0o60 | 0o200 | 0o2000;

impl Termios {
    /// What a new terminal starts with: the kernel's `tty_std_termios`.
    #[must_use]
    pub fn initial() -> Self {
        Self {
            iflag: InputFlags::ICRNL | InputFlags::IXON,
            oflag: OutputFlags::OPOST | OutputFlags::ONLCR,
            cflag: INITIAL_CFLAG,
            lflag: LocalFlags::ISIG
                | LocalFlags::ICANON
                | LocalFlags::ECHO
                | LocalFlags::ECHOE
                | LocalFlags::ECHOK
                | LocalFlags::ECHOCTL
                | LocalFlags::ECHOKE
                | LocalFlags::IEXTEN,
            line: 0,
            cc: INITIAL_CC,
        }
    }
}

abi_struct! {
    /// `struct winsize`: `TIOCGWINSZ`.
    pub struct Winsize {
        /// Rows.
        pub row: u16,
        /// Columns.
        pub col: u16,
        /// Width in pixels.
        pub xpixel: u16,
        /// Height in pixels.
        pub ypixel: u16,
    }
}

flags! {
    /// `c_iflag`.
    InputFlags: u32, input_flags = linux_raw_sys::general;
    IGNBRK IGNBRK 0o1, "Ignore breaks.";
    BRKINT BRKINT 0o2, "A break is SIGINT.";
    IGNPAR IGNPAR 0o4, "Ignore parity errors.";
    PARMRK PARMRK 0o10, "Mark parity errors.";
    INPCK INPCK 0o20, "Check parity.";
    ISTRIP ISTRIP 0o40, "Strip the eighth bit.";
    INLCR INLCR 0o100, "NL becomes CR.";
    IGNCR IGNCR 0o200, "Ignore CR.";
    ICRNL ICRNL 0o400, "CR becomes NL.";
    IUCLC IUCLC 0o1000, "Upper case becomes lower case.";
    IXON IXON 0o2000, "Flow control of output.";
    IXANY IXANY 0o4000, "Any character restarts output.";
    IXOFF IXOFF 0o10000, "Flow control of input.";
    IMAXBEL IMAXBEL 0o20000, "Bell when the queue is full.";
    IUTF8 IUTF8 0o40000, "Erase whole UTF-8 characters.";
}

flags! {
    /// `c_oflag`; delay bits are not listed.
    OutputFlags: u32, output_flags = linux_raw_sys::general;
    OPOST OPOST 0o1, "Process output.";
    OLCUC OLCUC 0o2, "Lower case becomes upper case.";
    ONLCR ONLCR 0o4, "NL becomes CR NL.";
    OCRNL OCRNL 0o10, "CR becomes NL.";
    ONOCR ONOCR 0o20, "No CR in column 0.";
    ONLRET ONLRET 0o40, "NL returns the carriage.";
}

flags! {
    /// `c_lflag`.
    LocalFlags: u32, local_flags = linux_raw_sys::general;
    ISIG ISIG 0o1, "Special characters send signals.";
    ICANON ICANON 0o2, "Line editing.";
    XCASE XCASE 0o4, "Upper case terminals.";
    ECHO ECHO 0o10, "Echo input.";
    ECHOE ECHOE 0o20, "ERASE rubs out.";
    ECHOK ECHOK 0o40, "KILL echoes NL.";
    ECHONL ECHONL 0o100, "Echo NL even without ECHO.";
    NOFLSH NOFLSH 0o200, "Signals do not flush.";
    TOSTOP TOSTOP 0o400, "Background output is SIGTTOU.";
    ECHOCTL ECHOCTL 0o1000, "Echo control characters as ^X.";
    ECHOPRT ECHOPRT 0o2000, "Print what is erased.";
    ECHOKE ECHOKE 0o4000, "KILL rubs out.";
    FLUSHO FLUSHO 0o10000, "Output is being flushed.";
    PENDIN PENDIN 0o40000, "Reprint input.";
    IEXTEN IEXTEN 0o100000, "More special characters.";
    EXTPROC EXTPROC 0o200000, "External processing.";
}

numbers! {
    usize;
    VINTR 0 "`c_cc`: SIGINT.";
    VQUIT 1 "`c_cc`: SIGQUIT.";
    VERASE 2 "`c_cc`: erase a character.";
    VKILL 3 "`c_cc`: erase the line.";
    VEOF 4 "`c_cc`: end of file.";
    VTIME 5 "`c_cc`: read timeout in tenths of a second.";
    VMIN 6 "`c_cc`: least bytes of a read.";
    VSWTC 7 "`c_cc`: unused.";
    VSTART 8 "`c_cc`: restart output.";
    VSTOP 9 "`c_cc`: stop output.";
    VSUSP 10 "`c_cc`: SIGTSTP.";
    VEOL 11 "`c_cc`: end of line.";
    VREPRINT 12 "`c_cc`: reprint.";
    VDISCARD 13 "`c_cc`: discard output.";
    VWERASE 14 "`c_cc`: erase a word.";
    VLNEXT 15 "`c_cc`: quote the next character.";
    VEOL2 16 "`c_cc`: another end of line.";
}

numbers! {
    u32, ioctls = linux_raw_sys::ioctl;
    TCGETS 0x5401 "Get `Termios`.";
    TCSETS 0x5402 "Set `Termios`.";
    TCSETSW 0x5403 "Set `Termios` after output.";
    TCSETSF 0x5404 "Set `Termios` after output, flush input.";
    TCSBRK 0x5409 "Break, or wait for output.";
    TCXONC 0x540a "Stop or restart output.";
    TCFLSH 0x540b "Flush queues.";
    TIOCEXCL 0x540c "Exclusive use.";
    TIOCNXCL 0x540d "No exclusive use.";
    TIOCSCTTY 0x540e "Make it the controlling terminal.";
    TIOCGPGRP 0x540f "Get the foreground process group.";
    TIOCSPGRP 0x5410 "Set the foreground process group.";
    TIOCOUTQ 0x5411 "Bytes waiting for output.";
    TIOCSTI 0x5412 "Fake input.";
    TIOCGWINSZ 0x5413 "Get `Winsize`.";
    TIOCSWINSZ 0x5414 "Set `Winsize`.";
    TIOCMGET 0x5415 "Modem bits.";
    FIONREAD 0x541b "Bytes that can be read; TIOCINQ.";
    TIOCCONS 0x541d "Take the console's output.";
    TIOCPKT 0x5420 "Packet mode.";
    FIONBIO 0x5421 "Set or clear O_NONBLOCK.";
    TIOCNOTTY 0x5422 "Give up the controlling terminal.";
    TCSBRKP 0x5425 "Break of a given length.";
    TIOCSETD 0x5423 "Set the line discipline.";
    TIOCGETD 0x5424 "Get the line discipline.";
    TIOCGSID 0x5429 "Get the session.";
    TIOCGPTN 0x8004_5430 "Number of the pseudo-terminal.";
    TIOCSPTLCK 0x4004_5431 "Lock or unlock the slave.";
    TIOCGPTLCK 0x8004_5439 "Whether the slave is locked.";
    TIOCGPKT 0x8004_5438 "Whether packet mode is on.";
    TIOCGEXCL 0x8004_5440 "Whether use is exclusive.";
    TIOCGDEV 0x8004_5432 "Number of the terminal itself.";
    TIOCGPTPEER 0x5441 "Open the slave.";
    FIONCLEX 0x5450 "Clear FD_CLOEXEC.";
    FIOCLEX 0x5451 "Set FD_CLOEXEC.";
    FIOASYNC 0x5452 "Set or clear O_ASYNC.";
    FIOQSIZE 0x5460 "Size of file or directory.";
    FIGETBSZ 2 "Block size.";
    FICLONE 0x4004_9409 "Share another file's blocks.";
    FICLONERANGE 0x4020_940d "Share a range of another file's blocks.";
    FS_IOC_GETFLAGS 0x8008_6601 "Inode flags.";
    FS_IOC_SETFLAGS 0x4008_6602 "Inode flags.";
    FS_IOC_FSGETXATTR 0x801c_581f "Extended inode flags.";
    FIOSETOWN 0x8901 "Who receives SIGIO.";
    SIOCSPGRP 0x8902 "Who receives SIGIO.";
    FIOGETOWN 0x8903 "Who receives SIGIO.";
    SIOCGPGRP 0x8904 "Who receives SIGIO.";
    SIOCATMARK 0x8905 "Whether at the urgent mark.";
    SIOCGIFNAME 0x8910 "Name of an interface.";
    SIOCGIFCONF 0x8912 "List of interfaces.";
    SIOCGIFFLAGS 0x8913 "Flags of an interface.";
    SIOCGIFADDR 0x8915 "Address of an interface.";
    SIOCGIFBRDADDR 0x8919 "Broadcast address of an interface.";
    SIOCGIFNETMASK 0x891b "Network mask of an interface.";
    SIOCGIFMTU 0x8921 "MTU of an interface.";
    SIOCGIFHWADDR 0x8927 "Hardware address of an interface.";
    SIOCGIFINDEX 0x8933 "Index of an interface.";
    SIOCGIFTXQLEN 0x8942 "Queue length of an interface.";
    RNDGETENTCNT 0x8004_5200 "Entropy count of /dev/random.";
}

numbers! {
    u32;
    TCGETS2 0x802c_542a "Get `Termios2`.";
    TCSETS2 0x402c_542b "Set `Termios2`.";
    TCSETSW2 0x402c_542c "Set `Termios2` after output.";
    TCSETSF2 0x402c_542d "Set `Termios2` after output, flush input.";
    TCIFLUSH 0 "TCFLSH: input.";
    TCOFLUSH 1 "TCFLSH: output.";
    TCIOFLUSH 2 "TCFLSH: both.";
    TCOOFF 0 "TCXONC: stop output.";
    TCOON 1 "TCXONC: restart output.";
    TCIOFF 2 "TCXONC: send STOP.";
    TCION 3 "TCXONC: send START.";
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;
    use linux_raw_sys::general as oracle;

    same_layout!(termios: Termios = oracle::termios {
        iflag = c_iflag, oflag = c_oflag, cflag = c_cflag, lflag = c_lflag, line = c_line, cc = c_cc,
    });
    same_layout!(termios2: Termios2 = oracle::termios2 { ispeed = c_ispeed, ospeed = c_ospeed });
    same_layout!(winsize: Winsize = libc::winsize {
        row = ws_row, col = ws_col, xpixel = ws_xpixel, ypixel = ws_ypixel,
    });

    #[test]
    fn special_characters_stand_where_the_c_library_expects() {
        for (ours, theirs) in [
            (VINTR, libc::VINTR),
            (VERASE, libc::VERASE),
            (VEOF, libc::VEOF),
            (VMIN, libc::VMIN),
            (VSUSP, libc::VSUSP),
            (VEOL2, libc::VEOL2),
        ] {
            assert_eq!(ours, theirs);
        }
        assert_eq!(INITIAL_CC[VINTR], 3);
        assert_eq!(INITIAL_CC[VMIN], 1);
        assert_eq!(INITIAL_CC[VWERASE], 0x17);
        assert_eq!(
            INITIAL_CFLAG,
            libc::B38400 | libc::CS8 | libc::CREAD | libc::HUPCL
        );
    }
}

//! Guest code for x86-64. Each piece is position-independent.

use std::arch::global_asm;

macro_rules! pieces {
    ($($(#[$doc:meta])* $name:ident: $($line:literal),+ $(,)?;)*) => {
        $(
            global_asm!(
                ".pushsection .rodata.guest,\"a\",@progbits",
                concat!(".globl guest_", stringify!($name)),
                concat!("guest_", stringify!($name), ":"),
                $($line,)+
                concat!(".globl guest_", stringify!($name), "_end"),
                concat!("guest_", stringify!($name), "_end:"),
                ".popsection",
            );
            $(#[$doc])*
            pub(crate) fn $name() -> &'static [u8] {
                unsafe extern "C" {
                    #[link_name = concat!("guest_", stringify!($name))]
                    static START: u8;
                    #[link_name = concat!("guest_", stringify!($name), "_end")]
                    static END: u8;
                }
                let start = &raw const START;
                let len = (&raw const END).addr() - start.addr();
                // SAFETY: the bytes between the labels are constant data.
                unsafe { std::slice::from_raw_parts(start, len) }
            }
        )*
    };
}

pieces! {
    /// Makes system calls for ever.
    call_loop: "2: syscall", "jmp 2b";
}

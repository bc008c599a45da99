//! How pieces of guest code get into this program.

/// Each piece becomes a function that gives its machine code, which is
/// position-independent.
macro_rules! pieces {
    ($($(#[$doc:meta])* $name:ident: $($line:literal),+ $(,)?;)*) => {
        $(
            std::arch::global_asm!(
                ".pushsection .rodata.guest,\"a\",@progbits",
                ".p2align 3",
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
pub(crate) use pieces;

//! System calls and registers.

use super::code;
use super::harness::{call, with_guest};

#[test]
fn system_calls_come_with_all_arguments() {
    with_guest(code::call_loop(), |guest| {
        let mut context = guest.context();
        for n in 0..20 {
            let regs = context.regs().unwrap();
            regs.set_return(n);
            for arg in 0..6 {
                regs.set_arg(arg, n * 1000 + u64::try_from(arg).unwrap());
            }
            let (_, args) = call(context.switch().unwrap());
            assert_eq!(args, [0, 1, 2, 3, 4, 5].map(|arg| n * 1000 + arg));
        }
    });
}

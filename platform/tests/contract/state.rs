//! FP and vector state, the thread pointer.

use super::code;
use super::harness::{DATA, next_call, with_guest};

#[test]
fn vectors_survive_calls_and_can_be_seen_and_set() {
    with_guest(code::vector(), |guest| {
        for round in 0..10_u8 {
            let mut context = guest.context_with(&[DATA, DATA + 64]);
            let value: Vec<u8> = (0..16).map(|n| n ^ round.wrapping_mul(17)).collect();
            guest.data.write(0, &value);
            next_call(&mut *context);
            let at = code::VECTOR_OFFSET;
            assert_eq!(context.fp().unwrap().as_bytes()[at..at + 16], value);
            let expected = if round % 2 == 1 {
                let other = [round; 16];
                context.fp().unwrap().as_mut_bytes()[at..at + 16].copy_from_slice(&other);
                other.to_vec()
            } else {
                value
            };
            context.answer(0);
            next_call(&mut *context);
            let mut stored = [0; 16];
            guest.data.read(64, &mut stored);
            assert_eq!(stored[..], expected);
        }
    });
}

#[test]
fn contexts_do_not_share_vectors() {
    with_guest(code::vector(), |guest| {
        let mut contexts: Vec<_> = (0..4)
            .map(|n| guest.context_with(&[DATA + n * 128, DATA + n * 128 + 64]))
            .collect();
        for n in 0..4_u8 {
            guest.data.write(u64::from(n) * 128, &[n + 1; 16]);
        }
        for context in &mut contexts {
            next_call(&mut **context);
        }
        for context in contexts.iter_mut().rev() {
            context.answer(0);
            next_call(&mut **context);
        }
        for n in 0..4_u8 {
            let mut stored = [0; 16];
            guest.data.read(u64::from(n) * 128 + 64, &mut stored);
            assert_eq!(stored, [n + 1; 16]);
        }
    });
}

#[test]
fn the_thread_pointer_is_each_threads_own() {
    with_guest(code::thread_word(), |guest| {
        let mut contexts: Vec<_> = (0..3)
            .map(|n| {
                guest.data.write(n * 64, &(n + 100).to_ne_bytes());
                let mut context = guest.context();
                context.regs().unwrap().set_tls(DATA + n * 64);
                context
            })
            .collect();
        for _ in 0..3 {
            for (n, context) in (0..).zip(&mut contexts) {
                assert_eq!(next_call(&mut **context)[1], n + 100);
                assert_eq!(context.regs().unwrap().tls(), DATA + n * 64);
                context.answer(0);
            }
        }
    });
}

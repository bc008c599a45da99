//! Classic BPF over `struct seccomp_data`: checked once, then run without further doubt.
//! Source: bpf(2) of the BSDs, kernel/seccomp.c, net/core/filter.c of Linux.

use arch::abi::num;
use arch::abi::prctl::{BPF_MEMWORDS, SeccompData, SockFilter};
use base::Errno;
use zerocopy::IntoBytes;

/// 32-bit words of `struct seccomp_data`.
const WORDS: usize = size_of::<SeccompData>() / 4;
/// Its length in bytes, as LD|LEN gives it.
const LENGTH: u32 = 64;
/// Words of scratch memory.
const SCRATCH: usize = num::usize_of(16);
const _: () = assert!(BPF_MEMWORDS == 16);

/// One instruction, its operand checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    /// Word of the data into A.
    Data(usize),
    LoadA(Value),
    LoadX(Value),
    StoreA(usize),
    StoreX(usize),
    Alu(Alu, Source),
    Negate,
    /// Skips so many.
    Jump(u32),
    Branch {
        test: Test,
        with: Source,
        yes: u8,
        no: u8,
    },
    Return(u32),
    ReturnA,
    AToX,
    XToA,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    Is(u32),
    Scratch(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Is(u32),
    X,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Alu {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    ShiftLeft,
    ShiftRight,
    Xor,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Test {
    Equal,
    Greater,
    NotLess,
    AnyOf,
}

/// A program that ends, whatever it is given.
#[derive(Debug)]
pub(super) struct Program(Box<[Op]>);

impl Program {
    /// Checks a program: known instructions, jumps forward and inside, no word of scratch
    /// memory read that may not have been written, a return at the end. `EINVAL`.
    pub(super) fn new(raw: &[SockFilter]) -> Result<Self, Errno> {
        let ops = raw.iter().map(decode).collect::<Option<Box<[Op]>>>();
        let ops = ops.ok_or(Errno::EINVAL)?;
        match ops.last() {
            Some(Op::Return(_) | Op::ReturnA) => {}
            _ => return Err(Errno::EINVAL),
        }
        check_flow(&ops)?;
        Ok(Self(ops))
    }

    /// How many instructions it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What it says of `data`.
    pub(super) fn run(&self, data: &SeccompData) -> u32 {
        let mut machine = Machine {
            words: words(data),
            ..Machine::default()
        };
        let mut at = 0_usize;
        loop {
            // The check sees to it that no jump leaves the program.
            let Some(op) = self.0.get(at) else {
                return 0;
            };
            match machine.step(op) {
                Step::Skip(count) => at += 1 + count,
                Step::End(value) => return value,
            }
        }
    }
}

/// The data as the words that BPF_LD|BPF_W|BPF_ABS sees.
fn words(data: &SeccompData) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    let (chunks, _) = data.as_bytes().as_chunks::<4>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_ne_bytes(*chunk);
    }
    words
}

#[derive(Default)]
struct Machine {
    words: [u32; WORDS],
    a: u32,
    x: u32,
    scratch: [u32; SCRATCH],
}

enum Step {
    Skip(usize),
    End(u32),
}

impl Machine {
    fn step(&mut self, op: &Op) -> Step {
        match *op {
            Op::Data(word) => self.a = self.words.get(word).copied().unwrap_or(0),
            Op::LoadA(value) => self.a = self.value(value),
            Op::LoadX(value) => self.x = self.value(value),
            Op::StoreA(at) => self.store(at, self.a),
            Op::StoreX(at) => self.store(at, self.x),
            Op::Alu(Alu::Div, source) => match self.a.checked_div(self.source(source)) {
                Some(quotient) => self.a = quotient,
                None => return Step::End(0),
            },
            Op::Alu(alu, source) => self.a = alu.of(self.a, self.source(source)),
            Op::Negate => self.a = self.a.wrapping_neg(),
            Op::Jump(count) => return Step::Skip(num::usize_of(count.into())),
            Op::Branch {
                test,
                with,
                yes,
                no,
            } => {
                let holds = test.holds(self.a, self.source(with));
                return Step::Skip(usize::from(if holds { yes } else { no }));
            }
            Op::Return(value) => return Step::End(value),
            Op::ReturnA => return Step::End(self.a),
            Op::AToX => self.x = self.a,
            Op::XToA => self.a = self.x,
        }
        Step::Skip(0)
    }

    fn value(&self, value: Value) -> u32 {
        match value {
            Value::Is(value) => value,
            Value::Scratch(at) => self.scratch.get(at).copied().unwrap_or(0),
        }
    }

    fn source(&self, source: Source) -> u32 {
        match source {
            Source::Is(value) => value,
            Source::X => self.x,
        }
    }

    fn store(&mut self, at: usize, value: u32) {
        if let Some(word) = self.scratch.get_mut(at) {
            *word = value;
        }
    }
}

impl Alu {
    /// Of all but division. Shifts count modulo 32.
    fn of(self, a: u32, with: u32) -> u32 {
        match self {
            Self::Add => a.wrapping_add(with),
            Self::Sub => a.wrapping_sub(with),
            Self::Mul => a.wrapping_mul(with),
            Self::Div => a.checked_div(with).unwrap_or(0),
            Self::Or => a | with,
            Self::And => a & with,
            Self::ShiftLeft => a.wrapping_shl(with),
            Self::ShiftRight => a.wrapping_shr(with),
            Self::Xor => a ^ with,
        }
    }
}

impl Test {
    fn holds(self, a: u32, with: u32) -> bool {
        match self {
            Self::Equal => a == with,
            Self::Greater => a > with,
            Self::NotLess => a >= with,
            Self::AnyOf => a & with != 0,
        }
    }
}

/// Codes as in linux/bpf_common.h; only those that seccomp(2) takes.
fn decode(raw: &SockFilter) -> Option<Op> {
    let k = raw.k;
    let scratch = || usize::try_from(k).ok().filter(|at| *at < SCRATCH);
    let source = if raw.code & 0x08 == 0 {
        Source::Is(k)
    } else {
        Source::X
    };
    let alu = |alu| Some(Op::Alu(alu, source));
    let shift = |kind| (source == Source::X || k < 32).then_some(Op::Alu(kind, source));
    let branch = |test| {
        Some(Op::Branch {
            test,
            with: source,
            yes: raw.jt,
            no: raw.jf,
        })
    };
    match raw.code {
        0x20 if k.is_multiple_of(4) && k < LENGTH => {
            Some(Op::Data(num::usize_of(u64::from(k / 4))))
        }
        0x80 => Some(Op::LoadA(Value::Is(LENGTH))),
        0x81 => Some(Op::LoadX(Value::Is(LENGTH))),
        0x00 => Some(Op::LoadA(Value::Is(k))),
        0x01 => Some(Op::LoadX(Value::Is(k))),
        0x60 => scratch().map(|at| Op::LoadA(Value::Scratch(at))),
        0x61 => scratch().map(|at| Op::LoadX(Value::Scratch(at))),
        0x02 => scratch().map(Op::StoreA),
        0x03 => scratch().map(Op::StoreX),
        0x04 | 0x0c => alu(Alu::Add),
        0x14 | 0x1c => alu(Alu::Sub),
        0x24 | 0x2c => alu(Alu::Mul),
        0x34 if k == 0 => None,
        0x34 | 0x3c => alu(Alu::Div),
        0x44 | 0x4c => alu(Alu::Or),
        0x54 | 0x5c => alu(Alu::And),
        0x64 | 0x6c => shift(Alu::ShiftLeft),
        0x74 | 0x7c => shift(Alu::ShiftRight),
        0xa4 | 0xac => alu(Alu::Xor),
        0x84 => Some(Op::Negate),
        0x05 => Some(Op::Jump(k)),
        0x15 | 0x1d => branch(Test::Equal),
        0x25 | 0x2d => branch(Test::Greater),
        0x35 | 0x3d => branch(Test::NotLess),
        0x45 | 0x4d => branch(Test::AnyOf),
        0x06 => Some(Op::Return(k)),
        0x16 => Some(Op::ReturnA),
        0x07 => Some(Op::AToX),
        0x87 => Some(Op::XToA),
        _ => None,
    }
}

/// Jumps stay inside, and on every way to a load from scratch memory there is a store.
fn check_flow(ops: &[Op]) -> Result<(), Errno> {
    // What has been stored on all ways that lead to an instruction, a bit a word.
    let mut stored = vec![u16::MAX; ops.len()];
    let mut here = 0_u16;
    let bit = |at: usize| u32::try_from(at).map_or(0, |at| 1_u16.wrapping_shl(at));
    for (at, op) in ops.iter().enumerate() {
        here &= stored.get(at).copied().unwrap_or(0);
        let mut reach = |skip: usize, here: u16| {
            let target = at.checked_add(1).and_then(|next| next.checked_add(skip));
            let target = target.and_then(|target| stored.get_mut(target));
            *target.ok_or(Errno::EINVAL)? &= here;
            Ok::<(), Errno>(())
        };
        match *op {
            Op::StoreA(word) | Op::StoreX(word) => here |= bit(word),
            Op::LoadA(Value::Scratch(word)) | Op::LoadX(Value::Scratch(word))
                if here & bit(word) == 0 =>
            {
                return Err(Errno::EINVAL);
            }
            Op::Jump(count) => {
                reach(num::usize_of(count.into()), here)?;
                here = u16::MAX;
            }
            Op::Branch { yes, no, .. } => {
                reach(yes.into(), here)?;
                reach(no.into(), here)?;
                here = u16::MAX;
            }
            Op::Return(_) | Op::ReturnA => here = u16::MAX,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter { code, jt, jf, k }
    }

    const DATA: SeccompData = SeccompData {
        nr: 7,
        arch: 9,
        instruction_pointer: 0x1_0000_0002,
        args: [0x5_0000_0006, 0, 0, 0, 0, 0],
    };

    fn run(raw: &[SockFilter]) -> Result<u32, Errno> {
        Program::new(raw).map(|program| program.run(&DATA))
    }

    #[test]
    fn data_is_seen_word_by_word() {
        for (offset, value) in [(0, 7), (4, 9), (8, 2), (12, 1), (16, 6), (20, 5)] {
            let raw = [op(0x20, 0, 0, offset), op(0x16, 0, 0, 0)];
            assert_eq!(run(&raw), Ok(value));
        }
        for offset in [1, 62, 64, u32::MAX] {
            let raw = [op(0x20, 0, 0, offset), op(0x16, 0, 0, 0)];
            assert_eq!(run(&raw), Err(Errno::EINVAL));
        }
        assert_eq!(run(&[op(0x80, 0, 0, 0), op(0x16, 0, 0, 0)]), Ok(64));
    }

    #[test]
    fn arithmetic_wraps_and_division_by_nothing_ends() {
        let with = |code, k| run(&[op(0, 0, 0, 40), op(code, 0, 0, k), op(0x16, 0, 0, 0)]);
        assert_eq!(with(0x04, u32::MAX), Ok(39));
        assert_eq!(with(0x14, 41), Ok(u32::MAX));
        assert_eq!(with(0x24, 3), Ok(120));
        assert_eq!(with(0x34, 7), Ok(5));
        assert_eq!(with(0x64, 31), Ok(0));
        assert_eq!(with(0x74, 3), Ok(5));
        assert_eq!(with(0xa4, 8), Ok(32));
        assert_eq!(with(0x84, 0), Ok(40_u32.wrapping_neg()));
        for (code, k) in [(0x34, 0), (0x64, 32), (0x94, 3), (0x40, 0), (0x28, 0)] {
            assert_eq!(with(code, k), Err(Errno::EINVAL), "{code:#x}");
        }
        // X is zero at first.
        assert_eq!(with(0x3c, 0), Ok(0));
        assert_eq!(with(0x0c, 0), Ok(40));
    }

    #[test]
    fn jumps_go_forward_and_stay_inside() {
        let raw = [
            op(0x20, 0, 0, 0),
            op(0x15, 1, 0, 7),
            op(0x06, 0, 0, 1),
            op(0x05, 0, 0, 1),
            op(0x06, 0, 0, 2),
            op(0x06, 0, 0, 3),
        ];
        assert_eq!(run(&raw), Ok(3));
        for bad in [
            vec![op(0x05, 0, 0, 1), op(0x06, 0, 0, 0)],
            vec![op(0x05, 0, 0, u32::MAX), op(0x06, 0, 0, 0)],
            vec![op(0x15, 0, 1, 0), op(0x06, 0, 0, 0)],
            vec![op(0x15, 0, 0, 0)],
            vec![op(0x00, 0, 0, 0)],
            vec![],
        ] {
            assert_eq!(run(&bad), Err(Errno::EINVAL));
        }
    }

    #[test]
    fn scratch_memory_is_written_before_it_is_read() {
        let load = [op(0x60, 0, 0, 3), op(0x16, 0, 0, 0)];
        assert_eq!(run(&load), Err(Errno::EINVAL));
        let raw = [
            op(0, 0, 0, 5),
            op(0x02, 0, 0, 3),
            op(0, 0, 0, 0),
            op(0x60, 0, 0, 3),
            op(0x16, 0, 0, 0),
        ];
        assert_eq!(run(&raw), Ok(5));
        // On one of two ways only.
        let raw = [
            op(0x15, 0, 1, 0),
            op(0x02, 0, 0, 3),
            op(0x60, 0, 0, 3),
            op(0x16, 0, 0, 0),
        ];
        assert_eq!(run(&raw), Err(Errno::EINVAL));
        assert_eq!(
            run(&[op(0x02, 0, 0, 16), op(0x16, 0, 0, 0)]),
            Err(Errno::EINVAL)
        );
    }
}

//! The bundle's seccomp filter, as a program for the sentry's interpreter.
//!
//! The numbers of system calls are cut into ranges with one answer each, found by a binary
//! search, so that a filter of hundreds of names costs a call a dozen instructions. Rules with
//! conditions on arguments come before those without, as in libseccomp.

use std::collections::BTreeMap;

use arch::abi::num::low32;
use arch::abi::prctl::SockFilter;
use arch::current::abi::AUDIT_ARCH;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Operator,
};
use sentry::syscalls::table;

use super::check::wrong;
use crate::cli::Failure;
use crate::log::Log;

const FIELD: &str = "linux.seccomp";

// linux/bpf_common.h.
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Longest program: BPF_MAXINSNS.
const PROGRAM_MAX: usize = 4096;

/// SECCOMP_RET_KILL_PROCESS.
const KILL: u32 = 0x8000_0000;

/// What is answered to one system call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Answer {
    /// Conditions that must all hold, and what is returned then; the first that hold count.
    conditional: Vec<(Vec<Condition>, u32)>,
    /// What is returned otherwise; `None`: the default.
    plain: Option<u32>,
}

/// One condition on an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Condition {
    argument: u32,
    operator: Operator,
    value: u64,
    second: u64,
}

/// Compiles a filter. Names of calls that this architecture does not have are left out.
pub(super) fn compile(filter: &LinuxSeccomp, log: &Log) -> Result<Vec<SockFilter>, Failure> {
    if filter.listener_path().is_some() {
        return Err(wrong(
            FIELD,
            "listenerPath: there is no supervisor outside of a sandbox",
        ));
    }
    let default = value(filter.default_action(), filter.default_errno_ret())?;
    let mut answers: BTreeMap<u32, Answer> = BTreeMap::new();
    for rule in filter.syscalls().iter().flatten() {
        let returned = value(rule.action(), rule.errno_ret())?;
        let conditions = conditions(rule.args().as_deref().unwrap_or_default())?;
        for name in rule.names() {
            let Some(number) = table::number_of(name) else {
                log.info(&format!("{FIELD}: there is no system call `{name}` here"));
                continue;
            };
            let answer = answers.entry(number).or_default();
            if conditions.is_empty() {
                // Of two, the first is the one that libseccomp keeps.
                answer.plain.get_or_insert(returned);
            } else {
                answer.conditional.push((conditions.clone(), returned));
            }
        }
    }
    let ranges = ranges(answers, default);
    let mut program = vec![
        one(LOAD, ARCH),
        branch(EQUAL, AUDIT_ARCH, 1, 0),
        one(RETURN, KILL),
        one(LOAD, NUMBER),
    ];
    program.extend(search(&ranges, default));
    if program.len() > PROGRAM_MAX {
        return Err(wrong(
            FIELD,
            &format!(
                "it makes {} instructions, more than {PROGRAM_MAX}",
                program.len()
            ),
        ));
    }
    Ok(program)
}

/// What a filter returns for an action.
fn value(action: Action, errno: Option<u32>) -> Result<u32, Failure> {
    const EPERM: u32 = 1;
    const ERRNO_MAX: u32 = 4095;
    let errno = errno.unwrap_or(EPERM);
    if errno > ERRNO_MAX {
        return Err(wrong(FIELD, &format!("{errno} is no error number")));
    }
    match action {
        Action::ScmpActNotify => Err(wrong(
            FIELD,
            "SCMP_ACT_NOTIFY: there is no supervisor outside of a sandbox",
        )),
        action => Ok(action.as_u32(Some(errno))),
    }
}

fn conditions(asked: &[LinuxSeccompArg]) -> Result<Vec<Condition>, Failure> {
    let condition = |one: &LinuxSeccompArg| {
        let argument = u32::try_from(one.index()).ok().filter(|index| *index < 6);
        Ok(Condition {
            argument: argument.ok_or_else(|| {
                wrong(
                    FIELD,
                    &format!("args: there is no argument {}", one.index()),
                )
            })?,
            operator: one.op(),
            value: one.value(),
            second: one.value_two().unwrap_or(0),
        })
    };
    asked.iter().map(condition).collect()
}

/// First numbers of ranges in order, from 0 on, with what is answered there.
fn ranges(answers: BTreeMap<u32, Answer>, default: u32) -> Vec<(u32, Answer)> {
    let rest = Answer {
        conditional: Vec::new(),
        plain: Some(default),
    };
    let mut ranges: Vec<(u32, Answer)> = vec![(0, rest.clone())];
    let mut add = |from: u32, answer: Answer| {
        match ranges.last_mut() {
            Some((start, last)) if *start == from => *last = answer,
            _ => ranges.push((from, answer)),
        }
        // Neighbours with the same answer are one range.
        let same =
            matches!(ranges.as_slice(), [.., (_, a), (_, b)] if a == b && a.conditional.is_empty());
        if same {
            ranges.pop();
        }
    };
    for (number, answer) in answers {
        add(number, answer);
        add(number.saturating_add(1), rest.clone());
    }
    ranges
}

/// Code that finds the range of the number in the accumulator.
fn search(ranges: &[(u32, Answer)], default: u32) -> Vec<SockFilter> {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let (Some(_), Some((pivot, _))) = (below.first(), above.first()) else {
        return ranges
            .first()
            .map_or_else(Vec::new, |(_, answer)| leaf(answer, default));
    };
    let (below, above) = (search(below, default), search(above, default));
    let mut code = match u8::try_from(below.len()) {
        Ok(skipped) => vec![branch(AT_LEAST, *pivot, skipped, 0)],
        Err(_) => {
            let skipped = u32::try_from(below.len()).unwrap_or(u32::MAX);
            vec![branch(AT_LEAST, *pivot, 0, 1), one(JUMP, skipped)]
        }
    };
    code.extend(below);
    code.extend(above);
    code
}

/// Code that answers a call.
fn leaf(answer: &Answer, default: u32) -> Vec<SockFilter> {
    let mut code = Vec::new();
    for (conditions, returned) in &answer.conditional {
        // Backwards, as each needs to know how much of the rule is behind it.
        let mut rule = vec![one(RETURN, *returned)];
        for condition in conditions.iter().rev() {
            let fail = u8::try_from(rule.len()).unwrap_or(u8::MAX);
            let mut test = condition.code(fail);
            test.append(&mut rule);
            rule = test;
        }
        code.extend(rule);
    }
    code.push(one(RETURN, answer.plain.unwrap_or(default)));
    code
}

impl Condition {
    /// Code that goes on behind itself if the condition holds, and `fail` instructions further
    /// if not: six conditions of six instructions are far from a jump's limit.
    fn code(&self, fail: u8) -> Vec<SockFilter> {
        let low = ARGUMENTS.saturating_add(self.argument.saturating_mul(8));
        let high = low.saturating_add(4);
        let halves = |value: u64| (low32(value >> 32), low32(value));
        let (top, bottom) = halves(self.value);
        let far = |instructions: u8| fail.saturating_add(instructions);
        match self.operator {
            Operator::ScmpCmpEq => vec![
                one(LOAD, high),
                branch(EQUAL, top, 0, far(2)),
                one(LOAD, low),
                branch(EQUAL, bottom, 0, fail),
            ],
            Operator::ScmpCmpNe => vec![
                one(LOAD, high),
                branch(EQUAL, top, 0, 2),
                one(LOAD, low),
                branch(EQUAL, bottom, fail, 0),
            ],
            Operator::ScmpCmpGt | Operator::ScmpCmpGe => {
                let last = match self.operator {
                    Operator::ScmpCmpGt => GREATER,
                    _ => AT_LEAST,
                };
                vec![
                    one(LOAD, high),
                    branch(GREATER, top, 3, 0),
                    branch(EQUAL, top, 0, far(2)),
                    one(LOAD, low),
                    branch(last, bottom, 0, fail),
                ]
            }
            Operator::ScmpCmpLt | Operator::ScmpCmpLe => {
                let last = match self.operator {
                    Operator::ScmpCmpLt => AT_LEAST,
                    _ => GREATER,
                };
                vec![
                    one(LOAD, high),
                    branch(GREATER, top, far(3), 0),
                    branch(EQUAL, top, 0, 2),
                    one(LOAD, low),
                    branch(last, bottom, fail, 0),
                ]
            }
            Operator::ScmpCmpMaskedEq => {
                let (second_top, second_bottom) = halves(self.second & self.value);
                vec![
                    one(LOAD, high),
                    one(AND, top),
                    branch(EQUAL, second_top, 0, far(3)),
                    one(LOAD, low),
                    one(AND, bottom),
                    branch(EQUAL, second_bottom, 0, fail),
                ]
            }
        }
    }
}

fn one(code: u16, k: u32) -> SockFilter {
    branch(code, k, 0, 0)
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;

    /// A slow, plain interpreter of the instructions used above.
    fn run(program: &[SockFilter], number: u32, arguments: [u64; 6]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER => number,
            ARCH => AUDIT_ARCH,
            _ => {
                let at = usize::try_from((offset - ARGUMENTS) / 8).unwrap();
                low32(arguments[at] >> (offset % 8 * 8))
            }
        };
        let (mut at, mut sum) = (0, 0);
        loop {
            let SockFilter { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |holds| usize::from(if holds { jt } else { jf });
            match code {
                LOAD => sum = word(k),
                AND => sum &= k,
                JUMP => at += usize::try_from(k).unwrap(),
                EQUAL => at += jump(sum == k),
                GREATER => at += jump(sum > k),
                AT_LEAST => at += jump(sum >= k),
                RETURN => return k,
                _ => unreachable!("{code}"),
            }
        }
    }

    fn program(json: &str) -> Vec<SockFilter> {
        let filter: LinuxSeccomp = serde_json::from_str(json).unwrap();
        compile(&filter, &Log::default()).unwrap()
    }

    fn number(name: &str) -> u32 {
        table::number_of(name).unwrap()
    }

    #[test]
    fn names_and_the_default() {
        let program = program(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
                {"names": ["read", "write", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["getpid"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#,
        );
        let got = |name| run(&program, number(name), [0; 6]);
        assert_eq!((got("read"), got("write")), (ALLOW, ALLOW));
        assert_eq!(got("getpid"), KILL);
        assert_eq!((got("close"), got("openat2")), (ERRNO | 38, ERRNO | 38));
        assert_eq!(run(&program, u32::MAX, [0; 6]), ERRNO | 38);
    }

    #[test]
    fn conditions_on_all_64_bits() {
        let holds = |operator: &str, value: u64, second: u64, argument: u64| {
            let program = program(&format!(
                r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["read"],
                    "action": "SCMP_ACT_ALLOW", "args": [{{"index": 2, "value": {value},
                    "valueTwo": {second}, "op": "SCMP_CMP_{operator}"}}]}}]}}"#
            ));
            run(&program, number("read"), [9, 9, argument, 9, 9, 9]) == ALLOW
        };
        let some = [
            0,
            1,
            5,
            (1 << 32) - 1,
            1 << 32,
            (5 << 32) | 5,
            (5 << 32) | 6,
            u64::MAX,
        ];
        for value in some {
            for argument in some {
                assert_eq!(holds("EQ", value, 0, argument), argument == value);
                assert_eq!(holds("NE", value, 0, argument), argument != value);
                assert_eq!(holds("LT", value, 0, argument), argument < value);
                assert_eq!(holds("LE", value, 0, argument), argument <= value);
                assert_eq!(holds("GT", value, 0, argument), argument > value);
                assert_eq!(holds("GE", value, 0, argument), argument >= value);
                let masked = argument & value == 5 & value;
                assert_eq!(holds("MASKED_EQ", value, 5, argument), masked);
            }
        }
    }

    #[test]
    fn several_rules_of_one_call() {
        let program = program(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": [
                    {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                    {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]},
                {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 8, "args": [
                    {"index": 0, "value": 3, "op": "SCMP_CMP_EQ"}]}]}"#,
        );
        let got = |first, second| run(&program, number("clone"), [first, second, 0, 0, 0, 0]);
        assert_eq!(got(1, 2), ERRNO | 7);
        assert_eq!(got(1, 3), ALLOW);
        assert_eq!(got(3, 3), ERRNO | 8);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let filter = |json: &str| {
            let filter: LinuxSeccomp = serde_json::from_str(json).unwrap();
            compile(&filter, &Log::default()).map(drop)
        };
        assert!(filter(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#).is_err());
        assert!(filter(r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}"#).is_err());
        let listener = r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}"#;
        assert!(filter(listener).is_err());
    }
}

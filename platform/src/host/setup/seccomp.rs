//! The sentry's own seccomp filter: what the rules allow, death for the rest.

use std::collections::BTreeMap;

use arch::abi::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::super::HostRule;
use super::super::errors::errno_of;

/// Why no filter could be made of the rules or installed.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The rules are not a filter.
    #[error("the rules make no filter: {0}")]
    Rules(String),
    /// The host refused it.
    #[error("the host refused the filter: {0}")]
    Host(Errno),
}

/// Compiles `rules` (allowed calls) into a program that kills the process at any other
/// call. `clone3` answers `ENOSYS`: its flags lie in memory, where a filter cannot see
/// them, and the C library then uses clone(2).
pub fn compile(rules: &[&[HostRule]]) -> Result<BpfProgram, FilterError> {
    let failed = |error: seccompiler::BackendError| FilterError::Rules(error.to_string());
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut always = Vec::new();
    for rule in rules.iter().copied().flatten() {
        let conditions = conditions(rule).map_err(failed)?;
        if conditions.is_empty() {
            always.push(rule.nr);
        } else {
            let alternative = SeccompRule::new(conditions).map_err(failed)?;
            allowed.entry(rule.nr).or_default().push(alternative);
        }
    }
    // No alternatives: any arguments.
    for nr in always {
        allowed.insert(nr, Vec::new());
    }
    let target = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let filter = SeccompFilter::new(
        allowed,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        target,
    )
    .map_err(failed)?;
    let mut program: BpfProgram = filter.try_into().map_err(failed)?;
    prepend_answers(&mut program).map_err(failed)?;
    Ok(program)
}

fn conditions(rule: &HostRule) -> Result<Vec<SeccompCondition>, seccompiler::BackendError> {
    let equal = rule.args.iter().map(|(index, value)| {
        SeccompCondition::new(*index, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, *value)
    });
    let masked = rule.masks.iter().map(|(index, mask, value)| {
        SeccompCondition::new(
            *index,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(*mask),
            *value,
        )
    });
    equal.chain(masked).collect()
}

/// Calls of the C library that get an answer in place of an end, before everything else:
/// clone3(2) (see [`compile`]), and openat(2), with which its allocator looks into /proc and
/// /sys when it makes a heap or gives one back. There is nothing to find in an empty root;
/// the sentry's own wrappers open with openat2(2) alone.
fn prepend_answers(program: &mut BpfProgram) -> Result<(), seccompiler::BackendError> {
    const LOAD_NR: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const RET_ERRNO: u32 = 0x0005_0000;
    let answers = [
        (libc::SYS_clone3, Errno::ENOSYS),
        (libc::SYS_openat, Errno::ENOENT),
    ];
    let instruction = |code, jt, jf, k| seccompiler::sock_filter { code, jt, jf, k };
    let mut head = vec![instruction(LOAD_NR, 0, 0, 0)];
    for (nr, errno) in answers {
        let nr = u32::try_from(nr)
            .map_err(|_| seccompiler::BackendError::FilterTooLarge(program.len()))?;
        head.push(instruction(JUMP_EQUAL, 0, 1, nr));
        head.push(instruction(RETURN, 0, 0, RET_ERRNO | u32::from(errno.0)));
    }
    program.splice(0..0, head);
    Ok(())
}

/// Installs `program` on all threads of the process: SECCOMP_FILTER_FLAG_TSYNC. There
/// is no way back. `no_new_privs` was set before.
pub fn install(program: &BpfProgram) -> Result<(), FilterError> {
    seccompiler::apply_filter_all_threads(program).map_err(|error| match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
            FilterError::Host(errno_of(&error))
        }
        other => FilterError::Rules(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::SENTRY_RULES;
    use super::*;

    #[test]
    fn the_rules_make_a_filter() {
        let program = compile(SENTRY_RULES).unwrap();
        assert!(program.len() > 100);
        assert!(program.len() < 4096, "BPF_MAXINSNS");
    }

    #[test]
    fn a_rule_without_conditions_wins() {
        let narrow = HostRule {
            name: "SYS_getpid",
            nr: libc::SYS_getpid,
            args: &[(0, 7)],
            masks: &[],
            reason: "",
        };
        let wide = HostRule {
            args: &[],
            ..narrow
        };
        let both = compile(&[&[narrow, wide]]).unwrap();
        let one = compile(&[&[wide]]).unwrap();
        assert_eq!(both.len(), one.len());
    }
}

//! Instructions that a program should not use: what comes of them is what comes of them
//! on Linux, where the ptrace platform runs them, and the machine goes on.

use arch::Regs;

use super::super::harness::{DATA, Random};
use super::victim::compare_each;

/// Instructions by name. Those whose result cannot be the same twice write to x2, which
/// nobody looks at; the others to x1.
const LIST: &[(&str, u32)] = &[
    ("msr vbar_el1, x0", 0xd518_c000),
    ("mrs x2, sctlr_el1", 0xd538_1002),
    ("msr ttbr0_el1, x0", 0xd518_2000),
    ("mrs x2, currentel", 0xd538_4242),
    ("msr daifset, #2", 0xd503_42df),
    ("msr daifclr, #2", 0xd503_42ff),
    ("mrs x2, daif", 0xd53b_4222),
    ("msr daif, x0", 0xd51b_4220),
    ("msr spsel, #0", 0xd500_40bf),
    ("eret", 0xd69f_03e0),
    ("hvc #0", 0xd400_0002),
    ("smc #0", 0xd400_0003),
    ("hlt #0", 0xd440_0000),
    ("dcps1", 0xd4a0_0001),
    ("drps", 0xd6bf_03e0),
    ("tlbi vmalle1", 0xd508_871f),
    ("tlbi aside1is, x0", 0xd508_8340),
    ("at s1e1r, x0", 0xd508_7800),
    ("dc ivac, x0", 0xd508_7620),
    ("dc isw, x0", 0xd508_7640),
    ("ic ialluis", 0xd508_711f),
    ("ic iallu", 0xd508_751f),
    ("wfi", 0xd503_207f),
    ("wfe", 0xd503_205f),
    ("sev", 0xd503_209f),
    ("sevl", 0xd503_20bf),
    ("yield", 0xd503_203f),
    ("isb", 0xd503_3fdf),
    ("dsb sy", 0xd503_3f9f),
    ("clrex", 0xd503_3f5f),
    ("msr mdscr_el1, x0", 0xd510_0240),
    ("mrs x2, mdscr_el1", 0xd530_0242),
    ("msr oslar_el1, x0", 0xd510_1080),
    ("mrs x2, dbgbvr0_el1", 0xd530_0082),
    ("msr dbgbcr0_el1, x0", 0xd510_00a0),
    ("msr dbgwcr0_el1, x0", 0xd510_00e0),
    ("mrs x2, pmccntr_el0", 0xd53b_9d02),
    ("msr pmcr_el0, x0", 0xd51b_9c00),
    ("mrs x2, pmuserenr_el0", 0xd53b_9e02),
    ("mrs x2, cntpct_el0", 0xd53b_e022),
    ("mrs x2, cntp_ctl_el0", 0xd53b_e222),
    ("msr cntv_cval_el0, x0", 0xd51b_e340),
    ("mrs x2, cntv_tval_el0", 0xd53b_e302),
    ("mrs x2, cntkctl_el1", 0xd538_e102),
    ("mrs x2, cntvct_el0", 0xd53b_e042),
    ("mrs x1, cntfrq_el0", 0xd53b_e001),
    ("mrs x1, midr_el1", 0xd538_0001),
    ("mrs x1, mpidr_el1", 0xd538_00a1),
    ("mrs x1, revidr_el1", 0xd538_00c1),
    ("mrs x1, id_aa64isar0_el1", 0xd538_0601),
    ("mrs x1, id_aa64mmfr0_el1", 0xd538_0701),
    ("mrs x2, id_aa64pfr0_el1", 0xd538_0402),
    ("mrs xzr, id_aa64pfr1_el1", 0xd538_043f),
    ("mrs x1, ctr_el0", 0xd53b_0021),
    ("mrs x1, dczid_el0", 0xd53b_00e1),
    ("mrs x1, tpidrro_el0", 0xd53b_d061),
    ("mrs x2, tpidr_el1", 0xd538_d082),
    ("msr tpidr_el1, x0", 0xd518_d080),
    ("mrs x2, esr_el1", 0xd538_5202),
    ("mrs x2, elr_el1", 0xd538_4022),
    ("msr elr_el1, x0", 0xd518_4020),
    ("msr spsr_el1, x0", 0xd518_4000),
    ("msr sp_el0, x0", 0xd518_4100),
    ("msr actlr_el1, x0", 0xd518_1020),
    ("mrs x2, s3_0_c0_c0_1", 0xd538_0022),
    ("mrs x2, s3_0_c0_c1_0", 0xd538_0102),
    ("mrs x2, s3_0_c0_c2_7", 0xd538_02e2),
    ("mrs x2, s3_0_c15_c0_0", 0xd538_f002),
    ("mrs x2, s3_3_c15_c2_0", 0xd53b_f202),
    ("mrs x2, s3_3_c13_c0_7", 0xd53b_d0e2),
    ("mrs x2, hcr_el2", 0xd53c_1102),
    ("msr vttbr_el2, x0", 0xd51c_2100),
    ("mrs x2, scr_el3", 0xd53e_1102),
    ("udf #0", 0x0000_0000),
    ("udf #0xffff", 0x0000_ffff),
    ("brk #0", 0xd420_0000),
    ("brk #0x1234", 0xd422_4680),
    ("svc #0", 0xd400_0001),
    ("svc #0xffff", 0xd41f_ffe1),
    (".inst 0xffffffff", 0xffff_ffff),
    (".inst 0x12345678", 0x1234_5678),
    ("dc cvau, x0", 0xd50b_7b20),
    ("dc cvac, x0", 0xd50b_7a20),
    ("dc civac, x0", 0xd50b_7e20),
    ("dc zva, x0", 0xd50b_7420),
    ("ic ivau, x0", 0xd50b_7520),
    ("ldr x2, [x0, #1]", 0xf840_1002),
    ("str x2, [x0, #1]", 0xf800_1002),
    ("ldxr x2, [x0]", 0xc85f_7c02),
    ("ldar w2, [x0]", 0x88df_fc02),
];

/// A program to be compared: its name and code, and what it makes of the registers.
pub(super) struct Case((String, Vec<u8>), Box<dyn Fn(&mut Regs)>);

pub(super) fn case(name: &str, words: &[u32], set: impl Fn(&mut Regs) + 'static) -> Case {
    let code = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    Case((name.to_owned(), code), Box::new(set))
}

/// See [`compare_each`].
pub(super) fn compare(cases: &[Case], known: &[&str]) {
    let list: Vec<_> = cases.iter().map(|case| case.0.clone()).collect();
    let set = |n: usize, regs: &mut Regs| cases.get(n).unwrap().1(regs);
    compare_each(&list, set, known);
}

/// Whether the CPU is QEMU's, by MIDR_EL1: no maker, part 0x51.
pub(super) fn is_emulated() -> bool {
    let path = "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1";
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let name = u64::from_str_radix(text.trim().trim_start_matches("0x"), 16);
    name.is_ok_and(|name| name >> 24 & 0xff == 0 && name >> 4 & 0xfff == 0x51)
}

#[test]
fn privileged_and_undefined_instructions() {
    let list: Vec<Case> = LIST
        .iter()
        .map(|(name, word)| {
            case(name, &[*word], |regs| {
                regs.x[0] = DATA + 1;
                regs.x[30] = DATA;
            })
        })
        .collect();
    compare(&list, KNOWN);
}

/// Where KVM differs from the machine below it: a virtual CPU has no performance counters,
/// not even the register that says so; and QEMU's emulation (7.2) forgets to tell KVM of the
/// counter of cycles.
const KNOWN: &[&str] = &["mrs x2, pmccntr_el0", "mrs x2, pmuserenr_el0"];

/// Instructions that read, write or do something to the system, at random: those that are
/// there for programs are there, with nothing but x2 to read from and write to.
#[test]
fn system_instructions_at_random() {
    let mut random = Random::new(20_251);
    let list: Vec<Case> = (0..300)
        .map(|_| {
            let [a, b, c, ..] = random.next().to_le_bytes();
            let word = u32::from_le_bytes([a & 0xe0 | 2, b, c & 0x3f, 0xd5]);
            case(&format!("{word:#x}"), &[word], |regs| regs.x[2] = DATA)
        })
        .collect();
    compare(&list, &[]);
}

/// The same with any instruction. What is taken for a load or a store has addresses in
/// the program's data or in nothing.
#[test]
fn instructions_at_random() {
    let mut random = Random::new(4711);
    let list: Vec<Case> = (0..300)
        .map(|_| {
            let [a, b, c, d, ..] = random.next().to_le_bytes();
            let word = u32::from_le_bytes([a, b, c, d]);
            // SVE and SME, which programs do not have on KVM.
            let word = if word >> 25 & 0xf == 2 || word >> 24 & 0x9e == 0x80 {
                0
            } else {
                word
            };
            case(&format!("{word:#x}"), &[word], |regs| {
                for x in regs.x.iter_mut().skip(2) {
                    *x = DATA + 0x800;
                }
            })
        })
        .collect();
    compare(&list, &[]);
}

//! What CPUID tells programs: only features whose state is saved with a program's, and
//! whose instructions ring 3 can use here. Source: Intel SDM vol. 2A, CPUID; AMD APM
//! vol. 3, appendix E; for state components Intel SDM vol. 1, 13.1.

/// A leaf of CPUID: what EAX, EBX, ECX and EDX are for one value of EAX and ECX.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leaf {
    /// EAX of the question.
    pub function: u32,
    /// ECX of the question.
    pub index: u32,
    /// EAX of the answer.
    pub eax: u32,
    /// EBX of the answer.
    pub ebx: u32,
    /// ECX of the answer.
    pub ecx: u32,
    /// EDX of the answer.
    pub edx: u32,
}

/// State components, as bits of XCR0.
const AVX: u64 = 1 << 2;
const MPX: u64 = 3 << 3;
const AVX512: u64 = 7 << 5;
const TILES: u64 = 3 << 17;

/// Bits of one register.
const fn bits(list: &[u32]) -> u32 {
    match list {
        [] => 0,
        [first, rest @ ..] => 1 << *first | bits(rest),
    }
}

/// Features that a leaf offers and that need a state component, or cannot be had with
/// any: leaf, component (0: none), and the bits of EAX, EBX, ECX and EDX.
const NEEDS: &[(u32, u32, u64, [u32; 4])] = &[
    // FMA, AVX, F16C.
    (1, 0, AVX, [0, 0, bits(&[12, 28, 29]), 0]),
    // MONITOR, VMX, SMX, PCID, time-stamp deadlines.
    (1, 0, 0, [0, 0, bits(&[3, 5, 6, 17, 24]), 0]),
    // AVX2; VAES, VPCLMULQDQ.
    (7, 0, AVX, [0, bits(&[5]), bits(&[9, 10]), 0]),
    (7, 0, MPX, [0, bits(&[14]), 0, 0]),
    (
        7,
        0,
        AVX512,
        [
            0,
            bits(&[16, 17, 21, 26, 27, 28, 30, 31]),
            bits(&[1, 6, 11, 12, 14]),
            bits(&[2, 3, 8, 23]),
        ],
    ),
    // AMX.
    (7, 0, TILES, [0, 0, 0, bits(&[22, 24, 25])]),
    // SGX; PKU, OSPKE, shadow stacks, key locker, ENQCMD; user interrupts, IBT.
    (
        7,
        0,
        0,
        [0, bits(&[2]), bits(&[3, 4, 7, 23, 29]), bits(&[5, 20])],
    ),
    // AVX-VNNI, AVX-IFMA; AVX-VNNI-INT8, AVX-NE-CONVERT, AVX-VNNI-INT16.
    (7, 1, AVX, [bits(&[4, 23]), 0, 0, bits(&[4, 5, 10])]),
    // AVX512_BF16; AVX10.
    (7, 1, AVX512, [bits(&[5]), 0, 0, bits(&[19])]),
    (7, 1, TILES, [bits(&[21]), 0, 0, bits(&[8])]),
    // LAM; CET_SSS, APX.
    (7, 1, 0, [bits(&[26]), 0, 0, bits(&[18, 21])]),
    // XSAVES and what is switched with it, extended feature disable.
    (0xd, 1, 0, [bits(&[3, 4]), u32::MAX, u32::MAX, u32::MAX]),
    // XOP, FMA4.
    (0x8000_0001, 0, AVX, [0, 0, bits(&[11, 16]), 0]),
    // SVM, SKINIT, lightweight profiling, MWAITX.
    (0x8000_0001, 0, 0, [0, 0, bits(&[2, 12, 15, 29]), 0]),
];

/// Leaves that are about what programs cannot have: counters that RDPMC reads, SGX,
/// processor trace, key locker, what a hypervisor has for its guest's kernel, SVM,
/// lightweight profiling.
const EMPTY: [u32; 7] = [0xa, 0x12, 0x14, 0x19, 0x4000_0001, 0x8000_000a, 0x8000_001c];

/// The leaf of state components.
const STATE: u32 = 0xd;
/// Bytes of legacy area and header, at least.
const STATE_MIN: u32 = 576;

/// Takes from `leaves` what a program on CPU `number` cannot have if it has the state
/// components `xcr0`.
pub fn restrict(leaves: &mut [Leaf], xcr0: u64, number: u32) {
    let size = leaves
        .iter()
        .filter(|leaf| leaf.function == STATE && is_component(leaf.index, xcr0))
        .map(|leaf| leaf.ebx.saturating_add(leaf.eax))
        .fold(STATE_MIN, u32::max);
    for leaf in leaves {
        for (function, index, component, [eax, ebx, ecx, edx]) in NEEDS {
            let lacks = *component == 0 || xcr0 & component != *component;
            if (leaf.function, leaf.index) == (*function, *index) && lacks {
                leaf.eax &= !eax;
                leaf.ebx &= !ebx;
                leaf.ecx &= !ecx;
                leaf.edx &= !edx;
            }
        }
        match (leaf.function, leaf.index) {
            (function, _) if EMPTY.contains(&function) => *leaf = leaf.empty(),
            (STATE, 0) => {
                let words = [xcr0, xcr0 >> 32].map(crate::abi::num::low32);
                [leaf.eax, leaf.edx] = [leaf.eax & words[0], leaf.edx & words[1]];
                (leaf.ebx, leaf.ecx) = (size, size);
            }
            (STATE, index) if index > 1 && !is_component(index, xcr0) => *leaf = leaf.empty(),
            // The number of the CPU, in two places.
            (1, _) => leaf.ebx = leaf.ebx & 0xff_ffff | number << 24,
            (0xb | 0x1f, _) => leaf.edx = number,
            _ => {}
        }
    }
}

/// Whether the sub-leaf at `index` is of a component in `xcr0`.
const fn is_component(index: u32, xcr0: u64) -> bool {
    index > 1 && index < 64 && xcr0 >> index & 1 == 1
}

impl Leaf {
    const fn empty(self) -> Self {
        Self {
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(function: u32, index: u32) -> Leaf {
        Leaf {
            function,
            index,
            eax: u32::MAX,
            ebx: u32::MAX,
            ecx: u32::MAX,
            edx: u32::MAX,
        }
    }

    fn component(index: u32, offset: u32, size: u32) -> Leaf {
        Leaf {
            eax: size,
            ebx: offset,
            ..full(STATE, index).empty()
        }
    }

    #[test]
    fn vectors_need_their_state() {
        let offered = |xcr0| {
            let mut leaves = [full(1, 0), full(7, 0)];
            restrict(&mut leaves, xcr0, 0);
            let [one, seven] = leaves;
            [
                one.ecx >> 28 & 1,
                seven.ebx >> 5 & 1,
                seven.ebx >> 16 & 1,
                seven.edx >> 24 & 1,
            ]
        };
        assert_eq!(offered(0x3), [0, 0, 0, 0]);
        assert_eq!(offered(0x7), [1, 1, 0, 0]);
        // Two of three parts of AVX-512 are not enough.
        assert_eq!(offered(0x67), [1, 1, 0, 0]);
        assert_eq!(offered(0xe7), [1, 1, 1, 0]);
        assert_eq!(offered(0x6_00e7), [1, 1, 1, 1]);
    }

    #[test]
    fn what_nobody_saves_is_never_offered() {
        let mut leaves = [full(1, 0), full(7, 0), full(0x8000_0001, 0), full(0xa, 0)];
        restrict(&mut leaves, u64::MAX, 3);
        let [one, seven, extended, counters] = leaves;
        assert_eq!(one.ecx >> 5 & 1, 0, "VMX");
        assert_eq!(one.ebx >> 24, 3, "the number of the CPU");
        assert_eq!(seven.ecx >> 3 & 3, 0, "protection keys");
        assert_eq!(seven.ecx >> 7 & 1 | seven.edx >> 20 & 1, 0, "CET");
        assert_eq!(extended.ecx >> 2 & 1, 0, "SVM");
        assert_eq!(counters, counters.empty());
    }

    #[test]
    fn the_area_is_as_large_as_its_components() {
        let mut leaves = [
            full(STATE, 0),
            full(STATE, 1),
            component(2, 576, 256),
            component(5, 1088, 64),
            component(9, 2688, 8),
            component(18, 2816, 8192),
        ];
        restrict(&mut leaves, 0x27, 0);
        assert_eq!((leaves[0].eax, leaves[0].edx), (0x27, 0));
        assert_eq!((leaves[0].ebx, leaves[0].ecx), (1152, 1152));
        // XSAVEOPT, XSAVEC and XGETBV with ECX = 1, but no XSAVES.
        assert_eq!(leaves[1].eax & 0x1f, 7);
        assert_eq!(leaves[2], component(2, 576, 256));
        assert_eq!(leaves[4], component(9, 0, 0));
        assert_eq!(leaves[5], component(18, 0, 0));
    }
}

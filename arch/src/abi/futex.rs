//! Futexes, robust lists and restartable sequences: futex(2), set_robust_list(2), rseq(2).

use super::macros::{abi_struct, flags, numbers};

numbers! {
    u32, futex_numbers = linux_raw_sys::general;
    FUTEX_WAIT 0 "Wait if the word has the value.";
    FUTEX_WAKE 1 "Wake up to so many.";
    FUTEX_FD 2 "Gone since Linux 2.6.26.";
    FUTEX_REQUEUE 3 "Wake some, move the others.";
    FUTEX_CMP_REQUEUE 4 "The same, if the word has the value.";
    FUTEX_WAKE_OP 5 "Change a second word, wake on both.";
    FUTEX_LOCK_PI 6 "Lock with priority inheritance.";
    FUTEX_UNLOCK_PI 7 "Unlock.";
    FUTEX_TRYLOCK_PI 8 "Lock unless held by a live owner.";
    FUTEX_WAIT_BITSET 9 "Wait for a wake that shares a bit; absolute time.";
    FUTEX_WAKE_BITSET 10 "Wake who shares a bit.";
    FUTEX_WAIT_REQUEUE_PI 11 "Wait, to be moved to a PI futex.";
    FUTEX_CMP_REQUEUE_PI 12 "Move to a PI futex.";
    FUTEX_LOCK_PI2 13 "FUTEX_LOCK_PI with a choice of clocks.";
    FUTEX_PRIVATE_FLAG 128 "Only this process uses the word.";
    FUTEX_CLOCK_REALTIME 256 "The timeout is on CLOCK_REALTIME.";
    FUTEX_WAITERS 0x8000_0000 "Word of a PI or robust futex: someone waits.";
    FUTEX_OWNER_DIED 0x4000_0000 "Word of a robust futex: the owner died.";
    FUTEX_TID_MASK 0x3fff_ffff "Word of a PI or robust futex: the owner.";
    FUTEX_BITSET_MATCH_ANY 0xffff_ffff "All bits.";
    FUTEX_OP_SET 0 "FUTEX_WAKE_OP: store.";
    FUTEX_OP_ADD 1 "FUTEX_WAKE_OP: add.";
    FUTEX_OP_OR 2 "FUTEX_WAKE_OP: set bits.";
    FUTEX_OP_ANDN 3 "FUTEX_WAKE_OP: clear bits.";
    FUTEX_OP_XOR 4 "FUTEX_WAKE_OP: flip bits.";
    FUTEX_OP_OPARG_SHIFT 8 "FUTEX_WAKE_OP: the operand is a bit number.";
    FUTEX_OP_CMP_EQ 0 "FUTEX_WAKE_OP: if equal.";
    FUTEX_OP_CMP_NE 1 "FUTEX_WAKE_OP: if not equal.";
    FUTEX_OP_CMP_LT 2 "FUTEX_WAKE_OP: if less.";
    FUTEX_OP_CMP_LE 3 "FUTEX_WAKE_OP: if less or equal.";
    FUTEX_OP_CMP_GT 4 "FUTEX_WAKE_OP: if greater.";
    FUTEX_OP_CMP_GE 5 "FUTEX_WAKE_OP: if greater or equal.";
    FUTEX_WAITV_MAX 128 "Most words of futex_waitv(2).";
    ROBUST_LIST_LIMIT 2048 "Most entries of a robust list that are looked at.";
}

flags! {
    /// Flags of futex_waitv(2)'s entries and of futex_wait(2).
    Futex2Flags: u32, futex2_flags = linux_raw_sys::general;
    SIZE_U16 FUTEX2_SIZE_U16 1, "The word has 16 bits.";
    SIZE_U32 FUTEX2_SIZE_U32 2, "The word has 32 bits; the only size offered.";
    SIZE_U64 FUTEX2_SIZE_U64 3, "The word has 64 bits.";
    NUMA FUTEX2_NUMA 4, "A node number follows the word.";
    PRIVATE FUTEX2_PRIVATE 128, "Only this process uses the word.";
}

abi_struct! {
    /// `struct futex_waitv`: futex_waitv(2).
    pub struct FutexWaitv {
        /// Expected value.
        pub val: u64,
        /// Address of the word.
        pub uaddr: u64,
        /// `FUTEX2_` flags.
        pub flags: u32,
        /// Must be zero.
        pub reserved: u32,
    }
}

abi_struct! {
    /// `struct robust_list_head`: set_robust_list(2).
    pub struct RobustListHead {
        /// First entry; the low bit marks a PI futex; the head's own address ends the list.
        pub list: u64,
        /// Bytes from an entry to its futex word.
        pub futex_offset: i64,
        /// An entry being added or taken out.
        pub list_op_pending: u64,
    }
}

abi_struct! {
    /// `struct rseq`, the original 32 bytes: rseq(2).
    pub struct Rseq {
        /// A CPU number that is always valid.
        pub cpu_id_start: u32,
        /// The CPU, or `RSEQ_CPU_ID_UNINITIALIZED`.
        pub cpu_id: u32,
        /// Address of the present critical section's `RseqCs`.
        pub rseq_cs: u64,
        /// Deprecated flags; must be zero.
        pub flags: u32,
        /// NUMA node.
        pub node_id: u32,
        /// CPU number within the address space.
        pub mm_cid: u32,
        #[doc(hidden)]
        pub pad: u32,
    }
}

abi_struct! {
    /// `struct rseq_cs`: a critical section.
    pub struct RseqCs {
        /// Must be zero.
        pub version: u32,
        /// Must be zero.
        pub flags: u32,
        /// First instruction.
        pub start_ip: u64,
        /// Bytes from it to the end of the section.
        pub post_commit_offset: u64,
        /// Where to go on when interrupted; the signature stands in the 4 bytes before.
        pub abort_ip: u64,
    }
}

numbers! {
    u32;
    RSEQ_FLAG_UNREGISTER 1 "rseq(2): unregister.";
    RSEQ_CPU_ID_UNINITIALIZED 0xffff_ffff "Not registered.";
    RSEQ_ORIG_SIZE 32 "The original size, which must always be accepted.";
    RSEQ_ALIGN 32 "Alignment of `struct rseq` in bytes.";
}

#[cfg(test)]
mod tests {
    use super::super::macros::same_layout;
    use super::*;
    use linux_raw_sys::general as oracle;

    same_layout!(waitv: FutexWaitv = oracle::futex_waitv { val = val, uaddr = uaddr, flags = flags });
    same_layout!(robust: RobustListHead = oracle::robust_list_head {
        list = list, futex_offset = futex_offset, list_op_pending = list_op_pending,
    });
}

//! What a virtual machine needs of the machine's privileged side: page-table entries,
//! descriptor tables, control registers, the stub that runs in ring 0, and what its
//! exits mean. Plain data; nothing here touches the machine.

pub mod control;
pub mod descriptors;
pub mod offer;
pub mod paging;
pub mod stub;
pub mod traps;

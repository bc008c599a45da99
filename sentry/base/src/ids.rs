//! Identifiers as programs see them.

/// A process, thread, process-group or session id in the sandbox's PID namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Pid(pub i32);

/// A user id in the sandbox's user namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Uid(pub u32);

/// A group id in the sandbox's user namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Gid(pub u32);

impl Uid {
    /// The superuser.
    pub const ROOT: Self = Self(0);
    /// What stands for an id that cannot be shown: overflowuid.
    pub const OVERFLOW: Self = Self(65_534);
}

impl Gid {
    /// The superuser's group.
    pub const ROOT: Self = Self(0);
    /// What stands for an id that cannot be shown: overflowgid.
    pub const OVERFLOW: Self = Self(65_534);
}

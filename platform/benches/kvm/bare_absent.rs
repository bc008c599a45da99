//! Where nobody has written the smallest host yet.

/// How the program goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Return {
    Set,
    Stub,
    Halt,
}

pub(crate) enum Bare {}

impl Bare {
    pub(crate) fn new(_way: Return) -> Option<Self> {
        None
    }

    pub(crate) fn round(&mut self) {
        match *self {}
    }
}

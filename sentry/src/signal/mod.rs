//! Signals: queues, actions, sending, delivery, stops.
//!
//! Each thread group has one lock (`rank::SIGNALS`) for its pending signals, its
//! threads' masks and queues, its stop state and its end, as Linux's `siglock`;
//! actions have a lock of their own below it, as groups may share them. What needs
//! the task tree (telling a parent) is done with no signal lock held. Whoever
//! gives a task something to attend to sets `attention` first, then wakes and kicks.

mod actions;
mod deliver;
mod group;
mod own;
mod pending;
mod restart;
mod send;
mod stop;

pub use actions::Actions;
pub use arch::abi::{SigInfo, SigSet, Signal};
pub(crate) use deliver::NO_STACK;
pub(crate) use group::{Notice, ThreadStop};
pub use group::{Signals, Stop, ThreadSignals};
pub(crate) use own::AsRunning;
pub use own::OwnSignals;
pub use pending::{Charge, Charges, OnCollect, Pending, Taken};
pub use restart::{Restart, RestartBlock, Resume};
pub use send::{Origin, Scope, SendError};

//! One watched inode.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use arch::abi::poll::InotifyMask;
use vfs::{Event, Events, Inode, Watcher};

use super::Instance;

/// Events that come through an open file: not told of unlinked ones under EXCL_UNLINK.
const BY_PATH: Events = Events::ACCESS
    .union(Events::MODIFY)
    .union(Events::OPEN)
    .union(Events::CLOSE_WRITE)
    .union(Events::CLOSE_NOWRITE);
/// Events of the watched file itself, which do not say that it is a directory.
const OF_SELF: Events = Events::DELETE_SELF.union(Events::MOVE_SELF);

/// A watch; its number is unique in its instance.
pub(super) struct Watch {
    number: i32,
    inode: Arc<dyn Inode>,
    mask: AtomicU32,
    instance: Weak<Instance>,
}

impl Watch {
    pub(super) fn new(
        number: i32,
        inode: &Arc<dyn Inode>,
        mask: InotifyMask,
        instance: Weak<Instance>,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            inode: Arc::clone(inode),
            mask: AtomicU32::new(mask.bits()),
            instance,
        })
    }

    pub(super) fn number(&self) -> i32 {
        self.number
    }

    pub(super) fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    pub(super) fn mask(&self) -> InotifyMask {
        InotifyMask::from_bits_retain(self.mask.load(Ordering::Relaxed))
    }

    pub(super) fn replace(&self, mask: InotifyMask) {
        self.mask.store(mask.bits(), Ordering::Relaxed);
    }

    pub(super) fn add(&self, more: InotifyMask) {
        self.mask.fetch_or(more.bits(), Ordering::Relaxed);
    }

    fn wants(&self, mask: InotifyMask, event: &Event<'_>) -> bool {
        let bits = (event.what - Events::ISDIR).bits();
        let hidden = mask.contains(InotifyMask::EXCL_UNLINK)
            && event.unlinked
            && event.what.intersects(BY_PATH);
        mask.bits() & bits != 0 && !hidden
    }
}

impl Watcher for Watch {
    fn tell(&self, event: &Event<'_>) {
        let Some(instance) = self.instance.upgrade() else {
            return;
        };
        let mask = self.mask();
        let wanted = self.wants(mask, event);
        if wanted {
            let mut what = event.what;
            if what.intersects(OF_SELF) {
                what.remove(Events::ISDIR);
            }
            instance.queue(
                self.number,
                InotifyMask::from_bits_retain(what.bits()),
                event.cookie,
                event.name.unwrap_or_default(),
            );
        }
        let once = wanted && mask.contains(InotifyMask::ONESHOT);
        if once || event.what.contains(Events::DELETE_SELF) {
            instance.forget(self.number);
        }
    }
}

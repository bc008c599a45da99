//! Robust lists: set_robust_list(2) and what the kernel does when an owner dies.

use crate::support::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

crate::cases!("threads":
    robust_list_roundtrip, robust_owner_death_wakes, robust_mutex_of_dead_process, robust_list_loop_ends,
    robust_pending_operation,
);

/// `struct robust_list_head` of linux/futex.h.
#[repr(C)]
struct Head {
    next: *mut Entry,
    offset: i64,
    pending: *mut Entry,
}

#[repr(C)]
struct Entry {
    next: *mut Entry,
    word: AtomicU32,
}

const WORD_OFFSET: i64 = std::mem::offset_of!(Entry, word) as i64;

unsafe fn robust_list_roundtrip() {
    let mut head = Head {
        next: null_mut(),
        offset: WORD_OFFSET,
        pending: null_mut(),
    };
    head.next = (&raw mut head).cast();
    ok(syscall(
        SYS_set_robust_list,
        &raw mut head,
        size_of::<Head>(),
    ));
    err(
        syscall(SYS_set_robust_list, &raw mut head, size_of::<Head>() - 1),
        EINVAL,
    );
    let (mut seen, mut len) = (null_mut::<Head>(), 0_usize);
    ok(syscall(SYS_get_robust_list, 0, &raw mut seen, &raw mut len));
    eq((seen, len), (&raw mut head, size_of::<Head>()));
    err(
        syscall(
            SYS_get_robust_list,
            0x3fff_ffff,
            &raw mut seen,
            &raw mut len,
        ),
        ESRCH,
    );
    ok(syscall(SYS_set_robust_list, 0, size_of::<Head>()));
}

/// Memory that parent and child share, with room for a head and two entries.
unsafe fn shared<T>() -> *mut T {
    ok(mmap(
        null_mut(),
        page(),
        PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS,
        -1,
        0,
    ))
    .cast()
}

unsafe fn robust_owner_death_wakes() {
    let entries = shared::<[Entry; 2]>();
    let (one, two) = (&(*entries)[0].word, &(*entries)[1].word);
    let (locked, die) = (Gate::new(), Gate::new());
    let owner = child(|| {
        let mut head = Head {
            next: (&raw mut (*entries)[0]),
            offset: WORD_OFFSET,
            pending: null_mut(),
        };
        (*entries)[0].next = &raw mut (*entries)[1];
        (*entries)[1].next = (&raw mut head).cast();
        ok(syscall(
            SYS_set_robust_list,
            &raw mut head,
            size_of::<Head>(),
        ));
        one.store(getpid() as u32 | FUTEX_WAITERS, SeqCst);
        // Not this thread's: left alone.
        two.store(1, SeqCst);
        locked.open();
        die.pass();
        _exit(0)
    });
    locked.pass();
    let waiter = child(|| {
        let value = owner as u32 | FUTEX_WAITERS;
        let result = syscall(SYS_futex, one.as_ptr(), FUTEX_WAIT, value, 0, 0, 0);
        check(
            result == 0 || errno() == EAGAIN,
            "woken by the owner's death",
        );
        0
    });
    until_asleep(waiter);
    die.open();
    exits(owner, 0);
    exits(waiter, 0);
    eq(one.load(SeqCst), FUTEX_OWNER_DIED | FUTEX_WAITERS);
    eq(two.load(SeqCst), 1);
}

unsafe fn robust_mutex_of_dead_process() {
    let mutex = shared::<pthread_mutex_t>();
    let mut attributes: pthread_mutexattr_t = std::mem::zeroed();
    pthread_mutexattr_init(&raw mut attributes);
    pthread_mutexattr_setpshared(&raw mut attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&raw mut attributes, PTHREAD_MUTEX_ROBUST);
    eq(pthread_mutex_init(mutex, &raw const attributes), 0);
    let pid = child(|| {
        eq(pthread_mutex_lock(mutex), 0);
        kill(getpid(), SIGKILL)
    });
    killed(pid, SIGKILL);
    eq(pthread_mutex_lock(mutex), EOWNERDEAD);
    eq(pthread_mutex_consistent(mutex), 0);
    eq(pthread_mutex_unlock(mutex), 0);
    eq(pthread_mutex_lock(mutex), 0);
}

unsafe fn robust_list_loop_ends() {
    // A list that never comes back to its head: the kernel gives up after 2,048 entries.
    let pid = child(|| {
        let entry = shared::<Entry>();
        let mut head = Head {
            next: entry,
            offset: WORD_OFFSET,
            pending: null_mut(),
        };
        (*entry).next = entry;
        ok(syscall(
            SYS_set_robust_list,
            &raw mut head,
            size_of::<Head>(),
        ));
        3
    });
    exits(pid, 3);
    let pid = child(|| {
        // Nor does a wild pointer keep a thread from ending.
        ok(syscall(SYS_set_robust_list, 0x10, size_of::<Head>()));
        4
    });
    exits(pid, 4);
}

unsafe fn robust_pending_operation() {
    // An entry being taken when the thread dies counts, too.
    let entry = shared::<Entry>();
    let pid = child(|| {
        let mut head = Head {
            next: null_mut(),
            offset: WORD_OFFSET,
            pending: entry,
        };
        head.next = (&raw mut head).cast();
        (*entry).word.store(getpid() as u32, SeqCst);
        ok(syscall(
            SYS_set_robust_list,
            &raw mut head,
            size_of::<Head>(),
        ));
        _exit(0)
    });
    exits(pid, 0);
    eq((*entry).word.load(SeqCst), FUTEX_OWNER_DIED);
}

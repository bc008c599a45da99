//! What parent and child share after fork(2), and copy-on-write in both directions.

use super::*;

crate::cases!("memory":
    cow_child_write_unseen, cow_parent_write_unseen, cow_grandchildren, cow_after_read_only_fork, cow_large_partial,
    shared_anonymous_is_shared, shared_survives_parent_unmap, shared_then_mprotect, fork_then_grandchild_exec,
    cow_into_system_call_buffer, fork_while_threads_write, memory_freed_by_child_stays, many_generations,
);

unsafe fn cow_child_write_unseen() {
    let at = anonymous(8, RW);
    std::ptr::write_bytes(at, 1, 8 * page());
    in_child(|| {
        for i in 0..8 {
            eq(peek(at.add(i * page())), 1);
            poke(at.add(i * page()), 2);
            eq(
                (peek(at.add(i * page())), peek(at.add(i * page() + 1))),
                (2, 1),
            );
        }
    });
    for i in 0..8 {
        eq(peek(at.add(i * page())), 1);
    }
}

unsafe fn cow_parent_write_unseen() {
    let at = anonymous(4, RW);
    std::ptr::write_bytes(at, 1, 4 * page());
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        eq((peek(at), peek(at.add(3 * page()))), (1, 1));
        0
    });
    std::ptr::write_bytes(at, 2, 4 * page());
    gate.open();
    exits(pid, 0);
    eq(peek(at), 2);
}

unsafe fn cow_grandchildren() {
    let at = anonymous(1, RW);
    poke(at, 1);
    in_child(|| {
        in_child(|| {
            poke(at, 3);
            in_child(|| {
                eq(peek(at), 3);
                poke(at, 4);
            });
            eq(peek(at), 3);
        });
        eq(peek(at), 1);
        poke(at, 2);
    });
    eq(peek(at), 1);
}

unsafe fn cow_after_read_only_fork() {
    // Read-only at the fork, writable afterwards: still private.
    let at = anonymous(2, RW);
    std::ptr::write_bytes(at, 5, 2 * page());
    ok(mprotect(at.cast(), 2 * page(), PROT_READ));
    let gate = Gate::new();
    let pid = child(|| {
        ok(mprotect(at.cast(), 2 * page(), RW));
        poke(at, 6);
        gate.open();
        0
    });
    gate.pass();
    eq(peek(at), 5);
    ok(mprotect(at.cast(), 2 * page(), RW));
    poke(at, 7);
    exits(pid, 0);
    eq(peek(at), 7);
}

unsafe fn cow_large_partial() {
    // 64 MiB of which the child writes every sixteenth page.
    let pages = (64 << 20) / page();
    let at = anonymous(pages, RW);
    for i in 0..pages {
        poke(at.add(i * page()), (i % 251) as u8);
    }
    in_child(|| {
        for i in (0..pages).step_by(16) {
            poke(at.add(i * page()), 255);
        }
        for i in 0..pages {
            let expected = if i % 16 == 0 { 255 } else { (i % 251) as u8 };
            eq(peek(at.add(i * page())), expected);
        }
    });
    for i in 0..pages {
        eq(peek(at.add(i * page())), (i % 251) as u8);
    }
}

unsafe fn shared_anonymous_is_shared() {
    let at = ok(mmap(
        null_mut(),
        3 * page(),
        RW,
        MAP_SHARED | MAP_ANONYMOUS,
        -1,
        0,
    ))
    .cast::<u8>();
    poke(at, 1);
    in_child(|| {
        eq(peek(at), 1);
        poke(at, 2);
        // First touched by the child.
        poke(at.add(2 * page()), 3);
    });
    eq((peek(at), peek(at.add(2 * page()))), (2, 3));
}

unsafe fn shared_survives_parent_unmap() {
    let at = ok(mmap(
        null_mut(),
        page(),
        RW,
        MAP_SHARED | MAP_ANONYMOUS,
        -1,
        0,
    ))
    .cast::<u8>();
    poke(at, 44);
    let gate = Gate::new();
    let pid = child(|| {
        gate.pass();
        eq(peek(at), 44);
        0
    });
    ok(munmap(at.cast(), page()));
    gate.open();
    exits(pid, 0);
}

unsafe fn shared_then_mprotect() {
    // Protection belongs to the mapping, contents to the object.
    let at = ok(mmap(
        null_mut(),
        page(),
        RW,
        MAP_SHARED | MAP_ANONYMOUS,
        -1,
        0,
    ))
    .cast::<u8>();
    let gate = Gate::new();
    let pid = child(|| {
        ok(mprotect(at.cast(), page(), PROT_READ));
        gate.pass();
        eq(peek(at), 9);
        check(!writable(at), "read only here");
        0
    });
    poke(at, 9);
    gate.open();
    exits(pid, 0);
    check(writable(at), "and writable there");
}

unsafe fn fork_then_grandchild_exec() {
    // An exec in between frees a copy of everything; nothing of the parent's goes.
    let at = anonymous(256, RW);
    std::ptr::write_bytes(at, 7, 256 * page());
    for i in 0..5 {
        exits(child(|| crate::helper::exec(&["exit", &i.to_string()])), i);
    }
    eq(
        (0..256)
            .map(|i| u32::from(peek(at.add(i * page()))))
            .sum::<u32>(),
        7 * 256,
    );
}

unsafe fn cow_into_system_call_buffer() {
    // The kernel's own writes break sharing, too.
    let at = anonymous(2, RW);
    std::ptr::write_bytes(at, 1, 2 * page());
    let gate = Gate::new();
    let fd = file_with(c"f", &[9; 100]);
    let pid = child(|| {
        eq(ok(pread(fd, at.add(page() - 50).cast(), 100, 0)), 100);
        eq((peek(at.add(page() - 1)), peek(at.add(page()))), (9, 9));
        gate.open();
        0
    });
    gate.pass();
    eq((peek(at.add(page() - 1)), peek(at.add(page()))), (1, 1));
    exits(pid, 0);
    in_child(|| {
        eq(ok(pread(fd, at.cast(), 10, 0)), 10);
    });
    eq(peek(at), 1);
}

unsafe fn fork_while_threads_write() {
    // Each thread counts two words up in step; every child must see a state that once was.
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
    static STOP: AtomicBool = AtomicBool::new(false);
    let words = &*anonymous(2, RW).cast::<[AtomicU64; 1024]>();
    let writer = std::thread::spawn(move || {
        let mut i = 0;
        while !STOP.load(SeqCst) {
            i += 1;
            words[0].store(i, SeqCst);
            words[600].store(i, SeqCst);
        }
    });
    for _ in 0..20 {
        in_child(|| {
            let (first, second) = (words[0].load(SeqCst), words[600].load(SeqCst));
            check(
                first == second || first == second + 1,
                "one moment of the parent's memory",
            );
            words[0].store(u64::MAX, SeqCst);
        });
    }
    STOP.store(true, SeqCst);
    writer.join().unwrap();
    eq(words[0].load(SeqCst), words[600].load(SeqCst));
}

unsafe fn memory_freed_by_child_stays() {
    let at = anonymous(16, RW);
    std::ptr::write_bytes(at, 3, 16 * page());
    in_child(|| {
        ok(munmap(at.cast(), 16 * page()));
        // What the child maps there next is its own.
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        ok(mmap(at.cast(), 16 * page(), RW, flags, -1, 0));
        std::ptr::write_bytes(at, 4, 16 * page());
    });
    eq(peek(at.add(15 * page())), 3);
}

unsafe fn many_generations() {
    let at = anonymous(4, RW);
    for round in 0..40_u8 {
        poke(at, round);
        in_child(|| {
            eq(peek(at), round);
            poke(at, 200);
            poke(at.add(3 * page()), round);
        });
        eq((peek(at), peek(at.add(3 * page()))), (round, 0));
    }
}

#!/usr/bin/python3
# sqlite3 as a library: transactions, write-ahead log, two connections.
import os
import sqlite3
import tempfile

with tempfile.TemporaryDirectory() as where:
    path = os.path.join(where, "db")
    one = sqlite3.connect(path)
    print(one.execute("pragma journal_mode=wal").fetchone())
    one.execute("create table numbers (n integer primary key, square integer)")
    for start in range(0, 20000, 1000):
        with one:
            rows = ((n, n * n) for n in range(start, start + 1000))
            one.executemany("insert into numbers values (?, ?)", rows)
    two = sqlite3.connect(path, timeout=0.05)
    one.execute("begin immediate")
    try:
        two.execute("insert into numbers values (-1, 1)")
    except sqlite3.OperationalError as error:
        print(error)
    one.rollback()
    print(two.execute("select count(*), sum(square) from numbers").fetchone())
    print(two.execute("pragma integrity_check").fetchone())

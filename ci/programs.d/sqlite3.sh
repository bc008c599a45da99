#!/bin/sh
# 50,000 inserts in transactions, then an index, a query and a check of the whole file.
set -eu
cd "$(mktemp -d)"
awk 'BEGIN {
    print "create table t (id integer primary key, name text, value integer);"
    for (i = 0; i < 50000; i++) {
        if (i % 1000 == 0) print "begin;"
        printf "insert into t values (%d, \"name %d\", %d);\n", i, i % 777, i * 7919 % 10007
        if (i % 1000 == 999) print "commit;"
    }
}' >input.sql
sqlite3 test.db <input.sql
sqlite3 test.db 'create index by_name on t (name); pragma integrity_check;
    select count(*), sum(value), count(distinct name) from t;
    select name, count(*) from t group by name order by 2 desc, 1 limit 3; vacuum; pragma integrity_check;'

#!/bin/sh
# A pipeline of small programs, here documents, globs and a loop: what every script does.
set -eu
cd "$(mktemp -d)"
i=0
while [ $i -lt 300 ]; do
    echo "line $((i * 7919 % 1000))"
    i=$((i + 1))
done >numbers
sort -k2n numbers | uniq -c | awk '{ sum += $3 } END { print sum, NR }'
mkdir -p a/b/c
for name in x y z; do cp numbers "a/b/$name"; done
ln -s b/x a/link
ln a/b/y a/b/c/hard
mv a/b/z a/b/c/moved
ls -1RF a
stat -c '%n %F %h %s' a/link a/b/c/hard a/b/c/moved
cut -d' ' -f2 numbers | tail -n +290 | tr '\n' ',' | sed 's/,$//'
echo
rm -r a
dd if=/dev/zero bs=64k count=40 2>/dev/null | sha256sum
date -u -d @86400 +%F
timeout 0.2 sleep 20 || echo "timeout: $?"

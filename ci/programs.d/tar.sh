#!/bin/sh
# Packs a tree with gzip, unpacks it and compares the checksums of all files.
set -eu
cd "$(mktemp -d)"
tree=/usr/share/perl
sums() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
tar -C "$tree" -czf packed.tar.gz .
gzip -t packed.tar.gz
mkdir unpacked
tar -C unpacked -xzf packed.tar.gz
sums "$tree" >before
sums unpacked >after
cmp before after
wc -l <after
sha256sum <after
tar -tzf packed.tar.gz | wc -l

#!/bin/sh
# A repository with history: commit, branch, merge, clone, repack, check.
set -eu
cd "$(mktemp -d)"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q -b main one
cd one
for i in 1 2 3 4 5; do
    seq "$i" 2000 >"file$i"
    git add .
    git commit -q -m "commit $i"
done
git checkout -q -b side HEAD~2
echo side >side
git add side
git commit -q -m side
git checkout -q main
git merge -q -m merge side
git gc -q --aggressive
cd ..
git clone -q one two
cd two
git fsck --full --strict 2>&1 | grep -v '^Checking' || true
git log --format='%H %s' --graph
git status --short --branch
git diff --stat HEAD~1

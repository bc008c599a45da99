#!/bin/sh
# What tools read from /proc.
set -eu
sleep 30 &
ps -o pid=,stat= -p $! | awk '{ print $2 }'
ps -e -o comm= | grep -cx sleep
kill $!
tr '\0' ' ' </proc/self/cmdline
echo
free | awk 'NR == 2 && $2 > 0 { print "memory" }'

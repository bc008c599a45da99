#!/bin/sh
# All names below /usr, tens of thousands: the list is the same wherever it is read.
set -eu
find /usr | LC_ALL=C sort

#!/bin/sh
# Perl: regular expressions, fork, pipes, files, a sort.
set -eu
cd "$(mktemp -d)"
cat >main.pl <<'P'
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempfile);
use POSIX ":sys_wait_h";

my %count;
for my $n (1 .. 50_000) { $count{ $n * $n % 97 }++ }
print join(' ', map { "$_=$count{$_}" } (sort { $a <=> $b } keys %count)[0 .. 5]), "\n";
pipe(my $read, my $write) or die "pipe: $!";
my $pid = fork() // die "fork: $!";
if (!$pid) {
    close $read;
    print $write "line $_\n" for 1 .. 1000;
    close $write;
    exit 3;
}
close $write;
my $text = do { local $/; <$read> };
waitpid($pid, 0) == $pid or die "waitpid: $!";
print WEXITSTATUS($?), ' ', sha256_hex($text), "\n";
my ($file, $name) = tempfile(UNLINK => 1);
print $file "abc123def456\n" x 1000;
close $file;
open(my $in, '<', $name) or die "open: $!";
my $digits = 0;
while (<$in>) { $digits++ while /\d/g }
print "$digits\n";
print `echo from a child`;
P
perl main.pl

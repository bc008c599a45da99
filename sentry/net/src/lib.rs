//! Sockets: AF_UNIX comes first.

#![forbid(unsafe_code)]

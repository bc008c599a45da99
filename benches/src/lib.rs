//! Measurements against native and against the floor of the same run.

#![forbid(unsafe_code)]

//! The rungs on arm64.

use kvm_ioctls::{VcpuExit, VcpuFd};

use self::tables::WAY_OUT;
use super::{Result, memory};

mod el0;
mod el1;
mod registers;
mod tables;

type Rung = (&'static str, fn() -> Result<String>);

pub(crate) const RUNGS: [Rung; 2] = [("EL1", el1::hello), ("EL0 with paging", el0::hello)];

/// Runs until the CPU stores to `WAY_OUT`, and collects the bytes, up to a 0.
fn output(cpu: &mut VcpuFd) -> Result<String> {
    let mut output = Vec::new();
    loop {
        match cpu.run()? {
            VcpuExit::MmioWrite(WAY_OUT, [0]) => return Ok(String::from_utf8(output)?),
            VcpuExit::MmioWrite(WAY_OUT, [byte]) => output.push(*byte),
            other => return Err(format!("unexpected exit: {other:?}").into()),
        }
    }
}

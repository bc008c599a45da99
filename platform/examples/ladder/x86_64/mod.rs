//! The rungs on x86-64.

use super::{Result, memory};

mod long;
mod protected;
mod real;
mod state;
mod tables;

type Rung = (&'static str, fn() -> Result<String>);

pub(crate) const RUNGS: [Rung; 3] = [
    ("real mode", real::hello),
    ("protected mode", protected::hello),
    ("long mode, ring 3", long::hello),
];

/// Runs until the CPU halts, and collects what it writes to port 0x3f8.
fn output(cpu: &mut kvm_ioctls::VcpuFd) -> Result<String> {
    let mut output = Vec::new();
    loop {
        match cpu.run()? {
            kvm_ioctls::VcpuExit::IoOut(0x3f8, bytes) => output.extend_from_slice(bytes),
            kvm_ioctls::VcpuExit::Hlt => return Ok(String::from_utf8(output)?),
            other => return Err(format!("unexpected exit: {other:?}").into()),
        }
    }
}

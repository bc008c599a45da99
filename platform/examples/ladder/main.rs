//! A ladder of virtual machines, each rung a machine of its own that says hello: from a
//! CPU as it wakes up to a program with a kernel that it cannot touch. The last rung has
//! all that a sandbox needs, in its smallest form.
//!
//! On x86-64: real mode, protected mode, long mode with paging and ring 3. On arm64:
//! EL1, and EL0 with paging. `smallest`, beside this, explains the first steps of making
//! a machine.

#[cfg_attr(target_arch = "aarch64", path = "aarch64/mod.rs")]
#[cfg_attr(target_arch = "x86_64", path = "x86_64/mod.rs")]
mod machine;
mod memory;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::print_stdout, reason = "what the example is for")]
fn main() -> Result<()> {
    for (rung, climb) in machine::RUNGS {
        println!("{rung}: {}", climb()?);
    }
    Ok(())
}

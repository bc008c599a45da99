//! The smallest virtual machine there is: a page of memory, one CPU, and a program of a
//! few instructions that adds two numbers and hands the sum out.
//!
//! Needs read and write access to /dev/kvm. The steps are the same on every machine;
//! only registers, instructions and the way out differ, so each has its own file.

#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
mod machine;

#[expect(clippy::print_stdout, reason = "what the example is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sum = machine::add(2, 3)?;
    println!("2 + 3 = {sum}, says the virtual machine");
    Ok(())
}

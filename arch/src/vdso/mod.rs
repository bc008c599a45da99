//! The vDSO that ringfence gives its programs: clock reads without a system call.
//!
//! Owns: the image (a shared object of one page, `image`), the page of parameters
//! that its code reads (`params`), and the same arithmetic for the sentry, so that
//! both ways to ask for the time agree. Leaves to others: mapping the two pages
//! (parameters first, read-only, the image right above them) and renewing the
//! parameters. The code is never run by the sentry: it lies in read-only data.

mod image;
mod params;

pub use crate::current::vdso_code::counter;
pub use image::{Image, image};
pub use params::{PARAM_WORDS, Params, Sample};

/// One function of the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    /// The name programs look for.
    pub(crate) name: &'static str,
    /// Offset of its first instruction in the code.
    pub(crate) offset: usize,
    /// Bytes.
    pub(crate) size: usize,
}

/// What an architecture puts into the image.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// The instructions, to stand at `TEXT_OFFSET` in the image.
    pub(crate) text: &'static [u8],
    /// The functions in it.
    pub(crate) functions: Vec<Function>,
    /// The version of the functions' names.
    pub(crate) version: &'static str,
    /// Name of the function that makes rt_sigreturn(2), if handlers return there.
    pub(crate) sigreturn: Option<&'static str>,
}

/// Offset of the code in the image; the headers and tables before it must fit.
pub(crate) const TEXT_OFFSET: usize = 0x600;
/// Bytes from the parameters to the code: the code knows this distance.
pub(crate) const PARAMS_TO_TEXT: usize = 0x1000 + TEXT_OFFSET;

/// The functions at `labels`, ascending, in the `length` bytes of code from `start` on:
/// each reaches up to the next.
pub(crate) fn functions(
    start: *const u8,
    length: usize,
    labels: &[(&'static str, *const u8)],
) -> Vec<Function> {
    let offset = |label: &*const u8| label.addr().saturating_sub(start.addr());
    let ends = labels.iter().skip(1).map(|(_, label)| offset(label));
    let ends = ends.chain([length]);
    let functions = labels
        .iter()
        .zip(ends)
        .map(|((name, label), end)| Function {
            name,
            offset: offset(label),
            size: end.saturating_sub(offset(label)),
        });
    functions.collect()
}

//! What there is to say about this host's KVM.

/// For `ringfence doctor`: whether the processor has virtualization for it, by the flags
/// of /proc/cpuinfo.
#[must_use]
pub fn nature() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().filter(|line| line.starts_with("flags"));
    let mut flags = flags.flat_map(str::split_whitespace);
    if flags.any(|flag| flag == "vmx" || flag == "svm") {
        "with VMX or SVM".to_owned()
    } else {
        "without VMX or SVM: para-virtual, slower than ptrace, and CPUID shows programs the \
         host's features, not the sandbox's"
            .to_owned()
    }
}

//! `ringfence doctor` agrees with what `do` can do here.

use super::harness::{doctor, everybody, run};

#[test]
fn the_report_is_true() {
    everybody(|who| {
        let works = run(who, &["--", "true"]).status.success();
        let report = doctor(who);
        let said = String::from_utf8(report.stdout).unwrap();
        assert_eq!(report.status.code(), Some(i32::from(!works)), "{said}");
        for subject in [
            "kernel",
            "namespaces",
            "the default",
            "PTRACE_SYSEMU",
            "seccomp notification",
            "/dev/kvm",
        ] {
            let lines = said.lines().filter(|line| line.contains(subject));
            assert_eq!(lines.count(), 1, "{subject}\n{said}");
        }
        assert_eq!(said.contains("LACKS"), !works, "{said}");
    });
}

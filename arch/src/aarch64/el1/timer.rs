//! What the host's timer says about its kernel.

/// Whether the kernel runs at EL2 (VHE: one that has virtualization to itself, without a
/// world of its own for it below), by the text of /proc/interrupts. `None`: it does not
/// tell.
///
/// Linux tells programs nowhere; but it takes the timer of the level that it runs at, and
/// interrupts of timers have fixed numbers: 26 and 28 those of EL2, 27 and 30 those of EL1.
/// Sources: Arm Base System Architecture (DEN 0094), 3.6; Linux,
/// drivers/clocksource/arm_arch_timer.c (`arch_timer_select_ppi`).
#[must_use]
pub fn runs_at_el2(interrupts: &str) -> Option<bool> {
    let line = interrupts
        .lines()
        .find(|line| line.split_whitespace().next_back() == Some("arch_timer"))?;
    let mut words = line.split_whitespace();
    words.find(|word| word.starts_with("GIC"))?;
    match words.next()? {
        "26" | "28" => Some(true),
        "27" | "30" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_number_tells() {
        let text = |number: u8| {
            format!(
                "           CPU0       CPU1\n\
                 \u{20}10:          0          0     GICv3  27 Level     kvm guest vtimer\n\
                 \u{20}11:       1511       1203     GICv3  {number} Level     arch_timer\n\
                 IPI0:       143        155       Rescheduling interrupts\n"
            )
        };
        assert_eq!(runs_at_el2(&text(26)), Some(true));
        assert_eq!(runs_at_el2(&text(28)), Some(true));
        assert_eq!(runs_at_el2(&text(30)), Some(false));
        assert_eq!(runs_at_el2(&text(31)), None);
        assert_eq!(runs_at_el2(""), None);
        assert_eq!(runs_at_el2(&text(26).replace("GICv3", "xyz")), None);
    }
}

//! Sets of CPUs as /proc and /sys show them.

use platform::host::{CpuSet, MAX_CPUS};

/// The numbers of the CPUs in `set`, in order.
pub(crate) fn numbers(set: &CpuSet) -> impl Iterator<Item = usize> {
    (0..MAX_CPUS).filter(|cpu| set.contains(*cpu))
}

/// Groups of eight hexadecimal digits, the highest first.
pub(crate) fn mask(set: &CpuSet) -> String {
    let last = numbers(set).last().unwrap_or(0);
    let groups: Vec<String> = (0..=last / 32)
        .rev()
        .map(|group| {
            let bits = (0..32).filter(|bit| set.contains(group * 32 + bit));
            let word = bits.fold(0_u32, |word, bit| word | (1 << bit));
            format!("{word:08x}")
        })
        .collect();
    groups.join(",")
}

/// Ranges, as in `0-3,8`.
pub(crate) fn list(set: &CpuSet) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for cpu in numbers(set) {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == cpu => *end = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let shown: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_as_linux_shows_them() {
        let set = CpuSet::from_words(&[0b1_0000_1111, 1]);
        assert_eq!(list(&set), "0-3,8,64");
        assert_eq!(mask(&set), "00000001,00000000,0000010f");
        assert_eq!(list(&CpuSet::one(5)), "5");
        assert_eq!(mask(&CpuSet::one(5)), "00000020");
        assert_eq!(list(&CpuSet::EMPTY), "");
    }
}

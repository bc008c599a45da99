//! How often calls come from where: a small table of counts that forgets.

/// Calls from a site after which it is hot.
const HOT: u32 = 24;

/// Sites that are counted at a time: those whose addresses agree in some bits push each
/// other out.
const PLACES: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Heat([((u64, u32), u32); PLACES]);

impl Default for Heat {
    fn default() -> Self {
        Self([((0, 0), 0); PLACES])
    }
}

impl Heat {
    /// One more from `site`, of this number; whether it has just become hot. Calls of another
    /// number make it cold.
    pub(super) fn add(&mut self, site: u64, number: u32) -> bool {
        let hash = arch::abi::num::usize_of((site ^ site >> 6 ^ site >> 12) % 64);
        let Some((at, count)) = self.0.get_mut(hash) else {
            return false;
        };
        if *at != (site, number) {
            (*at, *count) = ((site, number), 0);
        }
        *count = count.saturating_add(1);
        *count == HOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_becomes_hot_once() {
        let mut heat = Heat::default();
        let hot: Vec<_> = (0..1000).map(|_| heat.add(0x40_1007, 39)).collect();
        assert_eq!(hot.iter().filter(|hot| **hot).count(), 1);
        // Pushed out, it starts anew.
        let other = (0x40_1008..).find(|at| {
            heat.add(*at, 39);
            heat.0.iter().all(|((site, _), _)| *site != 0x40_1007)
        });
        assert!(other.is_some());
        assert!(!heat.add(0x40_1007, 39));
        let mixed = (0..1000).any(|n| heat.add(0x40_1007, n % 2));
        assert!(!mixed, "a site of more than one number");
    }
}

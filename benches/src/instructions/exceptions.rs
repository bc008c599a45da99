//! Exceptions that an arm64 CPU took during trips, from QEMU's log (`-d int`). The example
//! `trips` marks where rows of trips begin and end by system calls whose instruction bears
//! a number, which the log shows.

use std::collections::BTreeMap;
use std::io::BufRead;

use benches::Measured;

/// Trips in a short row; a long one has twice as many.
const ROUNDS: f64 = 32.0;
/// An `svc` from 64-bit state, of which the lowest two bits are the mark.
const MARK: &str = "...with ESR 0x15/0x5600700";

/// Exceptions of one trip by the levels that they went from and to, as in "EL0 to EL1".
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exceptions(BTreeMap<String, f64>);

impl Exceptions {
    /// Those that went to this level.
    pub(crate) fn to(&self, level: &str) -> f64 {
        self.0
            .iter()
            .filter(|(path, _)| path.ends_with(level))
            .map(|(_, count)| count)
            .sum()
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        let kinds: Vec<String> = self
            .0
            .iter()
            .filter(|(_, count)| **count >= 0.05)
            .map(|(path, count)| format!("{count:.0} × {}", path.replace(" to ", "→")))
            .collect();
        kinds.join(", ")
    }
}

/// One row's counts.
type Row = BTreeMap<String, u32>;

/// The rows of one kind of trip with the fewest exceptions: the clock's interrupt adds some.
#[derive(Default)]
struct Best {
    short: Option<Row>,
    long: Option<Row>,
}

impl Best {
    fn exceptions(self) -> Measured<Exceptions> {
        let (Some(short), Some(long)) = (self.short, self.long) else {
            return Err("a kind of trip has no marked rows".into());
        };
        let one = |(path, count): (String, u32)| {
            let before = short.get(&path).copied().unwrap_or(0);
            let more = f64::from(count) - f64::from(before);
            (path, more / ROUNDS)
        };
        Ok(Exceptions(long.into_iter().map(one).collect()))
    }
}

/// Counts for each kind of trip, in the order of the log.
pub(crate) fn of_trips(log: impl BufRead) -> Measured<Vec<Exceptions>> {
    let mut kinds: Vec<Best> = Vec::new();
    let mut row = Row::new();
    let mut is_long = false;
    // The mark's own exception is told before its number.
    let mut last = String::new();
    for line in log.lines() {
        let line = line?;
        if let Some(path) = line.strip_prefix("...from ") {
            last = path.to_owned();
            *row.entry(last.clone()).or_default() += 1;
            continue;
        }
        match (line.strip_prefix(MARK), kinds.last_mut()) {
            (Some("0"), _) => kinds.push(Best::default()),
            (Some(mark @ ("1" | "2")), Some(_)) => {
                row.clear();
                is_long = mark == "2";
            }
            (Some("3"), Some(best)) => {
                if let Some(count) = row.get_mut(&last) {
                    *count -= 1;
                }
                let best = if is_long {
                    &mut best.long
                } else {
                    &mut best.short
                };
                let total = |row: &Row| row.values().sum::<u32>();
                if best.as_ref().is_none_or(|best| total(&row) < total(best)) {
                    *best = Some(row.clone());
                }
            }
            _ => {}
        }
    }
    kinds.into_iter().map(Best::exceptions).collect()
}

#[cfg(test)]
mod tests {
    use super::of_trips;

    /// An exception's lines.
    fn exception(path: &str, esr: &str) -> String {
        format!("Taking exception 2 [SVC] on CPU 0\n...from {path}\n...with ESR {esr}\n...to\n")
    }

    #[test]
    fn rows_are_counted() {
        let mark = |number| exception("EL0 to EL1", &format!("0x15/0x5600700{number}"));
        let trip = exception("EL1 to EL2", "0x16/0x5a000000");
        let tick = exception("EL0 to EL1", "0x0/0x0");
        let log = [
            mark(0),
            mark(1),
            trip.repeat(32) + &tick,
            mark(3),
            mark(2),
            trip.repeat(64),
            mark(3),
            tick.repeat(3),
            mark(1),
            trip.repeat(32),
            mark(3),
        ];
        let counts = of_trips(log.concat().as_bytes()).unwrap();
        assert_eq!(counts.len(), 1);
        assert_eq!(counts[0].describe(), "1 × EL1→EL2");
        assert_eq!(counts[0].to("EL2"), 1.0);
        assert_eq!(counts[0].to("EL1"), 0.0);
        assert!(of_trips(mark(0).as_bytes()).is_err());
    }
}

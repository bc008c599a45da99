//! What a machine has printed, as `benches/in-machine` says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use benches::Measured;

use crate::exceptions::{self, Exceptions};

/// Of one machine.
#[derive(Default)]
pub(crate) struct Results {
    /// Its kernel's version, two numbers.
    pub(crate) kernel: String,
    /// Instructions of one trip.
    pub(crate) trips: BTreeMap<String, f64>,
    /// Instructions of one round of a loop, by loop and way.
    pub(crate) loops: BTreeMap<(String, String), f64>,
    /// What could not be had, with its reason.
    pub(crate) absent: Vec<String>,
    /// Exceptions of one trip; none if they were not recorded.
    pub(crate) exceptions: BTreeMap<String, Exceptions>,
}

impl Results {
    /// Reads the file of that name, and the exceptions beside it.
    pub(crate) fn read(directory: &Path, name: &str) -> Measured<Self> {
        let path = directory.join(name);
        let text = fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        let (mut results, order) = Self::parse(&text)?;
        if let Ok(log) = File::open(directory.join(format!("{name}.exceptions"))) {
            let counts = exceptions::of_trips(BufReader::new(log))?;
            if counts.len() != order.len() {
                return Err(format!("{name}: {} trips are marked", counts.len()).into());
            }
            results.exceptions = order.into_iter().zip(counts).collect();
        }
        Ok(results)
    }

    /// The second is the trips in their order.
    fn parse(text: &str) -> Measured<(Self, Vec<String>)> {
        let mut results = Self::default();
        let mut order = Vec::new();
        for line in text.lines() {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["system", release] => {
                    results.kernel = release.split('.').take(2).collect::<Vec<_>>().join(".");
                }
                ["trip", name, cost] => {
                    results.trips.insert((*name).to_owned(), cost.parse()?);
                    order.push((*name).to_owned());
                }
                ["loop", name, way, cost, rounds] => {
                    let cost = cost.parse::<f64>()? / rounds.parse::<f64>()?;
                    let key = ((*name).to_owned(), (*way).to_owned());
                    results.loops.insert(key, cost);
                }
                ["absent", ..] => results.absent.push(line["absent ".len()..].to_owned()),
                _ => {}
            }
        }
        if results.trips.is_empty() || results.loops.is_empty() {
            return Err("a machine has printed no results".into());
        }
        Ok((results, order))
    }

    /// Instructions of one round.
    pub(crate) fn of(&self, name: &str, way: &str) -> Option<f64> {
        self.loops.get(&(name.to_owned(), way.to_owned())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Results;

    #[test]
    fn results_are_read() {
        let text = "[ 0.1] kernel talk\nsystem 6.12.1-cloud\ntrip call 5901.5\n\
                    loop getpid ptrace 800 4\nabsent kvm: it is\nmachine: ended with 0\n";
        let (results, order) = Results::parse(text).unwrap();
        assert_eq!(results.kernel, "6.12");
        assert_eq!(order, ["call"]);
        assert_eq!(results.trips["call"], 5901.5);
        assert_eq!(results.of("getpid", "ptrace"), Some(200.0));
        assert_eq!(results.of("getpid", "kvm"), None);
        assert_eq!(results.absent, ["kvm: it is"]);
        assert!(Results::parse("machine: ended with 0\n").is_err());
    }
}

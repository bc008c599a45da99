//! /proc/pid/maps, smaps and smaps_rollup.

use std::fmt::Write;

use base::{Errno, PAGE_SIZE};
use mem::MapEntry;
use platform::Prot;
use vfs::DeviceId;

use super::memory::kib;
use super::subject::Subject;

/// Where the name begins in a line: 25 + 6 × 8 − 1.
const NAME_COLUMN: usize = 72;

fn entries(subject: &Subject) -> Vec<MapEntry> {
    subject
        .memory()
        .map(|memory| memory.maps())
        .unwrap_or_default()
}

/// One line of maps.
fn line(entry: &MapEntry) -> Vec<u8> {
    let letter = |prot, letter| {
        if entry.prot.contains(prot) {
            letter
        } else {
            '-'
        }
    };
    let device = DeviceId(entry.file.0);
    let mut text = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        entry.start.0,
        entry.end.0,
        letter(Prot::READ, 'r'),
        letter(Prot::WRITE, 'w'),
        letter(Prot::EXEC, 'x'),
        if entry.shared { 's' } else { 'p' },
        entry.offset,
        device.major(),
        device.minor(),
        entry.file.1,
    )
    .into_bytes();
    if !entry.name.is_empty() {
        text.resize(text.len().max(NAME_COLUMN), b' ');
        text.push(b' ');
        for byte in &entry.name {
            match byte {
                b'\n' => text.extend_from_slice(b"\\012"),
                byte => text.push(*byte),
            }
        }
    }
    text.push(b'\n');
    text
}

/// A line for each mapping.
pub(super) fn maps(subject: &Subject) -> Result<Vec<u8>, Errno> {
    Ok(entries(subject).iter().flat_map(line).collect())
}

/// What smaps counts, in bytes.
#[derive(Default)]
struct Counts {
    size: u64,
    resident: u64,
    shared: u64,
    private: u64,
    anonymous: u64,
    locked: u64,
}

impl Counts {
    fn of(entry: &MapEntry) -> Self {
        let size = entry.end.0.saturating_sub(entry.start.0);
        let (shared, private) = if entry.shared {
            (entry.resident, 0)
        } else {
            (0, entry.resident)
        };
        Self {
            size,
            resident: entry.resident,
            shared,
            private,
            anonymous: entry.anonymous,
            locked: if entry.locked { entry.resident } else { 0 },
        }
    }

    fn add(&mut self, other: &Self) {
        self.size = self.size.saturating_add(other.size);
        self.resident = self.resident.saturating_add(other.resident);
        self.shared = self.shared.saturating_add(other.shared);
        self.private = self.private.saturating_add(other.private);
        self.anonymous = self.anonymous.saturating_add(other.anonymous);
        self.locked = self.locked.saturating_add(other.locked);
    }

    /// The lines behind Size. Who else maps a page is not known, so Pss counts each whole,
    /// and nothing is told apart as clean or dirty but by being a private copy.
    fn write(&self, text: &mut String) {
        let dirty = self.anonymous.min(self.private);
        let rows = [
            ("Rss", self.resident),
            ("Pss", self.resident),
            ("Shared_Clean", self.shared),
            ("Shared_Dirty", 0),
            ("Private_Clean", self.private.saturating_sub(dirty)),
            ("Private_Dirty", dirty),
            ("Referenced", self.resident),
            ("Anonymous", self.anonymous),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", self.locked),
        ];
        for (name, bytes) in rows {
            put(text, name, bytes);
        }
    }
}

fn put(text: &mut String, name: &str, bytes: u64) {
    let name = format!("{name}:");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name:<15} {:8} kB", kib(bytes));
}

/// The names of a mapping's flags, as far as they are known.
fn flags(entry: &MapEntry) -> String {
    let of_prot = [(Prot::READ, "rd"), (Prot::WRITE, "wr"), (Prot::EXEC, "ex")];
    let mut names: Vec<&str> = of_prot
        .into_iter()
        .filter(|(prot, _)| entry.prot.contains(*prot))
        .map(|(_, name)| name)
        .collect();
    for (is, name) in [
        (entry.shared, "sh"),
        (entry.grows_down, "gd"),
        (entry.locked, "lo"),
    ] {
        if is {
            names.push(name);
        }
    }
    names.join(" ")
}

/// The lines of maps, each with its counts.
pub(super) fn smaps(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut all = Vec::new();
    for entry in entries(subject) {
        let counts = Counts::of(&entry);
        let mut text = String::new();
        put(&mut text, "Size", counts.size);
        put(&mut text, "KernelPageSize", PAGE_SIZE);
        put(&mut text, "MMUPageSize", PAGE_SIZE);
        counts.write(&mut text);
        let _ = writeln!(text, "VmFlags: {} ", flags(&entry));
        all.extend(line(&entry));
        all.extend_from_slice(text.as_bytes());
    }
    Ok(all)
}

/// The sums of smaps.
pub(super) fn rollup(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let entries = entries(subject);
    let mut sum = Counts::default();
    for entry in &entries {
        sum.add(&Counts::of(entry));
    }
    let (start, end) = match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => (first.start, last.end),
        _ => return Ok(Vec::new()),
    };
    let all = MapEntry {
        start,
        end,
        prot: Prot::empty(),
        shared: false,
        offset: 0,
        file: (0, 0),
        name: b"[rollup]".to_vec(),
        resident: 0,
        anonymous: 0,
        locked: false,
        grows_down: false,
    };
    let mut text = String::new();
    sum.write(&mut text);
    let mut shown = line(&all);
    shown.extend_from_slice(text.as_bytes());
    Ok(shown)
}

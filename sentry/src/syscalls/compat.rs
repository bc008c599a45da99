//! `COMPAT.md`, made from the table, and what holds for all rows together.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::table::{Row, Support, TABLE};

/// How a support level is shown, and what is said about it.
fn shown(support: Support) -> (&'static str, &'static str) {
    match support {
        Support::Full => ("full", ""),
        Support::Partial(why) => ("partial", why),
        Support::Stub(why) => ("stub", why),
        Support::Missing(why) => ("missing", why),
    }
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(|| "–".to_owned(), |number| number.to_string())
}

fn counts(of: fn(&Row) -> Option<u32>) -> String {
    let mut counts = BTreeMap::new();
    for row in TABLE.iter().filter(|row| of(row).is_some()) {
        *counts.entry(shown(row.support).0).or_insert(0) += 1;
    }
    let level = |name| counts.get(name).copied().unwrap_or(0);
    format!(
        "{} | {} | {} | {}",
        level("full"),
        level("partial"),
        level("stub"),
        level("missing")
    )
}

/// The page of all system calls, as `COMPAT.md` holds it.
fn page() -> String {
    let mut page = String::from(
        "# System calls\n\nGenerated from `src/syscalls/table.rs`; a test compares. Write it anew \
         with\n`RINGFENCE_BLESS=1 cargo nextest run -p sentry compat`.\n\n\
         *full*: as Linux 6.12 does it. *partial*: but for what is said. *stub*: pretends, as is \
         said.\n*missing*: `ENOSYS` (`EPERM` to those whom Linux would refuse at once).\n\n\
         | | full | partial | stub | missing |\n| --- | --- | --- | --- | --- |\n",
    );
    writeln!(page, "| x86-64 | {} |", counts(|row| row.x86_64)).unwrap();
    writeln!(page, "| arm64 | {} |", counts(|row| row.aarch64)).unwrap();
    page.push_str(
        "\n| call | x86-64 | arm64 | support | note |\n| --- | --- | --- | --- | --- |\n",
    );
    let mut rows: Vec<&Row> = TABLE.iter().collect();
    rows.sort_by_key(|row| row.name);
    for row in rows {
        let (level, note) = shown(row.support);
        let [x86_64, aarch64] = [row.x86_64, row.aarch64].map(number);
        let name = row.name;
        writeln!(
            page,
            "| `{name}` | {x86_64} | {aarch64} | {level} | {note} |"
        )
        .unwrap();
    }
    page
}

#[test]
fn compat_page_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/COMPAT.md");
    let page = page();
    if std::env::var_os("RINGFENCE_BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == page, "COMPAT.md is stale: see its first lines");
}

/// Checks that exactly the numbers in `ranges` have rows, each one, and names are unique.
fn check(of: fn(&Row) -> Option<u32>, ranges: &[std::ops::RangeInclusive<u32>]) {
    let mut names = BTreeMap::new();
    for row in TABLE {
        if let Some(number) = of(row) {
            let twice = names.insert(number, row.name);
            assert_eq!(twice, None, "{number} is {} too", row.name);
        }
    }
    let numbers: Vec<u32> = names.keys().copied().collect();
    let wanted: Vec<u32> = ranges.iter().cloned().flatten().collect();
    assert_eq!(numbers, wanted);
}

#[test]
fn every_number_of_linux_has_a_row() {
    // syscall_64.tbl and asm-generic/unistd.h of Linux 6.12; 244 to 259 of arm64 are left
    // to other machines, 38 is renameat.
    check(|row| row.x86_64, &[0..=335, 424..=462]);
    check(|row| row.aarch64, &[0..=243, 260..=294, 424..=462]);
}

#[test]
fn names_are_unique_and_said_why() {
    let mut names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before);
    for row in TABLE {
        let (level, why) = shown(row.support);
        assert_eq!(level == "full", why.is_empty(), "{}", row.name);
        assert!(!why.contains('|'), "{}: breaks the page", row.name);
        assert!(row.arguments.len() <= 6, "{}", row.name);
    }
}

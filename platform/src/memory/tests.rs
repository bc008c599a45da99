//! The memory file against a plain model, and its corner cases.

use std::os::fd::AsFd;
use std::sync::Arc;

use arch::abi::{Errno, PAGE_SIZE};
use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn all(run: &FrameRun) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(run.len()).unwrap()];
    assert_eq!(run.read(0, &mut bytes), bytes.len());
    bytes
}

#[test]
fn frames_are_zero_even_when_reused() {
    let file = MemoryFile::create(4 * MIB).unwrap();
    for pages in [1_u64, 3, 64, 65, 500] {
        let run = file.allocate(pages, None).unwrap();
        assert!(all(&run).iter().all(|&b| b == 0), "{pages} pages");
        let ones = vec![1; usize::try_from(run.len()).unwrap()];
        assert_eq!(run.write(0, &ones), ones.len());
    }
}

#[test]
fn the_limit_holds_and_comes_back() {
    let file = MemoryFile::create(MIB).unwrap();
    let run = file.allocate(256, None).unwrap();
    assert_eq!(file.allocate(1, None).unwrap_err(), Errno::ENOMEM);
    assert_eq!(file.usage().used, MIB);
    drop(run);
    assert_eq!(file.usage().used, 0);
    assert_eq!(file.usage().cached, MIB);
    file.trim();
    assert_eq!(file.usage().cached, 0);
    file.allocate(256, None).unwrap();
    assert_eq!(file.allocate(0, None).unwrap_err(), Errno::EINVAL);
    assert_eq!(file.allocate(u64::MAX, None).unwrap_err(), Errno::ENOMEM);
}

fn with_huge_pages(limit: u64) -> Arc<MemoryFile> {
    let file = crate::host::memfd_create(c"test").unwrap();
    MemoryFile::create_huge(file, limit).unwrap()
}

#[test]
fn huge_pages_are_whole_and_zero() {
    let file = with_huge_pages(8 * HUGE_PAGE);
    let small = file.allocate(1, None).unwrap();
    let first = file.allocate_huge(Some(small.offset())).unwrap();
    let second = file
        .allocate_huge(Some(first.offset() + HUGE_PAGE))
        .unwrap();
    assert_eq!(second.offset(), first.offset() + HUGE_PAGE);
    for run in [first, second] {
        assert!(run.offset().is_multiple_of(HUGE_PAGE));
        assert_eq!(run.len(), HUGE_PAGE);
        assert!(all(&run).iter().all(|&b| b == 0));
        run.write(0, &vec![1; usize::try_from(HUGE_PAGE).unwrap()]);
    }
    // What was freed in pieces is not handed out as small pages.
    assert_eq!(file.usage().cached, 2 * HUGE_PAGE);
    let next = file.allocate(1, None).unwrap();
    assert_eq!(next.offset(), small.offset() + PAGE_SIZE);
    let again = file.allocate_huge(None).unwrap();
    assert_eq!(file.usage().cached, HUGE_PAGE);
    assert!(all(&again).iter().all(|&b| b == 0));
}

#[test]
fn huge_pages_count_and_come_back() {
    let file = with_huge_pages(3 * HUGE_PAGE + MIB);
    let mut runs: Vec<_> = (0..3).map(|_| file.allocate_huge(None).unwrap()).collect();
    assert_eq!(file.allocate_huge(None).unwrap_err(), Errno::ENOMEM);
    // A page of one that is in use holds the whole place.
    let last = runs.pop().unwrap();
    let page = last.slice(7, 1);
    drop(last);
    assert_eq!(file.usage().used, 2 * HUGE_PAGE + PAGE_SIZE);
    let other = file.allocate_huge(None).unwrap();
    assert!(runs.iter().all(|run| run.offset() != other.offset()));
    assert_ne!(other.offset(), page.offset() - 7 * PAGE_SIZE);
    file.trim();
    assert_eq!(file.usage().cached, 0);
    let none = MemoryFile::create(8 * HUGE_PAGE).unwrap();
    assert_eq!(none.allocate_huge(None).unwrap_err(), Errno::ENOMEM);
}

#[test]
fn near_continues_a_neighbour() {
    let file = MemoryFile::create(MIB).unwrap();
    let mut first = file.allocate(4, None).unwrap();
    let end = first.offset() + first.len();
    let second = file.allocate(4, Some(end)).unwrap();
    assert_eq!(second.offset(), end);
    first.append(second).unwrap();
    assert_eq!(first.pages(), 8);
    // Taken already: somewhere else.
    let third = file.allocate(1, Some(first.offset())).unwrap();
    assert_ne!(third.offset(), first.offset());
    assert_eq!(file.usage().used, 9 * PAGE_SIZE);
    let fourth = file.allocate(1, Some(u64::MAX - PAGE_SIZE + 1)).unwrap();
    assert!(first.append(fourth).is_err());
}

#[test]
fn access_ends_with_the_run() {
    let file = MemoryFile::create(MIB).unwrap();
    let run = file.allocate(1, None).unwrap();
    let _next = file.allocate(1, Some(run.offset() + PAGE_SIZE)).unwrap();
    assert_eq!(run.write(4090, b"0123456789"), 6);
    assert_eq!(run.read(4096, &mut [0; 4]), 0);
    assert_eq!(run.read(u64::MAX, &mut [0; 4]), 0);
    assert_eq!(run.zero(4095, 100), 1);
    assert_eq!(run.load_u32(4092), Some(0x0034_3332));
    assert_eq!(run.load_u32(4093), None);
    assert_eq!(run.load_u32(4096), None);
    assert_eq!(run.load_u64(4092), None);
    assert_eq!(run.compare_exchange_u64(4096, 0, 0), None);
}

#[test]
fn words_change_atomically() {
    let file = MemoryFile::create(MIB).unwrap();
    let run = file.allocate(1, None).unwrap();
    assert_eq!(run.compare_exchange_u32(4, 0, 5), Some(Ok(0)));
    assert_eq!(run.compare_exchange_u32(4, 0, 6), Some(Err(5)));
    assert_eq!(run.load_u64(0), Some(5 << 32));
    assert_eq!(run.compare_exchange_u64(0, 5 << 32, 1), Some(Ok(5 << 32)));
    assert_eq!(run.fetch_update_u32(0, |old| Some(old + 1)), Some(Ok(1)));
    assert_eq!(run.fetch_update_u32(0, |_| None), Some(Err(2)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    assert!(matches!(
                        run.fetch_update_u32(8, |old| Some(old + 1)),
                        Some(Ok(_))
                    ));
                }
            });
        }
    });
    assert_eq!(run.load_u32(8), Some(40_000));
}

#[test]
fn copies_between_frames_and_files() {
    let file = MemoryFile::create(MIB).unwrap();
    let from = file.allocate(2, None).unwrap();
    let to = file.allocate(2, None).unwrap();
    from.write(100, b"hello");
    assert_eq!(to.copy_from(4000, &from, 100, 5), 5);
    let mut bytes = [0; 5];
    to.read(4000, &mut bytes);
    assert_eq!(&bytes, b"hello");
    assert_eq!(to.copy_from(8190, &from, 100, 5), 2);
    let host = crate::host::memfd_create(c"test").unwrap();
    assert_eq!(to.store_to(4000, 5, host.as_fd(), 10), Ok(5));
    assert_eq!(from.fill_from(0, 100, host.as_fd(), 11), Ok(4));
    from.read(0, &mut bytes);
    assert_eq!(&bytes, b"ello\0");
    assert_eq!(from.fill_from(0, 100, host.as_fd(), 15), Ok(0));
}

#[derive(Clone, Debug)]
enum Step {
    Allocate(u64, Option<usize>),
    Drop(usize),
    Clone(usize),
    Slice(usize, u64, u64),
    Split(usize, u64),
    Write(usize, u64, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..16_usize;
    prop_oneof![
        (1..80_u64, prop::option::of(index.clone())).prop_map(|(p, n)| Step::Allocate(p, n)),
        index.clone().prop_map(Step::Drop),
        index.clone().prop_map(Step::Clone),
        (index.clone(), 0..90_u64, 0..90_u64).prop_map(|(i, f, p)| Step::Slice(i, f, p)),
        (index.clone(), 0..90_u64).prop_map(|(i, p)| Step::Split(i, p)),
        (index, 0..80_u64, 1..=255_u8).prop_map(|(i, p, b)| Step::Write(i, p, b)),
    ]
}

/// Runs with, for each page, the byte that it starts with and how often it is referenced.
#[derive(Default)]
struct Model {
    runs: Vec<FrameRun>,
    bytes: std::collections::BTreeMap<u64, (u8, u32)>,
}

impl Model {
    fn frames(run: &FrameRun) -> std::ops::Range<u64> {
        let first = run.offset() / PAGE_SIZE;
        first..first + run.pages()
    }

    fn add(&mut self, run: FrameRun) {
        for frame in Self::frames(&run) {
            self.bytes.entry(frame).or_insert((0, 0)).1 += 1;
        }
        self.runs.push(run);
    }

    fn remove(&mut self, run: FrameRun) {
        for frame in Self::frames(&run) {
            let entry = self.bytes.get_mut(&frame).unwrap();
            entry.1 -= 1;
            if entry.1 == 0 {
                self.bytes.remove(&frame);
            }
        }
        drop(run);
    }

    fn step(&mut self, file: &Arc<MemoryFile>, step: &Step) {
        match *step {
            Step::Allocate(pages, near) => {
                let near = near
                    .and_then(|i| self.runs.get(i))
                    .map(|run| run.offset() + run.len());
                let used = file.usage().used / PAGE_SIZE;
                match file.allocate(pages, near) {
                    Ok(run) => {
                        assert!(Self::frames(&run).all(|f| !self.bytes.contains_key(&f)));
                        assert!(all(&run).iter().all(|&b| b == 0));
                        self.add(run);
                    }
                    Err(errno) => {
                        assert_eq!(errno, Errno::ENOMEM);
                        assert!(used + pages > 512);
                    }
                }
            }
            Step::Drop(i) if i < self.runs.len() => {
                let run = self.runs.swap_remove(i);
                self.remove(run);
            }
            Step::Clone(i) if i < self.runs.len() => self.add(self.runs[i].clone()),
            Step::Slice(i, first, pages) if i < self.runs.len() => {
                let slice = self.runs[i].slice(first, pages);
                assert_eq!(
                    slice.pages(),
                    pages.min(self.runs[i].pages().saturating_sub(first))
                );
                self.add(slice);
            }
            Step::Split(i, pages) if i < self.runs.len() => {
                let tail = self.runs[i].split_off(pages);
                self.runs.push(tail);
            }
            Step::Write(i, page, byte) if i < self.runs.len() => {
                let frame = Self::frames(&self.runs[i]).start + page;
                let written = self.runs[i].write(page * PAGE_SIZE, &[byte]);
                assert_eq!(written == 1, page < self.runs[i].pages());
                if let (1, Some(entry)) = (written, self.bytes.get_mut(&frame)) {
                    entry.0 = byte;
                }
            }
            _ => {}
        }
    }

    fn check(&self, file: &MemoryFile) {
        assert_eq!(
            file.usage().used / PAGE_SIZE,
            u64::try_from(self.bytes.len()).unwrap()
        );
        for run in &self.runs {
            for (page, frame) in Self::frames(run).enumerate() {
                let page = u64::try_from(page).unwrap();
                let (byte, count) = self.bytes[&frame];
                let mut there = [0];
                assert_eq!(run.read(page * PAGE_SIZE, &mut there), 1);
                assert_eq!(there, [byte]);
                assert_eq!(run.is_unique(page..page + 1), count == 1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn behaves_like_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let file = MemoryFile::create(2 * MIB).unwrap();
        let mut model = Model::default();
        for step in &steps {
            model.step(&file, step);
        }
        model.check(&file);
        model.runs.clear();
        prop_assert_eq!(file.usage().used, 0);
    }
}

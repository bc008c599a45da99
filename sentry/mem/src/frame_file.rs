//! Contents of files that live in memory: tmpfs, memfd, System V shared memory, and
//! shared anonymous mappings.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arch::abi::{Addr, Errno, PAGE_SIZE, num};
use base::lock::{RwLock, rank};
use platform::Access;
use platform::memory::{FrameRun, MemoryFile};

use crate::span::{Span, common, len_of, pages, span};
use crate::{Copies, MapFault, MappingSet, Pages};

/// Longest file: offsets are signed.
const MAX_LEN: u64 = u64::MAX >> 1;

/// How much several files may hold together: a tmpfs's size.
#[derive(Debug)]
pub struct Quota {
    limit: AtomicU64,
    used: AtomicU64,
}

impl Quota {
    /// At most `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
        })
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Bytes held: whole pages.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// At most `limit` bytes from now on; what is held already stays.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn take(&self, bytes: u64) -> Result<(), Errno> {
        let limit = self.limit();
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= limit)
            })
            .map(|_| ())
            .map_err(|_| Errno::ENOSPC)
    }

    fn give(&self, bytes: u64) {
        // The update never refuses.
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used.saturating_sub(bytes))
            });
    }
}

/// A sparse file in the memory file. All methods may be called from any thread; each
/// `read_at` and `write_at` is atomic against `truncate`, not against mappings.
#[derive(Debug)]
pub struct FrameFile {
    memory: Arc<MemoryFile>,
    quota: Option<Arc<Quota>>,
    contents: RwLock<Contents>,
    mappings: MappingSet,
}

#[derive(Debug, Default)]
struct Contents {
    /// Length in bytes.
    len: u64,
    /// Runs of pages by their first byte; never beyond the page that the file ends in,
    /// unless `allocate` put them there. Bytes beyond the end are zero.
    runs: BTreeMap<u64, FrameRun>,
    /// Bytes in `runs`.
    held: u64,
}

impl FrameFile {
    /// An empty file.
    #[must_use]
    pub fn new(memory: &Arc<MemoryFile>) -> Self {
        Self::with(memory, None)
    }

    /// An empty file whose pages count against `quota`.
    #[must_use]
    pub fn with_quota(memory: &Arc<MemoryFile>, quota: &Arc<Quota>) -> Self {
        Self::with(memory, Some(Arc::clone(quota)))
    }

    fn with(memory: &Arc<MemoryFile>, quota: Option<Arc<Quota>>) -> Self {
        Self {
            memory: Arc::clone(memory),
            quota,
            contents: RwLock::new(rank::PAGE_CACHE, Contents::default()),
            mappings: MappingSet::default(),
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.contents.read().len
    }

    /// Whether the length is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies from byte `at` on; returns how many bytes, 0 at the end. Holes are zeros.
    /// `EIO` if the host has no page to give.
    pub fn read_at(&self, at: u64, to: &mut [u8]) -> Result<usize, Errno> {
        let contents = self.contents.read();
        let len = num::usize_of(contents.len.saturating_sub(at)).min(to.len());
        let to = to.get_mut(..len).unwrap_or_default();
        let mut done = 0_usize;
        while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let next = at.saturating_add(num::u64_of(done));
            let n = match contents.find(next) {
                Some((start, run)) => run.read(next.saturating_sub(start), rest),
                None => {
                    let hole = num::usize_of(len_of(&(next..contents.hole(next).end)));
                    let zeros = rest.len().min(hole);
                    rest.get_mut(..zeros).unwrap_or_default().fill(0);
                    zeros
                }
            };
            if n == 0 {
                return if done > 0 { Ok(done) } else { Err(Errno::EIO) };
            }
            done = done.saturating_add(n);
        }
        Ok(done)
    }

    /// Copies to byte `at` on and extends the file as needed; returns how many bytes.
    /// `ENOSPC` if there is no memory for even one, `EFBIG` beyond 2⁶³ - 1.
    pub fn write_at(&self, at: u64, from: &[u8]) -> Result<usize, Errno> {
        let end = at.saturating_add(num::u64_of(from.len()));
        if end > MAX_LEN {
            return Err(Errno::EFBIG);
        }
        let mut contents = self.contents.write();
        let mut done = 0_usize;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let next = at.saturating_add(num::u64_of(done));
            let n = match contents.find(next) {
                Some((start, run)) => run.write(next.saturating_sub(start), rest),
                None => {
                    let end = Addr(end).page_up().map_or(end, |up| up.0);
                    match self.fill_hole(&mut contents, &(next..end)) {
                        Ok(()) => continue,
                        Err(_) if done > 0 => break,
                        Err(errno) => return Err(errno),
                    }
                }
            };
            if n == 0 {
                break;
            }
            done = done.saturating_add(n);
        }
        let end = at.saturating_add(num::u64_of(done));
        if done > 0 {
            contents.len = contents.len.max(end);
        }
        if done == 0 && !from.is_empty() {
            return Err(Errno::EIO);
        }
        Ok(done)
    }

    /// Sets the length; pages beyond it are freed and taken from all mappings. `EFBIG`
    /// beyond 2⁶³ - 1. To be called with no lock of rank VMA or inner held.
    pub fn truncate(&self, len: u64) -> Result<(), Errno> {
        if len > MAX_LEN {
            return Err(Errno::EFBIG);
        }
        let mut contents = self.contents.write();
        let old = contents.len;
        contents.len = len;
        if len >= old && contents.runs.is_empty() {
            return Ok(());
        }
        let edge = Addr(len).page_up().map_or(len, |up| up.0);
        contents.zero(&(len..edge));
        let gone = contents.take(&(edge..u64::MAX));
        drop(contents);
        self.release(gone);
        if len < old {
            self.mappings.invalidate(edge..u64::MAX, Copies::Drop);
        }
        Ok(())
    }

    /// Makes a byte range zeros, freeing whole pages; the length stays. Locks as
    /// [`FrameFile::truncate`].
    pub fn punch(&self, range: Range<u64>) -> Result<(), Errno> {
        let start = Addr(range.start).page_up().map_or(range.end, |up| up.0);
        let end = Addr(range.end).page_down().0;
        let mut contents = self.contents.write();
        if start >= end {
            contents.zero(&(range.start..range.end.min(start)));
            if end < range.end && end >= range.start {
                contents.zero(&(end..range.end));
            }
            return Ok(());
        }
        contents.zero(&(range.start..start));
        contents.zero(&(end..range.end));
        let gone = contents.take(&(start..end));
        drop(contents);
        self.release(gone);
        self.mappings.invalidate(start..end, Copies::Keep);
        Ok(())
    }

    /// Has all pages of a byte range allocated; the length stays. `ENOSPC`: some may be
    /// allocated then.
    pub fn allocate(&self, range: Range<u64>) -> Result<(), Errno> {
        let end = Addr(range.end).page_up().ok_or(Errno::EFBIG)?.0;
        if end > MAX_LEN {
            return Err(Errno::EFBIG);
        }
        let mut contents = self.contents.write();
        let mut at = Addr(range.start).page_down().0;
        while at < end {
            match contents.find(at) {
                Some((start, run)) => at = start.saturating_add(run.len()),
                None => self.fill_hole(&mut contents, &(at..end))?,
            }
        }
        Ok(())
    }

    /// Bytes of memory in use: whole pages.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.contents.read().held
    }

    /// First byte at or after `at` that is not in a hole; `ENXIO` if there is none.
    pub fn seek_data(&self, at: u64) -> Result<u64, Errno> {
        let contents = self.contents.read();
        if at >= contents.len {
            return Err(Errno::ENXIO);
        }
        if contents.find(at).is_some() {
            return Ok(at);
        }
        let next = contents.hole(at).end;
        if next >= contents.len {
            return Err(Errno::ENXIO);
        }
        Ok(next)
    }

    /// First byte at or after `at` that is in a hole, at most the length; `ENXIO` if `at`
    /// is not before the end.
    pub fn seek_hole(&self, at: u64) -> Result<u64, Errno> {
        let contents = self.contents.read();
        if at >= contents.len {
            return Err(Errno::ENXIO);
        }
        let mut at = at;
        while let Some((start, run)) = contents.find(at) {
            at = start.saturating_add(run.len());
        }
        Ok(at.min(contents.len))
    }

    /// Frames for a mapping: see [`crate::Mappable::pages`]. Holes are filled, whatever
    /// the access: all mappings must see the same page.
    pub fn pages(&self, offset: u64, len: u64, _access: Access) -> Result<Pages, MapFault> {
        let found = |contents: &Contents| {
            let end = Addr(contents.len).page_up().map_or(contents.len, |up| up.0);
            let want = common(&span(offset, len), &(0..end));
            if want.is_empty() {
                return Err(MapFault::Bus);
            }
            let frames = contents.find(offset).map(|(start, run)| {
                let first = pages(offset.saturating_sub(start));
                run.slice(first, pages(len_of(&want)))
            });
            Ok((want, frames))
        };
        if let (_, Some(frames)) = found(&self.contents.read())? {
            return Ok(Pages::Memory(frames));
        }
        let mut contents = self.contents.write();
        let (want, frames) = found(&contents)?;
        if let Some(frames) = frames {
            return Ok(Pages::Memory(frames));
        }
        self.fill_hole(&mut contents, &want)
            .map_err(|errno| match errno {
                // As on Linux: a tmpfs that is full is a bus error.
                Errno::ENOSPC if self.quota.is_some() => MapFault::Bus,
                _ => MapFault::OutOfMemory,
            })?;
        match found(&contents)? {
            (_, Some(frames)) => Ok(Pages::Memory(frames)),
            _ => Err(MapFault::OutOfMemory),
        }
    }

    /// For [`crate::Mappable::mappings`].
    #[must_use]
    pub fn mappings(&self) -> &MappingSet {
        &self.mappings
    }

    /// Puts zeroed pages into the hole at the start of `range`, as far as both go; at
    /// least the first.
    fn fill_hole(&self, contents: &mut Contents, range: &Span) -> Result<(), Errno> {
        let start = Addr(range.start).page_down().0;
        let hole = common(&contents.hole(range.start), &(start..range.end));
        let near = contents
            .runs
            .range(..start)
            .next_back()
            .and_then(|(at, run)| run.offset().checked_add(start.saturating_sub(*at)));
        let all = len_of(&hole);
        let run = match self.take_frames(all, near) {
            Ok(run) => run,
            Err(_) if all > PAGE_SIZE => self.take_frames(PAGE_SIZE, near)?,
            Err(errno) => return Err(errno),
        };
        contents.put(start, run);
        Ok(())
    }

    fn take_frames(&self, bytes: u64, near: Option<u64>) -> Result<FrameRun, Errno> {
        if let Some(quota) = &self.quota {
            quota.take(bytes)?;
        }
        self.memory.allocate(pages(bytes), near).map_err(|_| {
            self.give_back(bytes);
            Errno::ENOSPC
        })
    }

    fn release(&self, gone: Vec<FrameRun>) {
        for run in gone {
            self.give_back(run.len());
        }
    }

    fn give_back(&self, bytes: u64) {
        if let Some(quota) = &self.quota {
            quota.give(bytes);
        }
    }
}

impl Drop for FrameFile {
    fn drop(&mut self) {
        let held = self.allocated_bytes();
        self.give_back(held);
    }
}

impl Contents {
    /// The run that byte `at` is in, with its first byte.
    fn find(&self, at: u64) -> Option<(u64, &FrameRun)> {
        let (start, run) = self.runs.range(..=at).next_back()?;
        (at < start.saturating_add(run.len())).then_some((*start, run))
    }

    /// From the page of `at`, which is in no run, to the next run.
    fn hole(&self, at: u64) -> Span {
        let end = self
            .runs
            .range(at..)
            .next()
            .map_or(u64::MAX, |(start, _)| *start);
        Addr(at).page_down().0..end
    }

    fn put(&mut self, at: u64, run: FrameRun) {
        self.held = self.held.saturating_add(run.len());
        let mut run = run;
        let end = at.saturating_add(run.len());
        if let Some(after) = self.runs.remove(&end)
            && let Err(after) = run.append(after)
        {
            self.runs.insert(end, after);
        }
        if let Some((start, before)) = self.runs.range_mut(..at).next_back()
            && start.saturating_add(before.len()) == at
        {
            match before.append(run) {
                Ok(()) => return,
                Err(back) => run = back,
            }
        }
        self.runs.insert(at, run);
    }

    /// Takes all whole pages of `range` out; its edges are whole pages.
    fn take(&mut self, range: &Span) -> Vec<FrameRun> {
        for edge in [range.start, range.end] {
            if let Some((start, run)) = self.runs.range_mut(..edge).next_back() {
                let keep = edge.saturating_sub(*start);
                if keep < run.len() {
                    let tail = run.split_off(pages(keep));
                    self.runs.insert(edge, tail);
                }
            }
        }
        let starts: Vec<u64> = self
            .runs
            .range(range.clone())
            .map(|(start, _)| *start)
            .collect();
        let gone: Vec<FrameRun> = starts
            .iter()
            .filter_map(|start| self.runs.remove(start))
            .collect();
        let bytes = gone
            .iter()
            .fold(0_u64, |sum, run| sum.saturating_add(run.len()));
        self.held = self.held.saturating_sub(bytes);
        gone
    }

    /// Zeroes what is there of a range within one page.
    fn zero(&self, range: &Span) {
        if range.is_empty() {
            return;
        }
        if let Some((start, run)) = self.find(range.start) {
            run.zero(
                range.start.saturating_sub(start),
                num::usize_of(len_of(range)),
            );
        }
    }
}

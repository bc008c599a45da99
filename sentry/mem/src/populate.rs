//! Bringing pages in: zeros, a file's own pages, private copies.

use arch::abi::{PAGE_SIZE, num};
use platform::memory::{FrameRun, HUGE_PAGE};
use platform::{Access, Prot};

use crate::fault::{AROUND, Fault};
use crate::mm::Edit;
use crate::resident::Run;
use crate::span::{Span, block, common, len_of, pages, span};
use crate::vma::{FileBacking, Vma, VmaFlags};
use crate::{MapFault, Pages};

/// A file's own host pages cost nothing to show: this much at once.
const HOST_MAX: u64 = 1 << 30;

/// How far from its neighbour memory is put at the same distance in the memory file.
const NEIGHBOUR: u64 = 1 << 30;

/// Runs looked at in search of a neighbour.
const NEIGHBOURS: usize = 8;

/// Mappings of the platform from which on copies are made in larger pieces.
const MANY: usize = 1_000;

/// Bytes that are copied ahead at most while faults come in order: what a program does not
/// write to after all is memory spent.
const COPY_AHEAD_MAX: u64 = 512 << 10;

/// Where new memory would continue the old.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Neighbour {
    /// Memory that can be written to: the same extent, or the shadow of a shared one.
    Writable,
    /// Any own memory.
    Any,
}

impl Edit<'_> {
    /// Brings `page` in, in a `hole` that has no page in memory, with what of the hole
    /// costs little more.
    pub(crate) fn populate(
        &mut self,
        vma: &Vma,
        page: u64,
        hole: Span,
        access: Access,
    ) -> Result<(), Fault> {
        let Some(file) = vma.file() else {
            return self.populate_anonymous(vma, page, &hole);
        };
        let want = if vma.is_shared() && vma.prot.contains(Prot::WRITE) {
            Access::Write
        } else if vma.is_shared() {
            access
        } else {
            Access::Read
        };
        self.populate_file(vma, file, page, &hole, want)
    }

    fn populate_anonymous(&mut self, vma: &Vma, page: u64, hole: &Span) -> Result<(), Fault> {
        let (at, frames) = match self.allocate_huge(vma, page, hole) {
            Some(huge) => huge,
            None => {
                let near = self.near(hole.start, Neighbour::Any);
                self.allocate(page, hole, near)?
            }
        };
        self.state.resident.put(
            at,
            Run {
                pages: Pages::Memory(frames),
                own: true,
                writable: true,
                shown: None,
            },
        );
        Ok(())
    }

    /// A huge page for the block around `page`, if `hole` has all of it; and where it goes.
    fn allocate_huge(&self, vma: &Vma, page: u64, hole: &Span) -> Option<(u64, FrameRun)> {
        let place = block(page, HUGE_PAGE);
        if common(&place, hole) != place || vma.flags.contains(VmaFlags::NO_HUGE) {
            return None;
        }
        let near = self.near(place.start, Neighbour::Any);
        let frames = self.mm.memory.allocate_huge(near).ok()?;
        Some((place.start, frames))
    }

    /// Frames for all of `place`, or at the limit for `page` alone; and where they go.
    fn allocate(
        &self,
        page: u64,
        place: &Span,
        near: Option<u64>,
    ) -> Result<(u64, FrameRun), Fault> {
        let memory = &self.mm.memory;
        if let Ok(frames) = memory.allocate(pages(len_of(place)), near) {
            return Ok((place.start, frames));
        }
        let frames = memory.allocate(1, near).map_err(|_| Fault::OutOfMemory)?;
        Ok((page, frames))
    }

    /// Where in the memory file the pages from `at` on would continue a neighbour: at
    /// the distance from it that they have here.
    fn near(&self, at: u64, kind: Neighbour) -> Option<u64> {
        let fits = |run: &Run| run.own && (kind == Neighbour::Any || run.writable);
        let below = self
            .state
            .resident
            .downwards(at)
            .take(NEIGHBOURS)
            .find(|(_, run)| fits(run));
        if let Some((place, run)) = below
            && let Pages::Memory(frames) = &run.pages
        {
            let distance = at.saturating_sub(place.start);
            if distance.saturating_sub(frames.len()) < NEIGHBOUR {
                return frames.offset().checked_add(distance);
            }
        }
        let (place, run) = self.state.resident.above(at)?;
        let distance = place.start.saturating_sub(at);
        match &run.pages {
            Pages::Memory(frames) if fits(run) && distance < NEIGHBOUR => {
                frames.offset().checked_sub(distance)
            }
            _ => None,
        }
    }

    fn populate_file(
        &mut self,
        vma: &Vma,
        file: &FileBacking,
        page: u64,
        hole: &Span,
        want: Access,
    ) -> Result<(), Fault> {
        let mut at = hole.start;
        while at <= page {
            let len = len_of(&(at..hole.end));
            at = match file.file.pages(vma.offset_at(at), len, want) {
                Ok(pages) => self.put_file(vma, at, len, pages, want),
                // What lies before the page is an extra, not a reason to fail.
                Err(_) if at < page => page,
                Err(fault) => return Err(fault.into()),
            };
        }
        let host = matches!(
            self.state.resident.find(page),
            Some((
                _,
                Run {
                    pages: Pages::Host { .. },
                    ..
                }
            ))
        );
        if host {
            self.extend_host(vma, file, page, want);
        } else if at < hole.end {
            // The file gave a part: the next one may be had as cheaply, or not at all.
            let len = len_of(&(at..hole.end));
            if let Ok(pages) = file.file.pages(vma.offset_at(at), len, want) {
                self.put_file(vma, at, len, pages, want);
            }
        }
        Ok(())
    }

    /// Puts pages in from `at` on, at most `len` bytes; returns where they end.
    fn put_file(&mut self, vma: &Vma, at: u64, len: u64, pages: Pages, want: Access) -> u64 {
        let mut pages = pages;
        if pages.len() > len {
            self.garbage.pages.push(pages.split_off(len));
        }
        let end = at.saturating_add(pages.len());
        if end == at {
            // A file that answers with nothing would be asked for ever.
            return at.saturating_add(PAGE_SIZE);
        }
        let run = Run {
            pages,
            own: false,
            writable: vma.is_shared() && want == Access::Write,
            shown: None,
        };
        self.state.resident.put(at, run);
        end
    }

    /// Host pages are shown at no cost: all there are around `page`.
    fn extend_host(&mut self, vma: &Vma, file: &FileBacking, page: u64, want: Access) {
        let Some((place, _)) = self.state.resident.find(page) else {
            return;
        };
        let reach = common(
            &vma.span,
            &(page.saturating_sub(HOST_MAX)..page.saturating_add(HOST_MAX)),
        );
        for from in [place.end, reach.start] {
            let hole = if from >= reach.end || self.state.resident.find(from).is_some() {
                continue;
            } else if from < place.start {
                // Only what ends where these pages begin.
                let hole = self.state.resident.hole(from, &reach);
                if hole.end != place.start {
                    continue;
                }
                hole
            } else {
                self.state.resident.hole(from, &reach)
            };
            let len = len_of(&hole);
            if let Ok(pages @ Pages::Host { .. }) =
                file.file.pages(vma.offset_at(hole.start), len, want)
            {
                self.put_file(vma, hole.start, len, pages, want);
            }
        }
    }

    /// Makes a page that is in memory fit to be written to: in place if nobody else has
    /// it, else as a copy; a shared file's page by asking the file again. `window`: what
    /// faults in order bring in ahead.
    pub(crate) fn make_writable(
        &mut self,
        vma: &Vma,
        page: u64,
        window: &Span,
    ) -> Result<(), Fault> {
        let Some((place, run)) = self.state.resident.find(page) else {
            return Err(Fault::Bus);
        };
        let place = common(&place, &vma.span);
        match vma.file() {
            Some(file) if vma.is_shared() => self.ask_for_write(vma, file, page),
            _ if run.own => match self.unique_around(page, &place) {
                Some(unique) => {
                    self.state
                        .resident
                        .update(&unique, |_, run| run.writable = true);
                    self.show_if_shown(&unique);
                    Ok(())
                }
                None => self.copy(page, &place, window),
            },
            _ => self.copy(page, &place, window),
        }
    }

    /// The largest of some spans around `page` in which no other has the frames.
    fn unique_around(&self, page: u64, place: &Span) -> Option<Span> {
        let (start, run) = self.state.resident.find(page)?;
        let Pages::Memory(frames) = &run.pages else {
            return None;
        };
        [1 << 24, 2 << 20, AROUND, PAGE_SIZE]
            .into_iter()
            .map(|size| common(&block(page, size), place))
            .find(|part| {
                let first = pages(part.start.saturating_sub(start.start));
                let last = first.saturating_add(pages(len_of(part)));
                frames.is_unique(first..last)
            })
    }

    /// Replaces pages of `place` around `page` by private copies; more of them if `window`
    /// says that faults come in order.
    fn copy(&mut self, page: u64, place: &Span, window: &Span) -> Result<(), Fault> {
        let mut part = common(&block(page, self.copy_size(place)), place);
        if len_of(window) > AROUND {
            let most = page.saturating_add(COPY_AHEAD_MAX);
            part.end = part.end.max(window.end.min(place.end).min(most));
        }
        let near = self.near(part.start, Neighbour::Writable);
        let (at, frames) = self.allocate(page, &part, near)?;
        let part = span(at, frames.len());
        let Some((start, run)) = self.state.resident.find(page) else {
            return Err(Fault::Bus);
        };
        copy_pages(&frames, &run.pages, at.saturating_sub(start.start))?;
        let shown = run.shown.is_some();
        self.drop_pages(&part);
        self.state.resident.put(
            at,
            Run {
                pages: Pages::Memory(frames),
                own: true,
                writable: true,
                shown: None,
            },
        );
        if shown {
            self.show(&part);
        }
        Ok(())
    }

    /// How much to copy at once: the more mappings the platform has, the more, so that
    /// copies of neighbours become one.
    fn copy_size(&self, place: &Span) -> u64 {
        let many = self.state.resident.counts().shown;
        let limit = self.mm.space().mapping_limit().unwrap_or(usize::MAX);
        if many > limit / 4 {
            AROUND.saturating_mul(8)
        } else if many > MANY || len_of(place) <= AROUND {
            AROUND
        } else {
            PAGE_SIZE.saturating_mul(4)
        }
    }

    /// Asks a file for a page that its shared mapping may write to.
    fn ask_for_write(&mut self, vma: &Vma, file: &FileBacking, page: u64) -> Result<(), Fault> {
        let len = len_of(&common(&block(page, AROUND), &(page..vma.span.end)));
        let pages = file
            .file
            .pages(vma.offset_at(page), len, Access::Write)
            .map_err(|fault: MapFault| Fault::from(fault))?;
        let place = span(page, pages.len().min(len));
        if place.is_empty() {
            return Err(Fault::Bus);
        }
        let shown = self
            .state
            .resident
            .find(page)
            .is_some_and(|(_, run)| run.shown.is_some());
        self.drop_pages(&place);
        self.put_file(vma, page, len, pages, Access::Write);
        if shown {
            self.show(&place);
        }
        Ok(())
    }

    /// Tells the platform of a change of pages that it shows, and of no others.
    fn show_if_shown(&mut self, within: &Span) {
        let shown: Vec<Span> = self
            .state
            .resident
            .overlapping(within)
            .filter(|(_, run)| run.shown.is_some())
            .map(|(place, _)| common(&place, within))
            .collect();
        for place in shown {
            self.show(&place);
        }
    }
}

/// Fills `frames` from byte `at` of `from` on. What a host file does not have of its
/// last page stays zero.
pub(crate) fn copy_pages(frames: &FrameRun, from: &Pages, at: u64) -> Result<(), Fault> {
    use std::os::fd::AsFd;
    let len = num::usize_of(frames.len());
    match from {
        Pages::Memory(source) => {
            let done = frames.copy_from(0, source, at, len);
            if done == len { Ok(()) } else { Err(Fault::Bus) }
        }
        Pages::Host { file, offset, .. } => {
            let mut done = 0_usize;
            while done < len {
                let to = num::u64_of(done);
                let from = offset.saturating_add(at).saturating_add(to);
                match frames.fill_from(to, len.saturating_sub(done), file.as_fd(), from) {
                    Ok(0) => break,
                    Ok(n) => done = done.saturating_add(n),
                    Err(arch::abi::Errno::EINTR) => {}
                    Err(_) => return Err(Fault::Bus),
                }
            }
            Ok(())
        }
    }
}

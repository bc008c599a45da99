//! Call sites patched for the platform, and their slots: see [`platform::CallSites`].
//!
//! A site is patched in a private copy of its page, which takes the page's place whole: no
//! thread ever executes half a patch. Only pages of files that the program maps privately,
//! can execute and has never written to are patched; before they can be written to, move or
//! are looked at by a debugger, they are as they were. The sentry itself never sees a patch
//! in what it reads: what the program reads by its own loads is the one difference.

use std::collections::BTreeMap;

use arch::abi::{Addr, PAGE_SIZE, num};
use platform::memory::FrameRun;
use platform::{Access, CallSites, Prot, SITE, SLOT};

use crate::mm::Edit;
use crate::populate::copy_pages;
use crate::resident::Run;
use crate::span::{Span, span};
use crate::vma::Vma;
use crate::{Mm, Pages};

/// Sites of an address space at most.
const MAX_SITES: usize = 1024;
/// Pages of slots at most.
const MAX_PAGES: usize = 16;
/// Bytes of a site that are replaced.
const LEN: u64 = 5;
/// Bytes from a site's start to the end of its call.
const WHOLE: u64 = 7;
/// How far from its site a slot may be: well within a jump's reach.
const REACH: u64 = 1 << 30;

/// One site.
#[derive(Clone, Copy, Debug)]
struct Patched {
    old: [u8; 5],
    new: [u8; 5],
    slot: u64,
}

/// A page of slots.
#[derive(Clone, Copy, Debug)]
struct SlotPage {
    at: u64,
    /// Bytes that have been given away.
    used: u64,
}

/// What is patched in an address space.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    patched: BTreeMap<u64, Patched>,
    pages: Vec<SlotPage>,
}

impl Sites {
    /// The addresses of sites that have a byte in `within`.
    fn within(&self, within: &Span) -> Vec<u64> {
        let first = within.start.saturating_sub(LEN.saturating_sub(1));
        let sites = self.patched.range(first..within.end.max(first));
        sites.map(|(at, _)| *at).collect()
    }

    /// Puts into bytes read from `at` on what was there before.
    pub(crate) fn hide(&self, at: u64, bytes: &mut [u8]) {
        if self.patched.is_empty() {
            return;
        }
        let place = at..at.saturating_add(num::u64_of(bytes.len()));
        for site in self.within(&place) {
            let Some(patched) = self.patched.get(&site) else {
                continue;
            };
            let pairs = (site..).zip(patched.old.iter().zip(&patched.new));
            for (place, (old, new)) in pairs {
                let index = place.checked_sub(at).map(num::usize_of);
                if let Some(byte) = index.and_then(|index| bytes.get_mut(index))
                    && byte == new
                {
                    *byte = *old;
                }
            }
        }
    }
}

impl Mm {
    /// Patches the call site at `at`, from which calls of this number came, if it can be: see
    /// the module. What can't be stays.
    pub fn patch_call_site(&self, at: Addr, number: u32) {
        if let Some(sites) = self.space().call_sites() {
            let mut edit = self.edit();
            let _ = edit.patch_call_site((at.0, number), sites);
        }
    }
}

impl Edit<'_> {
    fn patch_call_site(&mut self, (at, number): (u64, u32), sites: &dyn CallSites) -> Option<()> {
        let page = Addr(at).page_down().0;
        let inside = at.saturating_sub(page);
        let known = &self.state.sites.patched;
        let fits = inside > 0 && inside.saturating_add(WHOLE) <= PAGE_SIZE;
        if !fits || self.state.lost || known.len() >= MAX_SITES || known.contains_key(&at) {
            return None;
        }
        let vma = self.state.vmas.find(page)?;
        let is_text = vma.allows(Access::Execute) && !vma.allows(Access::Write);
        if !is_text || vma.is_shared() || vma.file().is_none() {
            return None;
        }
        let (place, run) = self.state.resident.find(page)?;
        let is_patched = known.range(page..page.saturating_add(PAGE_SIZE)).next();
        if run.own && is_patched.is_none() {
            return None;
        }
        let mut code = [0; SITE];
        let from = at.saturating_sub(place.start).saturating_sub(1);
        if run.pages.read(from, &mut code) != SITE {
            return None;
        }
        let slot = self.free_slot(at)?;
        let patch = sites.patch((Addr(at), number), &code, Addr(slot))?;
        let (place, run) = self.state.resident.find(slot)?;
        run.pages
            .write(slot.saturating_sub(place.start), &patch.slot);
        let written = self.replace(page, |frames| frames.write(inside, &patch.site) == 5);
        if written.is_none() {
            sites.forget(Addr(slot));
            return None;
        }
        let [_, a, b, c, d, e, ..] = code;
        let patched = Patched {
            old: [a, b, c, d, e],
            new: patch.site,
            slot,
        };
        self.state.sites.patched.insert(at, patched);
        let own = self.state.sites.pages.iter_mut();
        for page in own.filter(|page| page.at == Addr(slot).page_down().0) {
            page.used = page.used.saturating_add(SLOT);
        }
        Some(())
    }

    /// Puts a copy of `page`, which is in memory, in its place, after `change` has had it.
    fn replace(&mut self, page: u64, change: impl FnOnce(&FrameRun) -> bool) -> Option<()> {
        let frames = self.mm.memory.allocate(1, None).ok()?;
        let (place, run) = self.state.resident.find(page)?;
        copy_pages(&frames, &run.pages, page.saturating_sub(place.start)).ok()?;
        if !change(&frames) {
            return None;
        }
        self.put_own(page, frames);
        Some(())
    }

    /// Has the program see these frames, which it can't write to, from `at` on.
    fn put_own(&mut self, at: u64, frames: FrameRun) {
        let place = span(at, frames.len());
        self.drop_pages(&place);
        let run = Run {
            pages: Pages::Memory(frames),
            own: true,
            writable: false,
            shown: None,
        };
        self.state.resident.put(at, run);
        self.show(&place);
    }

    /// A slot within reach of `at`, on a page that no other address space has.
    fn free_slot(&mut self, at: u64) -> Option<u64> {
        let resident = &self.state.resident;
        let is_own = |page: u64| {
            resident.find(page).is_some_and(|(place, run)| {
                let number = page.saturating_sub(place.start) / PAGE_SIZE;
                matches!(&run.pages, Pages::Memory(frames)
                    if frames.is_unique(number..number.saturating_add(1)))
            })
        };
        let page = self.state.sites.pages.iter().find(|page| {
            page.at.abs_diff(at) < REACH
                && page.used.saturating_add(SLOT) <= PAGE_SIZE
                && is_own(page.at)
        });
        if let Some(page) = page {
            return page.at.checked_add(page.used);
        }
        if self.state.sites.pages.len() >= MAX_PAGES || !self.state.vmas.has_room(1) {
            return None;
        }
        let place = self.room_below(at)?;
        let frames = self.mm.memory.allocate(1, None).ok()?;
        let mut vma = Vma::anonymous(span(place, PAGE_SIZE), Prot::READ | Prot::EXEC);
        vma.max_prot = Prot::READ | Prot::EXEC;
        self.put_vma(vma);
        self.put_own(place, frames);
        self.state.sites.pages.push(SlotPage { at: place, used: 0 });
        Some(place)
    }

    /// A free page below the mapping that `at` is in, and above nothing that grows up to it.
    fn room_below(&self, at: u64) -> Option<u64> {
        let mut end = self.state.vmas.find(at)?.span.start;
        while at.saturating_sub(end) < REACH {
            let place = end.checked_sub(PAGE_SIZE)?;
            if self.is_free(&span(place, PAGE_SIZE)) {
                return Some(place);
            }
            end = self.state.vmas.below(end)?.span.start;
        }
        None
    }

    /// Makes all sites in `within` what they were. Their pages stay private copies, and are
    /// not patched again.
    pub(crate) fn unpatch(&mut self, within: &Span) {
        for site in self.state.sites.within(within) {
            self.unpatch_one(site);
        }
    }

    fn unpatch_one(&mut self, site: u64) {
        let Some(patched) = self.state.sites.patched.remove(&site) else {
            return;
        };
        let page = Addr(site).page_down().0;
        let inside = site.saturating_sub(page);
        let mut now = [0; 5];
        let there = self.state.resident.find(page).is_some_and(|(place, run)| {
            let from = site.saturating_sub(place.start);
            run.own && run.pages.read(from, &mut now) == 5 && now == patched.new
        });
        if there {
            // Without a frame it can't be: it is right for the program as it is.
            let _ = self.replace(page, |frames| frames.write(inside, &patched.old) == 5);
        }
        if let Some(sites) = self.mm.space().call_sites() {
            sites.forget(Addr(patched.slot));
        }
    }

    /// What is in `within` goes: sites are forgotten, and those whose slots go are made what
    /// they were.
    pub(crate) fn forget_sites(&mut self, within: &Span) {
        if self.state.sites.pages.is_empty() {
            return;
        }
        let sites = &self.state.sites;
        let gone: Vec<u64> = sites
            .patched
            .iter()
            .filter(|(_, patched)| within.contains(&patched.slot))
            .map(|(at, _)| *at)
            .chain(sites.within(within))
            .collect();
        for site in gone {
            self.unpatch_one(site);
        }
        self.state
            .sites
            .pages
            .retain(|page| !within.contains(&page.at));
    }
}

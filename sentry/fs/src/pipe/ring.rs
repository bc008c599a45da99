//! A pipe's contents: a bounded queue of chunks.
//!
//! Linux counts a pipe's capacity in slots of one page each, and whether a write
//! fits depends on them: short writes join the last slot only if they fit in its
//! page. The same is counted here; but a long write becomes one chunk of many
//! pages, so that it is copied in one go.

use std::collections::VecDeque;

use base::{Errno, PAGE_SIZE, num};
use vfs::{Sink, Source};

/// Bytes of one slot, and PIPE_BUF: what is written atomically.
pub(super) const PAGE: usize = num::usize_of(PAGE_SIZE);

/// The most bytes that one copy moves, and the largest buffer kept for re-use.
const CHUNK: usize = 16 * PAGE;

/// Whether writes keep their bounds: O_DIRECT, "packet mode".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WriteMode {
    /// Bytes join.
    Stream,
    /// Each write, or each page of a longer one, is read on its own.
    Packet,
}

/// What a chunk lets others do with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ChunkKind {
    /// Short writes may join it.
    Open,
    /// Nothing joins it: it was put in whole by splice(2) or tee(2).
    Closed,
    /// A packet: a read takes all of it and drops what it has no room for.
    Packet,
}

/// Bytes `start..end` of a buffer of whole pages.
#[derive(Debug)]
struct Chunk {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    kind: ChunkKind,
}

impl Chunk {
    fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Pages that still hold bytes.
    fn slots(&self) -> usize {
        self.end.div_ceil(PAGE).saturating_sub(self.start / PAGE)
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}

/// The queue.
#[derive(Debug)]
pub(super) struct Ring {
    chunks: VecDeque<Chunk>,
    /// Slots in use; may exceed `limit` by what splice(2) gave back.
    slots: usize,
    limit: usize,
    bytes: usize,
    /// A buffer to be used again.
    spare: Option<Box<[u8]>>,
}

impl Ring {
    /// An empty ring of `limit` slots.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            slots: 0,
            limit,
            bytes: 0,
            spare: None,
        }
    }

    /// Bytes held.
    pub(super) const fn len(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether every slot is in use; a short write may join the last one even so.
    pub(super) const fn is_full(&self) -> bool {
        self.slots >= self.limit
    }

    /// Capacity in slots.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Changes the capacity. `EBUSY` if more is held.
    pub(super) const fn set_limit(&mut self, limit: usize) -> Result<(), Errno> {
        if self.slots > limit {
            return Err(Errno::EBUSY);
        }
        self.limit = limit;
        Ok(())
    }

    /// Bytes that free slots can hold.
    pub(super) const fn room(&self) -> usize {
        self.limit.saturating_sub(self.slots).saturating_mul(PAGE)
    }

    /// Takes what fits of `from`; all or nothing up to one page. `EAGAIN` if nothing
    /// does, `EFAULT` if not even the first byte could be read.
    pub(super) fn write(&mut self, from: &mut dyn Source, mode: WriteMode) -> Result<usize, Errno> {
        let mut done = self.join(from)?;
        while from.remaining() > 0 {
            let pages = match mode {
                WriteMode::Stream => from.remaining().div_ceil(PAGE).min(CHUNK / PAGE),
                WriteMode::Packet => 1,
            };
            let pages = pages.min(self.limit.saturating_sub(self.slots));
            if pages == 0 {
                return if done == 0 {
                    Err(Errno::EAGAIN)
                } else {
                    Ok(done)
                };
            }
            let mut buffer = self.buffer(pages);
            let want = from.remaining().min(pages * PAGE);
            let kind = match mode {
                WriteMode::Stream => ChunkKind::Open,
                WriteMode::Packet => ChunkKind::Packet,
            };
            match from.take(buffer.get_mut(..want).unwrap_or_default()) {
                Ok(got) => {
                    self.push(buffer, got, kind);
                    done += got;
                    if got < want {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Lets the odd bytes of a write join the last page if all of them fit.
    fn join(&mut self, from: &mut dyn Source) -> Result<usize, Errno> {
        let odd = from.remaining() % PAGE;
        let Some(last) = self.chunks.back_mut() else {
            return Ok(0);
        };
        let room = last.end.next_multiple_of(PAGE) - last.end;
        if odd == 0 || odd > room || last.kind != ChunkKind::Open {
            return Ok(0);
        }
        let got = from.take(
            last.buffer
                .get_mut(last.end..last.end + odd)
                .unwrap_or_default(),
        )?;
        last.end += got;
        self.bytes += got;
        Ok(got)
    }

    /// A buffer of at least `pages` pages; its contents are whatever it held.
    fn buffer(&mut self, pages: usize) -> Box<[u8]> {
        match self.spare.take() {
            Some(spare) if spare.len() >= pages * PAGE => spare,
            _ => vec![0; pages * PAGE].into_boxed_slice(),
        }
    }

    fn push(&mut self, buffer: Box<[u8]>, len: usize, kind: ChunkKind) {
        if len == 0 {
            return;
        }
        let chunk = Chunk {
            buffer,
            start: 0,
            end: len,
            kind,
        };
        self.slots += chunk.slots();
        self.bytes += len;
        self.chunks.push_back(chunk);
    }

    /// Gives what `to` takes. 0 if it is empty; `EFAULT` if not even the first byte
    /// could be stored.
    pub(super) fn read(&mut self, to: &mut dyn Sink) -> Result<usize, Errno> {
        let mut done = 0;
        while to.remaining() > 0 {
            let Some(front) = self.chunks.front() else {
                break;
            };
            let bytes = front.bytes();
            let packet = front.kind == ChunkKind::Packet;
            let offered = bytes.get(..to.remaining()).unwrap_or(bytes);
            let got = match to.put(offered) {
                Ok(got) => got,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let short = got < offered.len();
            done += got;
            if packet && !short {
                self.consume(usize::MAX);
                break;
            }
            self.consume(got);
            if short {
                break;
            }
        }
        Ok(done)
    }

    /// Drops `count` bytes, at most all, of the first chunk.
    fn consume(&mut self, count: usize) {
        let Some(front) = self.chunks.front_mut() else {
            return;
        };
        let count = count.min(front.len());
        let before = front.slots();
        front.start += count;
        self.bytes -= count;
        if front.len() > 0 {
            self.slots -= before - front.slots();
            return;
        }
        self.slots -= before;
        if let Some(chunk) = self.chunks.pop_front()
            && chunk.buffer.len() <= CHUNK
        {
            self.spare = Some(chunk.buffer);
        }
    }

    /// Takes out up to `limit` bytes, for splice(2), with the bounds of packets.
    pub(super) fn take(&mut self, limit: usize) -> Parts {
        let mut parts = Vec::new();
        let mut left = limit;
        while left > 0
            && let Some(front) = self.chunks.front()
        {
            let bytes = front.bytes();
            let part = bytes.get(..left).unwrap_or(bytes);
            let (part, kind) = (part.to_vec(), front.kind);
            left -= part.len();
            self.consume(part.len());
            parts.push((part, kind));
        }
        Parts(parts)
    }

    /// Copies up to `limit` bytes from the front, for tee(2).
    pub(super) fn copy(&self, limit: usize) -> Parts {
        let mut parts = Vec::new();
        let mut left = limit;
        for chunk in &self.chunks {
            if left == 0 {
                break;
            }
            let bytes = chunk.bytes();
            let part = bytes.get(..left).unwrap_or(bytes);
            left -= part.len();
            parts.push((part.to_vec(), chunk.kind));
        }
        Parts(parts)
    }

    /// Puts `parts` behind what is held, whatever the capacity.
    pub(super) fn put_back(&mut self, parts: Parts) {
        for (bytes, kind) in parts.0 {
            let chunk = closed(bytes, kind);
            self.slots += chunk.slots();
            self.bytes += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Puts `parts`, just taken, in front again, whatever the capacity.
    pub(super) fn put_front(&mut self, parts: Parts) {
        for (bytes, kind) in parts.0.into_iter().rev() {
            let chunk = closed(bytes, kind);
            self.slots += chunk.slots();
            self.bytes += chunk.len();
            self.chunks.push_front(chunk);
        }
    }
}

/// A chunk that nothing joins, around bytes from elsewhere.
fn closed(bytes: Vec<u8>, kind: ChunkKind) -> Chunk {
    Chunk {
        start: 0,
        end: bytes.len(),
        buffer: bytes.into_boxed_slice(),
        kind: match kind {
            ChunkKind::Open => ChunkKind::Closed,
            kind => kind,
        },
    }
}

/// Contents on their way between pipes and files; never holds an empty part.
#[derive(Debug)]
pub(super) struct Parts(Vec<(Vec<u8>, ChunkKind)>);

impl Parts {
    /// Bytes from a file.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() {
            return Self(Vec::new());
        }
        Self(vec![(bytes, ChunkKind::Closed)])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|(bytes, _)| bytes.len()).sum()
    }

    /// All bytes in one piece.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        for (bytes, _) in &self.0 {
            all.extend_from_slice(bytes);
        }
        all
    }

    /// What is left behind the first `count` bytes.
    pub(super) fn behind(self, mut count: usize) -> Self {
        let mut rest = Vec::new();
        for (mut bytes, kind) in self.0 {
            if count >= bytes.len() {
                count -= bytes.len();
            } else {
                rest.push((bytes.split_off(count), kind));
                count = 0;
            }
        }
        Self(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vfs::{ByteSink, ByteSource};

    fn write(ring: &mut Ring, bytes: &[u8]) -> Result<usize, Errno> {
        ring.write(&mut ByteSource(bytes), WriteMode::Stream)
    }

    fn read(ring: &mut Ring, count: usize) -> Vec<u8> {
        let mut sink = ByteSink::new(count);
        let got = ring.read(&mut sink).unwrap();
        assert_eq!(got, sink.bytes.len());
        sink.bytes
    }

    #[test]
    fn short_writes_share_a_page() {
        let mut ring = Ring::new(2);
        for _ in 0..100 {
            assert_eq!(write(&mut ring, b"abcd"), Ok(4));
        }
        assert_eq!(ring.slots, 1);
        assert_eq!(ring.len(), 400);
    }

    #[test]
    fn what_does_not_fit_in_the_last_page_needs_a_slot() {
        let mut ring = Ring::new(2);
        assert_eq!(write(&mut ring, &[1; 3000]), Ok(3000));
        assert_eq!(write(&mut ring, &[2; 3000]), Ok(3000));
        assert!(ring.is_full());
        assert_eq!(write(&mut ring, &[3; 3000]), Err(Errno::EAGAIN));
        // A full pipe still takes what joins its last page.
        assert_eq!(write(&mut ring, &[3; 1096]), Ok(1096));
        assert_eq!(write(&mut ring, &[3; 1]), Err(Errno::EAGAIN));
    }

    #[test]
    fn long_writes_are_partial() {
        let mut ring = Ring::new(16);
        assert_eq!(write(&mut ring, &[7; 70_000]), Ok(65_536));
        assert_eq!(write(&mut ring, &[7; 1]), Err(Errno::EAGAIN));
        // One byte read frees no slot; a page does.
        assert_eq!(read(&mut ring, 1).len(), 1);
        assert!(ring.is_full());
        assert_eq!(read(&mut ring, 4095).len(), 4095);
        assert!(!ring.is_full());
        assert_eq!(ring.room(), 4096);
    }

    #[test]
    fn packets_are_read_one_by_one() {
        let mut ring = Ring::new(16);
        for packet in [&b"first"[..], b"second"] {
            let mut source = ByteSource(packet);
            assert_eq!(ring.write(&mut source, WriteMode::Packet), Ok(packet.len()));
        }
        assert_eq!(read(&mut ring, 3), b"fir");
        assert_eq!(read(&mut ring, 100), b"second");
        assert!(ring.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize),
        Read(usize),
        Limit(usize),
        Splice(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = prop_oneof![0_usize..20, 4000_usize..4200, 0_usize..80_000];
        prop_oneof![
            4 => size.clone().prop_map(Step::Write),
            4 => size.clone().prop_map(Step::Read),
            1 => (0_u32..5).prop_map(|log| Step::Limit(1 << log)),
            1 => (size.clone(), size).prop_map(|(a, b)| Step::Splice(a, b)),
        ]
    }

    /// Linux's slots, one by one: lengths and where in the page they end.
    #[derive(Default)]
    struct Model {
        /// (bytes left, end within its page, may be joined)
        slots: VecDeque<(usize, usize, bool)>,
        limit: usize,
    }

    impl Model {
        fn write(&mut self, len: usize) -> Option<usize> {
            let mut left = len;
            if left == 0 {
                return Some(0);
            }
            let odd = left % PAGE;
            if odd > 0
                && let Some((held, end, true)) = self.slots.back_mut()
                && *end + odd <= PAGE
            {
                *held += odd;
                *end += odd;
                left -= odd;
            }
            while left > 0 && self.slots.len() < self.limit {
                let part = left.min(PAGE);
                self.slots.push_back((part, part, true));
                left -= part;
            }
            (left < len).then_some(len - left)
        }

        fn read(&mut self, len: usize) -> usize {
            let mut left = len;
            while left > 0
                && let Some((held, _, _)) = self.slots.front_mut()
            {
                let part = left.min(*held);
                *held -= part;
                left -= part;
                if *held == 0 {
                    self.slots.pop_front();
                }
            }
            len - left
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_slot_by_slot_model(steps in prop::collection::vec(step(), 1..60)) {
            let mut ring = Ring::new(16);
            let mut model = Model { limit: 16, ..Model::default() };
            let mut written = 0_usize;
            let mut seen = 0_usize;
            let byte = |at: usize| u8::try_from(at % 251).unwrap();
            // Splices leave chunks that Linux's slots need not match one by one;
            // from there on only the bytes are compared.
            let mut exact = true;
            for step in steps {
                match step {
                    Step::Write(len) => {
                        let bytes: Vec<u8> = (written..written + len).map(byte).collect();
                        let got = write(&mut ring, &bytes);
                        if exact {
                            prop_assert_eq!(got.ok(), model.write(len));
                        }
                        written += got.unwrap_or(0);
                    }
                    Step::Read(len) => {
                        let got = read(&mut ring, len);
                        if exact {
                            prop_assert_eq!(got.len(), model.read(len));
                        }
                        for value in got {
                            prop_assert_eq!(value, byte(seen));
                            seen += 1;
                        }
                    }
                    Step::Limit(limit) => {
                        if ring.set_limit(limit).is_ok() {
                            model.limit = limit;
                        }
                    }
                    Step::Splice(take, keep) => {
                        exact = false;
                        let parts = ring.take(take);
                        let all = parts.to_bytes();
                        let used = keep.min(all.len());
                        for value in &all[..used] {
                            prop_assert_eq!(*value, byte(seen));
                            seen += 1;
                        }
                        ring.put_front(parts.behind(used));
                    }
                }
                prop_assert_eq!(ring.len(), written - seen);
                if exact {
                    prop_assert_eq!(ring.slots, model.slots.len());
                    prop_assert_eq!(ring.is_full(), model.slots.len() >= model.limit);
                }
                let counted: usize = ring.chunks.iter().map(Chunk::slots).sum();
                prop_assert_eq!(ring.slots, counted);
            }
        }
    }
}

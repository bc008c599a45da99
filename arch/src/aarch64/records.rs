//! The records at the end of `struct sigcontext`: FPSIMD, ESR, SVE, and where
//! more of them are. A record is a magic number, its size, and data; each starts
//! at a multiple of 16 bytes, and an empty one ends the list.

use super::fp::{FpState, Fpsimd, Sve};
use super::sigframe::RESERVED;
use crate::abi::macros::abi_struct;
use crate::abi::num::{low32, u64_of, usize_of};
use crate::abi::{Addr, Errno};
use crate::frame::Reader;
use zerocopy::{FromBytes, IntoBytes};

/// Marks the FPSIMD registers.
pub const FPSIMD_MAGIC: u32 = 0x4650_8001;
/// Marks the exception syndrome.
pub const ESR_MAGIC: u32 = 0x4553_5201;
/// Marks SVE's registers.
pub const SVE_MAGIC: u32 = 0x5356_4501;
/// Marks the place of further records.
pub const EXTRA_MAGIC: u32 = 0x4558_5401;

const HEADER: usize = 8;
const FPSIMD_RECORD: usize = 528;
const SVE_HEADER: usize = 16;
const EXTRA_RECORD: usize = 32;
const TERMINATOR: usize = 16;
/// The most bytes of further records that Linux accepts.
const EXTRA_MAX: usize = 64 << 10;

abi_struct! {
    struct FpsimdRecord {
        magic: u32,
        size: u32,
        fpsr: u32,
        fpcr: u32,
        vregs: [[u8; 16]; 32],
    }
}

abi_struct! {
    struct SveRecord {
        magic: u32,
        size: u32,
        vl: u16,
        flags: u16,
        reserved: [u16; 2],
    }
}

abi_struct! {
    struct ExtraRecord {
        magic: u32,
        size: u32,
        datap: u64,
        data_size: u32,
        reserved: [u32; 3],
    }
}

fn size32(bytes: usize) -> u32 {
    low32(u64_of(bytes))
}

/// The records of a frame under construction.
pub(super) struct Records {
    first: Vec<u8>,
    sve: Vec<u8>,
}

impl Records {
    /// `esr` is zero if there was no fault.
    pub(super) fn new(fp: &FpState, esr: u64) -> Self {
        let fpsimd = FpsimdRecord {
            magic: FPSIMD_MAGIC,
            size: size32(FPSIMD_RECORD),
            fpsr: fp.fpsimd().fpsr,
            fpcr: fp.fpsimd().fpcr,
            vregs: fp.fpsimd().vregs,
        };
        let mut first = fpsimd.as_bytes().to_vec();
        if esr != 0 {
            first.extend_from_slice(&ESR_MAGIC.to_le_bytes());
            first.extend_from_slice(&16_u32.to_le_bytes());
            first.extend_from_slice(&esr.to_le_bytes());
        }
        let sve = fp.sve().map(sve_record).unwrap_or_default();
        Self { first, sve }
    }

    /// Whether SVE's record stands beyond the area that every frame has.
    fn is_extended(&self) -> bool {
        let all = self.first.len().saturating_add(self.sve.len());
        all > RESERVED - TERMINATOR - EXTRA_RECORD
    }

    /// Bytes of all records with their terminators.
    pub(super) fn size(&self) -> usize {
        let extra = if self.is_extended() {
            EXTRA_RECORD + TERMINATOR
        } else {
            0
        };
        self.first
            .len()
            .saturating_add(self.sve.len())
            .saturating_add(extra)
            .saturating_add(TERMINATOR)
    }

    /// The records as they stand at the address `at`.
    pub(super) fn to_bytes(&self, at: u64) -> Vec<u8> {
        let mut bytes = self.first.clone();
        if self.is_extended() {
            let data_at = self
                .first
                .len()
                .saturating_add(EXTRA_RECORD)
                .saturating_add(TERMINATOR);
            let extra = ExtraRecord {
                magic: EXTRA_MAGIC,
                size: size32(EXTRA_RECORD),
                datap: at.wrapping_add(u64_of(data_at)),
                data_size: size32(self.sve.len().saturating_add(TERMINATOR)),
                reserved: [0; 3],
            };
            bytes.extend_from_slice(extra.as_bytes());
            bytes.extend_from_slice(&[0; TERMINATOR]);
        }
        bytes.extend_from_slice(&self.sve);
        bytes.extend_from_slice(&[0; TERMINATOR]);
        bytes
    }
}

fn sve_record(sve: &Sve) -> Vec<u8> {
    let size = SVE_HEADER
        .saturating_add(sve.as_bytes().len())
        .next_multiple_of(16);
    let header = SveRecord {
        magic: SVE_MAGIC,
        size: size32(size),
        vl: sve.vl(),
        ..SveRecord::default()
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(sve.as_bytes());
    bytes.resize(size, 0);
    bytes
}

/// What the records of a frame held.
pub(super) struct Saved {
    pub(super) fpsimd: Fpsimd,
    pub(super) sve: Option<Sve>,
}

/// One list of records, copied in, and what is still to be looked at.
struct Area {
    at: Addr,
    bytes: Vec<u8>,
    offset: usize,
}

impl Area {
    fn read(at: Addr, size: usize, read: &mut Reader<'_>) -> Result<Self, Errno> {
        let mut bytes = vec![0; size];
        read(at, &mut bytes)?;
        Ok(Self {
            at,
            bytes,
            offset: 0,
        })
    }

    /// The next record with its header; `None` at the terminator.
    fn next(&mut self) -> Result<Option<(u32, &[u8])>, Errno> {
        let rest = self.bytes.get(self.offset..).ok_or(Errno::EINVAL)?;
        let (magic, tail) = u32::read_from_prefix(rest).map_err(|_| Errno::EINVAL)?;
        let (size, _) = u32::read_from_prefix(tail).map_err(|_| Errno::EINVAL)?;
        let size = usize_of(u64::from(size));
        if magic == 0 {
            return if size == 0 {
                Ok(None)
            } else {
                Err(Errno::EINVAL)
            };
        }
        if size < HEADER || !size.is_multiple_of(16) {
            return Err(Errno::EINVAL);
        }
        let record = rest.get(..size).ok_or(Errno::EINVAL)?;
        // Records have at least 16 bytes, so the walk ends.
        self.offset = self.offset.saturating_add(size);
        Ok(Some((magic, record)))
    }
}

/// Walks the records at `at`. `EINVAL`: a record twice, of unknown kind or of wrong
/// size, or none with the FPSIMD registers.
pub(super) fn parse(at: Addr, read: &mut Reader<'_>) -> Result<Saved, Errno> {
    let mut area = Area::read(at, RESERVED, read)?;
    let (mut fpsimd, mut sve) = (None, None);
    let mut extra = None;
    let mut is_extra = false;
    loop {
        let Some((magic, record)) = area.next()? else {
            let Some(place) = extra.take() else { break };
            area = extra_area(&area, place, read)?;
            is_extra = true;
            continue;
        };
        match magic {
            FPSIMD_MAGIC if fpsimd.is_none() => fpsimd = Some(parse_fpsimd(record)?),
            ESR_MAGIC => {}
            SVE_MAGIC if sve.is_none() => sve = Some(parse_sve(record)?),
            EXTRA_MAGIC if extra.is_none() && !is_extra => {
                let place = ExtraRecord::read_from_bytes(record);
                extra = Some(place.map_err(|_| Errno::EINVAL)?);
            }
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(Saved {
        fpsimd: fpsimd.ok_or(Errno::EINVAL)?,
        sve: sve.flatten(),
    })
}

/// The exception syndrome in the records at `at`, if there is one in the usual area.
pub(super) fn syndrome(at: Addr, read: &mut Reader<'_>) -> Option<u64> {
    let mut area = Area::read(at, RESERVED, read).ok()?;
    while let Some((magic, record)) = area.next().ok()? {
        if magic == ESR_MAGIC {
            let value = record.get(HEADER..)?;
            return u64::read_from_prefix(value).ok().map(|(value, _)| value);
        }
    }
    None
}

/// Further records must follow the terminator of the first list at once.
fn extra_area(first: &Area, place: ExtraRecord, read: &mut Reader<'_>) -> Result<Area, Errno> {
    let end = first.offset.saturating_add(TERMINATOR);
    let size = usize_of(u64::from(place.data_size));
    if first.at.checked_add(u64_of(end)) != Some(Addr(place.datap))
        || !size.is_multiple_of(16)
        || size > EXTRA_MAX
    {
        return Err(Errno::EINVAL);
    }
    Area::read(Addr(place.datap), size, read)
}

fn parse_fpsimd(record: &[u8]) -> Result<Fpsimd, Errno> {
    let record = FpsimdRecord::read_from_bytes(record).map_err(|_| Errno::EINVAL)?;
    Ok(Fpsimd {
        vregs: record.vregs,
        fpsr: record.fpsr,
        fpcr: record.fpcr,
        reserved: [0; 2],
    })
}

/// A record without registers says that only FPSIMD state was live.
fn parse_sve(record: &[u8]) -> Result<Option<Sve>, Errno> {
    let (header, payload) = SveRecord::read_from_prefix(record).map_err(|_| Errno::EINVAL)?;
    if payload.is_empty() {
        return Ok(None);
    }
    let size = Sve::size(header.vl).ok_or(Errno::EINVAL)?;
    let payload = payload.get(..size).ok_or(Errno::EINVAL)?;
    Sve::new(header.vl, payload).map(Some)
}

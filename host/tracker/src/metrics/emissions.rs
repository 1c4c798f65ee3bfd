//! What the shells' processes leave for the counters: one record of 16 bytes for each event accepted or
//! refused, appended in one write. No lock, nothing is waited for, and nothing fails because of it.
//!
//! The agent counts the records and remembers how far it came (see `Metrics`); a file that grew large is
//! put aside, where late writers may still finish their record.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::now_ms;
use crate::spool::{NONBLOCK, Spool};

/// Bytes of one record: kind, three zeros, microseconds it took (little-endian), when in milliseconds
/// since 1970 (little-endian).
const RECORD_BYTES: usize = 16;
/// Size at which a file whose records are all counted is put aside: 65,536 records.
const PUT_ASIDE_BYTES: u64 = 1 << 20;
/// Size beyond which shells leave no more records, while no agent counts them: a million records.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What happened to an event in the shell's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Emission {
    /// A start is durable.
    Start,
    /// An end is durable.
    End,
    /// A start was refused: the spool is full.
    SpoolFull,
    /// A start was refused: too many began at once.
    RateLimit,
    /// The component failed, so nothing was stored.
    Component,
    /// The event could not be stored.
    Storage,
}

impl Emission {
    const ALL: [Self; 6] =
        [Self::Start, Self::End, Self::SpoolFull, Self::RateLimit, Self::Component, Self::Storage];

    fn code(self) -> u8 {
        self as u8 + 1
    }

    fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|emission| emission.code() == code)
    }
}

/// One record, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) emission: Emission,
    pub(crate) took_us: u32,
    pub(crate) at_ms: u64,
}

impl Record {
    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let (head, at) = bytes.split_at_mut(8);
        let (kind, took) = head.split_at_mut(4);
        kind.copy_from_slice(&[self.emission.code(), 0, 0, 0]);
        took.copy_from_slice(&self.took_us.to_le_bytes());
        at.copy_from_slice(&self.at_ms.to_le_bytes());
        bytes
    }

    /// `None` for what a full disk cut short or an unknown version wrote.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, at) = bytes.split_first_chunk::<8>()?;
        let [code, 0, 0, 0, a, b, c, d] = *head else { return None };
        let at_ms = u64::from_le_bytes(at.try_into().ok()?);
        Some(Self { emission: Emission::of_code(code)?, took_us: u32::from_le_bytes([a, b, c, d]), at_ms })
    }
}

fn current(spool: &Spool) -> PathBuf {
    spool.root().join("emissions")
}

fn aside(spool: &Spool) -> PathBuf {
    spool.root().join("emissions.old")
}

/// Leaves a record. That it cannot be left is no reason to disturb a shell.
pub(crate) fn leave(spool: &Spool, emission: Emission, took: Duration) {
    let took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
    let record = Record { emission, took_us, at_ms: now_ms() };
    if let Err(error) = append(spool, &record.to_bytes()) {
        tracing::debug!(%error, "an event is not counted");
    }
}

fn append(spool: &Spool, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new();
    let file = file.append(true).create(true).mode(0o600).custom_flags(NONBLOCK);
    let mut file = file.open(current(spool))?;
    if file.metadata()?.len() >= FILE_BYTES_MAX {
        return Err(io::Error::other("nobody counts"));
    }
    file.write_all(bytes)
}

/// Reads the records beyond what `counted` (offsets by inode) says, and moves that on.
pub(crate) fn read(
    spool: &Spool,
    counted: &mut BTreeMap<u64, u64>,
    mut each: impl FnMut(Record),
) -> io::Result<()> {
    let mut now = BTreeMap::new();
    for path in [aside(spool), current(spool)] {
        let mut file = match OpenOptions::new().read(true).custom_flags(NONBLOCK).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let metadata = file.metadata()?;
        let (inode, bytes) = (metadata.ino(), metadata.len());
        // An offset beyond the end is that of another file that had this inode before.
        let from = counted.get(&inode).copied().filter(|from| *from <= bytes).unwrap_or(0);
        let mut new = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(FILE_BYTES_MAX.saturating_sub(from)).read_to_end(&mut new)?;
        let (records, _rest) = new.as_chunks::<RECORD_BYTES>();
        records.iter().filter_map(|record| Record::from_bytes(record)).for_each(&mut each);
        now.insert(inode, from + (records.len() * RECORD_BYTES) as u64);
    }
    *counted = now;
    Ok(())
}

/// Puts a file aside that is large and wholly counted. The one put aside before is long finished.
pub(crate) fn put_aside(spool: &Spool, counted: &BTreeMap<u64, u64>) -> io::Result<()> {
    let metadata = match fs::metadata(current(spool)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if counted.get(&metadata.ino()).is_some_and(|counted| *counted >= PUT_ASIDE_BYTES) {
        fs::rename(current(spool), aside(spool))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use std::fs::File;

    use super::*;

    fn count(spool: &Spool, counted: &mut BTreeMap<u64, u64>) -> usize {
        let mut records = 0;
        read(spool, counted, |_| records += 1).unwrap();
        records
    }

    #[test]
    fn every_record_is_read_once() {
        let home = tempfile::tempdir().unwrap();
        let (spool, mut counted) = (Spool::open(home.path()).unwrap(), BTreeMap::new());
        assert_eq!(count(&spool, &mut counted), 0);
        for emission in Emission::ALL {
            leave(&spool, emission, Duration::from_micros(7));
        }
        let mut seen = Vec::new();
        read(&spool, &mut counted, |record| seen.push((record.emission, record.took_us))).unwrap();
        assert_eq!(seen, Emission::ALL.map(|emission| (emission, 7)));
        assert_eq!(count(&spool, &mut counted), 0);
    }

    #[test]
    fn a_file_is_put_aside_when_it_is_large_and_nothing_is_lost_or_counted_twice() {
        let home = tempfile::tempdir().unwrap();
        let (spool, mut counted) = (Spool::open(home.path()).unwrap(), BTreeMap::new());
        let record = Record { emission: Emission::End, took_us: 1, at_ms: 1 }.to_bytes();
        let records = PUT_ASIDE_BYTES as usize / RECORD_BYTES;
        for _ in 0..3 {
            append(&spool, &record.repeat(records)).unwrap();
            // Somebody who opened the file before it is put aside writes after that.
            let mut late = OpenOptions::new().append(true).open(current(&spool)).unwrap();
            assert_eq!(count(&spool, &mut counted), records);
            put_aside(&spool, &counted).unwrap();
            assert!(!current(&spool).exists());
            late.write_all(&record).unwrap();
            leave(&spool, Emission::Start, Duration::ZERO);
            assert_eq!(count(&spool, &mut counted), 2);
        }
    }

    #[test]
    fn shells_stop_leaving_records_when_nobody_counts_them() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        File::create(current(&spool)).unwrap().set_len(FILE_BYTES_MAX).unwrap();
        leave(&spool, Emission::Start, Duration::ZERO);
        assert_eq!(fs::metadata(current(&spool)).unwrap().len(), FILE_BYTES_MAX);
    }

    #[test]
    fn what_was_cut_short_or_is_foreign_counts_for_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (spool, mut counted) = (Spool::open(home.path()).unwrap(), BTreeMap::new());
        append(&spool, &[99; RECORD_BYTES]).unwrap();
        append(&spool, &[1; 5]).unwrap();
        assert_eq!(count(&spool, &mut counted), 0);
    }
}

//! A file that is read and never written: what the store writes to it stays in memory.
//!
//! A ledger whose agent was killed must be mended before it can be read. Whoever verifies it must not
//! change it, and may not even be allowed to, so the mending happens here.

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The unit in which written bytes are kept.
const BLOCK: usize = 4096;
const BLOCK_BYTES: u64 = 4096;

type Block = [u8; BLOCK];

/// A read-only file under a layer of written blocks.
#[derive(Debug)]
pub(super) struct Overlay {
    base: Arc<FileBackend>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How much of the file still shows through.
    base_len: u64,
    len: u64,
    written: BTreeMap<u64, Box<Block>>,
}

impl Overlay {
    /// Lays an empty layer over a file that is open for reading.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub(super) fn over(file: File) -> Result<Self, DatabaseError> {
        let base = Arc::new(FileBackend::new(file)?);
        let len = base.len().map_err(redb::StorageError::Io)?;
        Ok(Self {
            base,
            state: Mutex::new(State {
                base_len: len,
                len,
                written: BTreeMap::new(),
            }),
        })
    }

    /// The file below, to let go of its lock without closing the database above.
    pub(super) fn base(&self) -> Arc<FileBackend> {
        Arc::clone(&self.base)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block of this number as it stands.
    fn block(&self, state: &State, number: u64) -> io::Result<Block> {
        if let Some(block) = state.written.get(&number) {
            return Ok(**block);
        }
        let mut block = [0; BLOCK];
        let offset = number.saturating_mul(BLOCK_BYTES);
        let shows = state.base_len.saturating_sub(offset).min(BLOCK_BYTES);
        if let Some(part) = usize::try_from(shows)
            .ok()
            .and_then(|shows| block.get_mut(..shows))
        {
            self.base.read(offset, part)?;
        }
        Ok(block)
    }
}

/// The parts of a byte range that lie in one block each: block, first byte in it, and length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let mut left = len;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let number = at.div_euclid(BLOCK_BYTES);
        let first = usize::try_from(at.rem_euclid(BLOCK_BYTES)).ok()?;
        let length = BLOCK.saturating_sub(first).min(left);
        left = left.saturating_sub(length);
        at = at.saturating_add(u64::try_from(length).ok()?);
        Some((number, first, length))
    })
}

fn beyond_end() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        let end = u64::try_from(out.len())
            .ok()
            .and_then(|len| offset.checked_add(len));
        if end.is_none_or(|end| end > state.len) {
            return Err(beyond_end());
        }
        let mut rest = &mut *out;
        for (number, first, length) in parts(offset, rest.len()) {
            let block = self.block(&state, number)?;
            let from = block
                .get(first..first.saturating_add(length))
                .ok_or_else(beyond_end)?;
            let (to, after) = rest.split_at_mut_checked(length).ok_or_else(beyond_end)?;
            to.copy_from_slice(from);
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.base_len = state.base_len.min(len);
        state.len = len;
        let kept = len.div_ceil(BLOCK_BYTES);
        state.written.split_off(&kept);
        // What is cut off must read as zeros if the length grows again.
        let last = len.div_euclid(BLOCK_BYTES);
        let in_last = usize::try_from(len.rem_euclid(BLOCK_BYTES)).unwrap_or(BLOCK);
        if let Some(cut) = state
            .written
            .get_mut(&last)
            .and_then(|block| block.get_mut(in_last..))
        {
            cut.fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let mut rest = data;
        for (number, first, length) in parts(offset, data.len()) {
            let mut block = self.block(&state, number)?;
            let to = block
                .get_mut(first..first.saturating_add(length))
                .ok_or_else(beyond_end)?;
            let (from, after) = rest.split_at_checked(length).ok_or_else(beyond_end)?;
            to.copy_from_slice(from);
            rest = after;
            state.written.insert(number, Box::new(block));
        }
        let end = offset.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        state.len = state.len.max(end);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.base.close()
    }

    /// A reader's lock: it is refused while an agent holds the file, and readers share it.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.base.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.base.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.base.unlock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::arithmetic_side_effects,
        reason = "small numbers of a test; an overflow fails it"
    )]

    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Read(u64, usize),
        SetLen(u64),
        Write(u64, Vec<u8>),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let offset = 0_u64..20_000;
        let act = prop_oneof![
            (offset.clone(), 0_usize..10_000).prop_map(|(at, len)| Act::Read(at, len)),
            (0_u64..30_000).prop_map(Act::SetLen),
            (offset, proptest::collection::vec(any::<u8>(), 0..10_000))
                .prop_map(|(at, data)| Act::Write(at, data)),
        ];
        proptest::collection::vec(act, 0..20)
    }

    proptest! {
        #[test]
        fn behaves_like_the_file_it_does_not_touch(
            content in proptest::collection::vec(any::<u8>(), 0..15_000),
            acts in acts(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            std::fs::write(&path, &content).unwrap();
            let overlay = Overlay::over(File::open(&path).unwrap()).unwrap();
            let mut model = content.clone();
            for act in acts {
                match act {
                    Act::Read(at, len) => {
                        let from = usize::try_from(at).unwrap();
                        let mut read = vec![0; len];
                        let expected = model.get(from..from + len);
                        let got = overlay.read(at, &mut read).is_ok().then_some(&read[..]);
                        prop_assert_eq!(got, expected);
                    }
                    Act::SetLen(len) => {
                        overlay.set_len(len).unwrap();
                        model.resize(usize::try_from(len).unwrap(), 0);
                    }
                    Act::Write(at, data) => {
                        overlay.write(at, &data).unwrap();
                        let from = usize::try_from(at).unwrap();
                        let to = from + data.len();
                        model.resize(model.len().max(to), 0);
                        model[from..to].copy_from_slice(&data);
                    }
                }
                prop_assert_eq!(overlay.len().unwrap(), u64::try_from(model.len()).unwrap());
            }
            prop_assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}

//! How many connections there may be: in all, and from one user or address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Who shares one allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A user of this node.
    User(u32),
    /// A network address.
    Address(IpAddr),
}

/// Counts open connections per source.
#[derive(Debug)]
pub(super) struct Admission {
    per_source_max: usize,
    open: Mutex<HashMap<Source, usize>>,
}

impl Admission {
    pub(super) fn new(per_source_max: usize) -> Arc<Self> {
        Arc::new(Self {
            per_source_max,
            open: Mutex::default(),
        })
    }

    /// Admits one more connection, until the returned value is dropped.
    pub(super) fn admit(self: &Arc<Self>, source: Source) -> Option<Admitted> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&source).copied().unwrap_or(0);
        if count >= self.per_source_max {
            return None;
        }
        open.insert(source, count.saturating_add(1));
        Some(Admitted {
            admission: Arc::clone(self),
            source,
        })
    }
}

/// One admitted connection.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    source: Source,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let open = &self.admission.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        // A source without connections is forgotten: the map is as large as the connections are
        // many.
        match open.get_mut(&self.source) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            Some(_) | None => drop(open.remove(&self.source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_allowance() {
        let admission = Admission::new(2);
        let first = admission.admit(Source::User(1)).unwrap();
        let _second = admission.admit(Source::User(1)).unwrap();
        assert!(admission.admit(Source::User(1)).is_none());
        assert!(admission.admit(Source::User(2)).is_some());
        drop(first);
        assert!(admission.admit(Source::User(1)).is_some());
        assert_eq!(admission.open.lock().unwrap().len(), 1);
    }
}

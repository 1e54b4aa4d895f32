//! Prepared plans that are kept for the next call: lowering, compiling and allocating take longer than adapting to a task.
//! Sizes go into buckets, so that few plans serve all numbers of rows and tasks.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// Prepared things of a pool at most.
const MOST: usize = 8;
/// Bytes of their slots at most: 256 MiB.
const MOST_BYTES: u64 = 256 << 20;

/// The bucket of a number of rows or tasks: up to 8 a power of two, then four sizes an octave (10, 12, 14, 16, 20, ..), so that
/// a quarter at most is padding beyond 8.
pub(crate) fn bucket(n: usize) -> usize {
    match n {
        0..=8 => n.max(1).next_power_of_two(),
        _ => n.next_multiple_of(1 << (n.ilog2() - 2)),
    }
}

/// What a pool may hold.
pub(crate) trait Prepared {
    /// Bytes of its slots.
    fn bytes(&self) -> u64;
}

/// Prepared things that nobody uses at present, those used last at the end. Clones share them.
pub(crate) struct Pool<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool(Arc::default())
    }
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Pool<T> {
        Pool(Arc::clone(&self.0))
    }
}

/// What is kept makes no difference between two models.
impl<T> PartialEq for Pool<T> {
    fn eq(&self, _: &Pool<T>) -> bool {
        true
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kept", self.len())
    }
}

impl<T> Pool<T> {
    fn kept(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of things that are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept().len()
    }
}

impl<T: Prepared> Pool<T> {
    /// One that fits, made where none is at hand. It comes back when it is dropped.
    pub(crate) fn lease(&self, fits: impl Fn(&T) -> bool, make: impl Fn() -> Result<T>) -> Result<Lease<T>> {
        let found = {
            let mut kept = self.kept();
            let at = kept.iter().rposition(&fits);
            at.map(|at| kept.remove(at))
        };
        let value = match found {
            Some(value) => value,
            // What is kept may take the room.
            None => match make() {
                Err(Error::Memory(_)) if self.len() > 0 => {
                    self.kept().clear();
                    make()?
                }
                made => made?,
            },
        };
        Ok(Lease { value: Some(value), pool: self.clone() })
    }
}

/// Something prepared, while it is in use.
pub(crate) struct Lease<T: Prepared> {
    /// There until it is dropped.
    value: Option<T>,
    pool: Pool<T>,
}

impl<T: Prepared> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T: Prepared> DerefMut for Lease<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.value {
            Some(value) => value,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T: Prepared> Drop for Lease<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take().filter(|_| !std::thread::panicking()) else { return };
        let mut kept = self.pool.kept();
        kept.push(value);
        while kept.len() > MOST || kept.iter().map(Prepared::bytes).sum::<u64>() > MOST_BYTES {
            kept.remove(0);
        }
    }
}

impl<T: Prepared + fmt::Debug> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_few_and_near() {
        assert_eq!(
            [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 16, 17, 100].map(bucket),
            [1, 1, 2, 4, 8, 8, 8, 8, 10, 10, 12, 16, 20, 112]
        );
        for n in 1..5000 {
            let b = bucket(n);
            assert!(b >= n && bucket(b) == b && (n <= 8 || 4 * b <= 5 * n + 4), "{n} in {b}");
        }
        let all: std::collections::BTreeSet<usize> = (1..=4096).map(bucket).collect();
        assert_eq!(all.len(), 4 + 4 * 9);
    }

    #[derive(Debug, PartialEq)]
    struct Thing(usize, u64);

    impl Prepared for Thing {
        fn bytes(&self) -> u64 {
            self.1
        }
    }

    #[test]
    fn what_was_used_last_is_kept() {
        let pool = Pool::default();
        let get =
            |n: usize, bytes: u64| pool.lease(|t: &Thing| t.0 == n, || Ok(Thing(n, bytes))).expect("made");
        for n in 0..MOST {
            get(n, 1);
        }
        assert_eq!(pool.len(), MOST);
        assert_eq!(*get(0, 7), Thing(0, 1), "the one that was there");
        get(MOST, 1);
        assert_eq!((pool.len(), get(0, 7).1, get(1, 7).1), (MOST, 1, 7), "1 was the oldest");
        // Two at once are two; what is too large is not kept.
        let pool = Pool::default();
        let get =
            |n: usize, bytes: u64| pool.lease(|t: &Thing| t.0 == n, || Ok(Thing(n, bytes))).expect("made");
        drop((get(1, 1), get(1, 1)));
        assert_eq!(pool.len(), 2);
        get(2, MOST_BYTES + 1);
        assert_eq!(pool.len(), 0);
        // Where there is no room, what is kept makes way.
        get(1, 1);
        let tries = std::cell::Cell::new(0);
        let made = pool.lease(
            |_| false,
            || {
                tries.set(tries.get() + 1);
                if tries.get() == 1 { Err(Error::Memory("full".into())) } else { Ok(Thing(5, 1)) }
            },
        );
        assert_eq!((made.expect("made").0, pool.len()), (5, 0));
    }
}

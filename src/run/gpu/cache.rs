//! What is compiled is kept, but not without bound: an application that lowers plan after plan would fill its memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// The most recently used entries, as many as there is room for. What is dropped lives on where it is in use.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    room: usize,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    /// Each with the time of its last use.
    entries: HashMap<K, (V, u64)>,
    now: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    pub(super) fn new(room: usize) -> Cache<K, V> {
        Cache { room, state: Mutex::new(State { entries: HashMap::new(), now: 0 }) }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }

    /// The entry of a key, made where there is none. It is made without the lock held; should two threads make the same,
    /// one result is dropped.
    pub(super) fn get<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(known) = self.used(key, None) {
            return Ok(known);
        }
        let made = make()?;
        Ok(self.used(key, Some(made.clone())).unwrap_or(made))
    }

    /// The entry of a key, the one given where there is none; it has just been used.
    fn used(&self, key: &K, new: Option<V>) -> Option<V> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += 1;
        let now = state.now;
        if let Some((known, last)) = state.entries.get_mut(key) {
            *last = now;
            return Some(known.clone());
        }
        let new = new?;
        if state.entries.len() >= self.room
            && let Some(oldest) =
                state.entries.iter().min_by_key(|(_, (_, last))| *last).map(|(k, _)| k.clone())
        {
            state.entries.remove(&oldest);
        }
        state.entries.insert(key.clone(), (new.clone(), now));
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_is_dropped() {
        let cache = Cache::new(2);
        let get = |k: i32| cache.get(&k, || Ok::<i32, ()>(10 * k));
        assert_eq!([get(1), get(2), get(1), get(3)], [Ok(10), Ok(20), Ok(10), Ok(30)]);
        assert_eq!(cache.len(), 2);
        // 1 was used after 2: it is still there, 2 is made again.
        assert_eq!(cache.get(&1, || Err(())), Ok(10));
        assert_eq!(cache.get(&2, || Err(())), Err(()));
        assert_eq!(cache.get(&2, || Ok::<i32, ()>(21)), Ok(21));
    }
}

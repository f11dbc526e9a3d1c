//! Blocks of other caches: a thread that changes one visits its owner, which may be releasing it by a plain store. And
//! the owner's side of that: it takes a bias where nobody visits. `bias/` has the protocol.

use crate::raw::{Class, State, Visits};
use crate::thread::registry::ThreadIndex;

use super::bias::{Restored, Words};
use super::cache::{Cache, OwnCache};
use super::caches::Caches;

/// A thread that changes the block at an address.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    caches: &'a Caches,
    /// Its cache. Without one it is a guest.
    own: Option<OwnCache<'a>>,
    address: usize,
}

impl<'a> Visitor<'a> {
    /// The calling thread, which has this cache, if it has one.
    #[inline]
    pub fn new(caches: &'a Caches, own: Option<OwnCache<'a>>, address: usize) -> Self {
        Self { caches, own, address }
    }

    /// The cache that handed out a block in this state, if it may have a bias, and is another one.
    #[inline]
    fn host(&self, seen: State) -> Option<(usize, &'a Cache)> {
        let owner = seen.owner();
        if self.own.is_some_and(|own| own.owner() == owner) {
            return None;
        }
        let number = owner.cache().filter(|_| self.caches.have_bias())?;
        Some((number, self.caches.get(ThreadIndex::new(number)?)?))
    }

    /// The words of the cache that handed out a block in this state, if it may have a bias.
    pub(super) fn words_of(caches: &'a Caches, seen: State) -> Option<&'a Words<{ Class::COUNT }>> {
        Visitor::new(caches, None, 0).host(seen).map(|(_, host)| host.bias().words)
    }
}

impl Visits for Visitor<'_> {
    #[inline]
    fn during<R>(&self, seen: State, change: impl FnOnce() -> R) -> Option<R> {
        let Some((number, host)) = self.host(seen) else { return Some(change()) };
        match self.own {
            Some(own) => own.cache().visit.begin(number),
            None => self.caches.guests.begin(),
        }
        let may = host.bias().may_release(seen.class().place(), self.address as u64);
        let changed = may.then(change);
        match self.own {
            Some(own) => own.cache().visit.end(),
            None => self.caches.guests.end(),
        }
        changed
    }
}

impl OwnCache<'_> {
    /// Looks whether the owner takes the bias of a class now, and does.
    #[cold]
    #[inline(never)]
    pub fn look_slow(self, class: Class, caches: &Caches) {
        let (slot, handed_out) = (class.place(), self.popped(class));
        if self.owner().is_in_state() && caches.has_fences() && !self.cache().bias().words.is_refused() {
            if self.patience().look(slot, handed_out) {
                self.take_bias(class, caches);
            }
        } else {
            self.patience().give_up(slot);
        }
    }

    /// Takes the bias of a class, if nobody visits the owner.
    pub fn take_bias(self, class: Class, caches: &Caches) {
        let (slot, handed_out) = (class.place(), self.popped(class));
        let Some(number) = self.owner().cache() else { return };
        let is_visited = || caches.guests.is_any() || caches.iter().any(|(_, other)| other.visit.is_to(number));
        match self.cache().bias().restore(slot, is_visited) {
            Restored::Yes => self.patience().restored(slot, handed_out),
            Restored::Visited => self.patience().refused(slot, handed_out),
            Restored::Refused => self.patience().give_up(slot),
        }
    }
}

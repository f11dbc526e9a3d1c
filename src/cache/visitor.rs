//! Blocks of other caches: a thread that changes one visits its owner, which may be releasing it by a plain store. And
//! the owner's side of that: it takes a bias where nobody visits. `bias/` has the protocol.

use crate::raw::{Class, State, Visits};
use crate::thread::registry::ThreadIndex;

#[cfg(not(modelled))]
use super::bias::MAY_BE;
use super::bias::{Bias, Patience, Restored, Words};
use super::bin::BinIndex;
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

impl Cache {
    /// The bias of its owner.
    #[inline]
    pub(super) fn bias(&self) -> Bias<'_, { Class::COUNT }> {
        Bias { intent: &self.intent, words: &self.words }
    }

    /// Whether the model has biases, before others see the cache.
    #[cfg(modelled)]
    pub(super) fn begin_bias(&mut self, is_biased: bool) {
        self.is_biased = is_biased;
    }

    /// Is there a bias at all? In a program always: without a heavy fence no class gets one.
    #[inline]
    pub(super) fn has_bias(&self) -> bool {
        #[cfg(modelled)]
        return self.is_biased;
        #[cfg(not(modelled))]
        MAY_BE
    }

    /// How many classes are biased now, and the words of all. Statistics.
    pub fn biased(&self) -> (usize, &Words<{ Class::COUNT }>) {
        let is_biased = |class: &Class| self.has_bias() && self.words.is_biased(class.place());
        (self.sizes.classes().filter(is_biased).count(), &self.words)
    }
}

impl<'a> OwnCache<'a> {
    /// How many blocks of a class it handed out since the count moved out.
    pub(super) fn popped(self, class: Class) -> u64 {
        self.cache().tops.popped(BinIndex::of(class))
    }

    /// When it takes a bias.
    #[inline]
    pub(super) fn patience(self) -> &'a Patience<{ Class::COUNT }> {
        &self.own().patience
    }

    /// Looks whether the owner takes the bias of a class now, and does.
    #[cold]
    #[inline(never)]
    pub fn look_slow(self, class: Class, caches: &Caches) {
        let (place, handed_out) = (class.place(), self.popped(class));
        if self.owner().is_in_state() && caches.has_fences() && !self.cache().bias().words.is_refused() {
            if self.patience().look(place, handed_out) {
                self.take_bias(class, caches);
            }
        } else {
            self.patience().give_up(place);
        }
    }

    /// Takes the bias of a class, if nobody visits the owner.
    pub fn take_bias(self, class: Class, caches: &Caches) {
        let (place, handed_out) = (class.place(), self.popped(class));
        let Some(number) = self.owner().cache() else { return };
        let is_visited = || caches.guests.is_any() || caches.iter().any(|(_, other)| other.visit.is_to(number));
        match self.cache().bias().restore(place, is_visited) {
            Restored::Yes => self.patience().restored(place, handed_out),
            Restored::Visited => self.patience().refused(place, handed_out),
            Restored::Refused => self.patience().give_up(place),
        }
    }
}

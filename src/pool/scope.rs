//! The heaps in which an allocation looks: all of them, or one.

use crate::heaps::{Heap, View};
use crate::raw::{LastFailure, Order};
use crate::units::saturated;

/// Where an allocation looks.
pub(super) enum Scope<'a> {
    All(View<'a>),
    One(&'a Heap),
}

impl<'a> Scope<'a> {
    pub(super) fn heaps(&self) -> impl Iterator<Item = &'a Heap> + Clone {
        let (all, one) = match *self {
            Self::All(view) => (view, None),
            Self::One(heap) => (View::default(), Some(heap)),
        };
        all.by_age().chain(one)
    }

    /// What `take` takes from the first heap that has a block of `order` or a larger one in its stacks.
    pub(super) fn take_first<R>(&self, order: Order, mut take: impl FnMut(&'a Heap) -> Option<R>) -> Option<R> {
        match *self {
            Self::All(view) => view.take_first(order, |_| true, take),
            Self::One(heap) => Some(heap).filter(|heap| !heap.buddy().is_closed()).and_then(&mut take),
        }
    }

    /// The last failure of an allocation there. `None`: there never was a heap.
    pub(super) fn last_failure(&self) -> Option<&'a LastFailure> {
        match *self {
            Self::All(view) => view.last_failure(),
            Self::One(heap) => Some(heap.last_failure()),
        }
    }

    /// The order of the largest block that they can form.
    pub(super) fn largest(&self) -> Option<Order> {
        match *self {
            Self::All(view) => view.largest(),
            Self::One(heap) => Some(heap.buddy().geometry().max_order()),
        }
    }

    /// Bytes in blocks; `usize::MAX` if they are more.
    pub(super) fn capacity(&self) -> usize {
        match *self {
            Self::All(view) => view.capacity(),
            Self::One(heap) => saturated(heap.capacity()),
        }
    }
}

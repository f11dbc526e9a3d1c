//! The state word: two bytes a unit, the only truth about the owner of a block. `README.md` has all transitions.
//!
//! | bits | meaning |
//! |---|---|
//! | 0–7 | class of the block that begins here; of a `Free` one an order |
//! | 8–9 | kind: 0 `Inner`, 1 `Free`, 2 `Cached`, or `Tail` with an owner, 3 `Live` |
//! | 10 | `Listed`: this unit's node is in use |
//! | 11–15 | *owner* of a `Live` block: the cache that handed it out, 0 for none or a later one than the 31st |
//!
//! | kind | meaning | changed by |
//! |---|---|---|
//! | `Inner` | no block begins here, or one *in transit* does | only the thread that has it: publish, assign |
//! | `Free` | a block that any thread may take | any thread, by compare-exchange; the winner has the block |
//! | `Cached` | a block in a cache | the cache |
//! | `Live` | a block of the user's | any thread that releases or resizes it, by compare-exchange; or see below |
//! | `Tail` | a part, not the first one, of a `Live` or `Cached` block | the thread that has the block in transit |
//!
//! `Listed` tells whether the unit's *node* (its link) is in use: it stands in exactly one free stack, or the one
//! thread that took it off owns it. Only a publication or a release sets `Listed`, and only while that thread has the
//! block. Only the owner of the node clears it. `Free` implies `Listed`.
//!
//! Every change is a compare-exchange or a swap, because the owner of the node may clear `Listed` at any time. There
//! are two exceptions. A block that is `Cached`, or in transit with its node idle: only the thread that has it may
//! change it, by a plain store. And a `Live` block whose owner has a bias: its owner holds it by a plain store, as
//! `cache/bias/` has it.
//!
//! The owner of a block tells a release whose block it has, in the word that the release reads anyway. So a thread
//! knows the state of its own block beforehand, once it knows the class. Nobody but its owner hands a block out with
//! that owner.

use super::class::Class;
use super::order::Order;
use super::owner::Owner;
use crate::check::check;
use crate::sync::{AtomicU16, Ordering};

/// The class. Its lowest bits are the order.
const CLASS: u16 = 0x00ff;
pub(in crate::raw) const ORDER: u16 = 0x001f;
pub(in crate::raw) const KIND: u16 = 0x0300;
pub(in crate::raw) const KIND_SHIFT: u32 = KIND.trailing_zeros();
const LISTED: u16 = 0x0400;
const OWNER: u16 = 0xf800;
const OWNER_SHIFT: u32 = OWNER.trailing_zeros();

const _: () = assert!(CLASS | KIND | LISTED | OWNER == u16::MAX && CLASS & KIND == 0 && CLASS & ORDER == ORDER);
const _: () = assert!(LISTED & (CLASS | KIND) == 0 && OWNER & (CLASS | KIND | LISTED) == 0);
const _: () = assert!(Order::COUNT <= ORDER as usize + 1);
const _: () = assert!(Owner::MOST_IN_STATE as u16 == OWNER >> OWNER_SHIFT);

/// The kind of block that begins at a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No block begins here, or one that is in transit.
    Inner,
    /// A block that any thread may take.
    Free,
    /// A block in a cache.
    Cached,
    /// A block that the user has.
    Live,
    /// A further part of a block that is `Live` or `Cached`.
    Tail,
}

/// Where the node of a unit is that was just published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an idle node is to be pushed, else only scans find the block"]
pub enum Node {
    /// It was idle. The publisher owns it now, and pushes it.
    Idle,
    /// It stands in some stack, or a thread owns it, which will look at the state.
    Elsewhere,
}

/// The value of a state word, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(u16);

impl State {
    const fn with(kind: Kind, class: Class) -> Self {
        Self((kind as u16) << KIND_SHIFT | class.code() as u16)
    }

    /// A `Live` block of `class` without an owner, its node idle.
    #[inline]
    pub const fn live(class: Class) -> Self {
        Self::with(Kind::Live, class)
    }

    /// A `Live` block of one unit with this owner, as far as a state can tell, its node idle.
    #[inline]
    pub const fn live_from(owner: Owner) -> Self {
        Self(Self::live(Class::UNIT).0 | (owner.in_state() as u16) << OWNER_SHIFT)
    }

    /// This state with `class`. It has one unit before.
    #[inline]
    pub const fn of_class(self, class: Class) -> Self {
        Self(self.0 | class.code() as u16)
    }

    /// The state as a number, for [`from_bits`](Self::from_bits).
    #[inline]
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// The state with these [`bits`](Self::bits).
    #[inline]
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The class of this block, if it differs from `model`, a state of one unit, in the class only.
    #[inline]
    pub const fn class_if_like(self, model: Self) -> Option<Class> {
        let class = self.0 ^ model.0;
        if class <= CLASS { Some(Class::from_code(class as u8)) } else { None }
    }

    /// A `Cached` block of `class`, its node idle.
    #[inline]
    pub const fn cached(class: Class) -> Self {
        Self::with(Kind::Cached, class)
    }

    /// A part of `order` of a block that begins before it, its node idle.
    pub(super) const fn tail(order: Order) -> Self {
        Self(Self::with(Kind::Cached, Class::of(order)).0 | OWNER)
    }

    /// A block in transit begins here, its node idle.
    pub(super) const TRANSIT: Self = Self(0);

    /// A `Free` block of `order`, its node in use, as the rule has it.
    #[inline]
    pub const fn free(order: Order) -> Self {
        Self(Self::with(Kind::Free, Class::of(order)).0 | LISTED)
    }

    /// What begins here.
    #[inline]
    pub const fn kind(self) -> Kind {
        match (self.0 & KIND) >> KIND_SHIFT {
            0 => Kind::Inner,
            1 => Kind::Free,
            2 if self.0 & OWNER == 0 => Kind::Cached,
            2 => Kind::Tail,
            _ => Kind::Live,
        }
    }

    /// The class of the block that begins here; without meaning for `Inner`.
    #[inline]
    pub const fn class(self) -> Class {
        Class::from_code((self.0 & CLASS) as u8)
    }

    /// The order of that class.
    #[inline]
    pub const fn order(self) -> Order {
        match Order::new((self.0 & ORDER) as u32) {
            Some(order) => order,
            // No transition writes an order above the largest. Under loom there are fewer than the field could hold.
            None => Order::MAX,
        }
    }

    /// The size of the block that begins here: one unit where none does.
    pub const fn size(self) -> Class {
        match self.kind() {
            Kind::Inner => Class::UNIT,
            Kind::Free | Kind::Tail => Class::of(self.order()),
            Kind::Cached | Kind::Live => self.class(),
        }
    }

    /// How far it is from here to the next part in a scan: the order of the block, or one unit where none begins.
    pub(super) const fn extent(self) -> Order {
        if matches!(self.kind(), Kind::Inner) { Order::ZERO } else { self.order() }
    }

    /// Is this a `Free` block of exactly `order`?
    #[inline]
    pub fn is_free(self, order: Order) -> bool {
        self == Self::free(order)
    }

    /// Is the node of the unit in use?
    #[inline]
    pub const fn is_listed(self) -> bool {
        self.0 & LISTED != 0
    }

    /// The cache that handed this block out.
    #[inline]
    pub const fn owner(self) -> Owner {
        Owner::from_code((self.0 >> OWNER_SHIFT) as u8)
    }

    /// Of the unit where the lower buddy of a free block of `order` would begin: may the two be merged? Not if a block
    /// begins here that is not free, or is smaller.
    #[inline]
    pub(super) const fn may_have_an_upper_buddy(self, order: Order) -> bool {
        const FREE: u16 = (Kind::Free as u16) << KIND_SHIFT;
        let begins = self.0 & (KIND | ORDER);
        (begins < FREE) | (begins >= FREE | order.get() as u16) & (begins <= FREE | ORDER)
    }

    const fn keeping_node_of(self, other: Self) -> Self {
        Self(self.0 & !LISTED | other.0 & LISTED)
    }

    /// The state of a live block of another class, its node idle.
    pub(super) const fn resized(self, class: Class) -> Self {
        Self(self.0 & !(CLASS | LISTED) | class.code() as u16)
    }
}

/// The state word of one unit. All of its transitions are here. One that fails has changed nothing, and returns the
/// state that it found instead.
#[derive(Clone, Copy, Debug)]
pub struct StateWord<'a>(pub(crate) &'a AtomicU16);

impl StateWord<'_> {
    /// The state now.
    #[inline]
    pub fn read(self) -> State {
        // Acquire: pairs with the Release of every transition; a reader that sees a state sees what came before it,
        // above all the pushes that a scan must know of (`search`), and the heads of the halves of a split.
        State(self.0.load(Ordering::Acquire))
    }

    /// The state now, for a reader that looks at many and has a fence after that.
    #[inline]
    pub(super) fn glance(self) -> State {
        // Relaxed: an Acquire fence follows before the state is used. It pairs as the Acquire in `read`.
        State(self.0.load(Ordering::Relaxed))
    }

    /// In transit or `Cached` → `Free(order)`. The caller has the block.
    #[inline]
    pub fn publish(self, order: Order) -> Node {
        // Acquire: pairs with the Release in `unlist`; the publisher writes the link of the node after its last owner
        // has read it. Only the thread that has the block sets `Listed`. No model needs the Acquire: loom lets no load
        // see a later store.
        let seen = State(self.0.load(Ordering::Acquire));
        check!(matches!(seen.kind(), Kind::Inner | Kind::Cached), "only its owner publishes a block");
        let free = State::free(order);
        if !seen.is_listed() {
            // Release: pairs with the Acquire in `take`; makes what the last owner wrote to the block visible to the
            // next one. A plain store: no other thread writes here while `Listed` is clear.
            self.0.store(free.0, Ordering::Release);
            return Node::Idle;
        }
        // The owner of the node may clear `Listed` meanwhile.
        // AcqRel: as above, both. No model needs the Acquire: as above.
        let old = State(self.0.swap(free.0, Ordering::AcqRel));
        if old.is_listed() { Node::Elsewhere } else { Node::Idle }
    }

    /// `Free` → `to`, `Live` or `Cached`, by the owner of the node, which becomes idle. The winner has the block.
    #[inline]
    pub fn take_with_node(self, seen: State, to: State) -> Result<(), State> {
        self.change(seen, to)
    }

    /// `Free` → `Live(order)`, by a thread that found the block without its node, which stays where it is.
    #[inline]
    pub fn take(self, seen: State, order: Order) -> Result<(), State> {
        self.change(seen, State::live(Class::of(order)).keeping_node_of(seen))
    }

    /// Clears `Listed`: the node, which the caller owns, becomes idle. The rest of the state stays.
    #[inline]
    pub fn unlist(self, seen: State) -> Result<(), State> {
        check!(seen.is_listed() && seen.kind() != Kind::Free);
        self.change(seen, State(seen.0 & !LISTED))
    }

    /// `Live` → `Free`, of the same order: the release of a block in one step.
    #[inline]
    pub fn release(self, seen: State) -> Result<Node, State> {
        check!(seen.kind() == Kind::Live);
        self.change(seen, State::free(seen.order()))?;
        Ok(if seen.is_listed() { Node::Elsewhere } else { Node::Idle })
    }

    /// `Live` → `Cached`, both of `class`: a release into a cache. Only for a block whose node is idle, so that only
    /// the cache may change it from now on.
    #[inline]
    pub fn hold(self, seen: State, class: Class) -> Result<(), State> {
        check!(seen.kind() == Kind::Live && !seen.is_listed() && seen.class() == class);
        self.change(seen, State::cached(class))
    }

    /// The same by the cache that handed the block out, which has a bias: no other thread changes the state, should it
    /// still be the one that the cache read.
    #[inline]
    pub fn hold_by_store(self, class: Class) {
        // Release: pairs with the Acquire in `read` and in `change`; a thread that sees the block cached sees what came
        // before. No model needs the Release: the cache hands the block out, or flushes it, by another one.
        self.0.store(State::cached(class).0, Ordering::Release);
    }

    /// `Cached` → `live`, by the cache that has it, its node idle.
    #[inline]
    pub fn hand_out(self, live: State) {
        // Release: pairs with the Acquire in `read` and in `change`; a thread that sees the block live sees what came
        // before it. A plain store: no other thread writes here while the block is `Cached` and its node idle.
        self.0.store(live.0, Ordering::Release);
    }

    /// `Live`, `Cached` or `Tail` → `Inner`, by the thread that has the block, which has it in transit then. Its node
    /// stays where it is.
    pub fn withdraw(self) {
        // Release: pairs with the Acquire in `read`; a thread that sees the block gone sees what came before. No model
        // needs the Release: the caller publishes the block with one before any other thread can have it.
        // Not a store: the owner of the node may clear `Listed` meanwhile.
        let old = State(self.0.fetch_and(LISTED, Ordering::Release));
        check!(matches!(old.kind(), Kind::Live | Kind::Cached | Kind::Tail));
    }

    /// `Live` → `Inner`, by any thread. The winner has the block in transit. Its node stays where it is.
    pub fn take_back(self, seen: State) -> Result<(), State> {
        check!(seen.kind() == Kind::Live);
        self.change(seen, State(seen.0 & LISTED))
    }

    /// `Free(order)` → `Inner`: the caller has the block in transit. Its node stays where it is.
    #[inline]
    pub fn absorb(self, order: Order) -> Result<(), State> {
        self.change(State::free(order), State(LISTED))
    }

    /// The same by the owner of the node, which becomes idle.
    #[inline]
    pub fn absorb_with_node(self, order: Order) -> Result<(), State> {
        self.change(State::free(order), State(0))
    }

    /// The lower half of a pair, `Free(order)` → `Free(up)`, by the thread that has the upper half.
    #[inline]
    pub fn raise(self, order: Order, up: Order) -> Result<(), State> {
        self.change(State::free(order), State::free(up))
    }

    /// `Free(order)` → `Free(down)`: the caller has the upper half in transit. The lower one stays free.
    #[inline]
    pub fn lower(self, order: Order, down: Order) -> Result<(), State> {
        self.change(State::free(order), State::free(down))
    }

    /// The lower half of a pair, `Free(order)` → `Live(up)`, by the thread that has the upper half.
    #[inline]
    pub fn raise_and_take(self, order: Order, up: Order) -> Result<(), State> {
        self.change(State::free(order), State(State::live(Class::of(up)).0 | LISTED))
    }

    /// `Live` → `Live(class)`: grow or shrink in place. A racing release has the old block or the new one.
    #[inline]
    pub fn resize(self, seen: State, class: Class) -> Result<(), State> {
        check!(seen.kind() == Kind::Live);
        self.change(seen, seen.resized(class).keeping_node_of(seen))
    }

    /// In transit → `to`, `Live`, `Cached` or `Tail`. The caller has the block, as a part of one that it took. Tells
    /// whether its node is idle.
    #[inline]
    pub fn assign(self, to: State) -> Node {
        // Relaxed: only this thread could set `Listed`, so where it is seen clear it is clear. A stale one costs an
        // exchange.
        let seen = State(self.0.load(Ordering::Relaxed));
        check!(seen.kind() == Kind::Inner);
        if seen.is_listed() {
            // Not a store: the owner of the node may clear `Listed` meanwhile.
            // Release: pairs with the Acquire in `read`; a thread that sees the part sees the whole gone.
            // No model needs the Release: a scan goes upwards, and has seen the whole cut before it looks at a part.
            self.0.fetch_or(to.0, Ordering::Release);
            Node::Elsewhere
        } else {
            // Release: as above. No model needs the Release: as above.
            // A plain store: no other thread writes here while `Listed` is clear.
            self.0.store(to.0, Ordering::Release);
            Node::Idle
        }
    }

    #[inline]
    fn change(self, seen: State, new: State) -> Result<(), State> {
        // AcqRel: the Acquire pairs with the Release of the transition that made `seen`; the new owner sees what the
        // last one wrote to the block. The Release pairs with the Acquire in `read` and in here; the next owner sees
        // what this one wrote, a scan that sees the change sees what its maker pushed before (`search`), and after
        // `unlist` the next publisher is ordered behind the last owner of the node.
        // Acquire on failure: the caller acts on the state that it sees instead, as on one that it read. No model needs
        // the Acquire on failure: the exchange that succeeds afterwards acquires, too.
        match self.0.compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(now) => Err(State(now)),
        }
    }
}

#[cfg(test)]
mod tests;

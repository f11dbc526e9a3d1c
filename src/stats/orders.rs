//! How many blocks of each order there are.

use core::ops::{Index, IndexMut};

use crate::raw::Order;

/// How many blocks of one size there are.
///
/// # Examples
///
/// ```
/// let pool = mempool::MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// assert!(!pool.hl_alloc(1024).is_null());
/// for order in pool.stats().orders() {
///     println!("{} blocks of {} bytes are live", order.live, order.block_size);
/// }
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct OrderStats {
    /// The order: each of these blocks has 2^order smallest blocks, or more, but not twice as many.
    pub order: u32,
    /// The size of each of these blocks in bytes; of the smallest, where [sizes](crate::Sizes) lie between the orders.
    pub block_size: usize,
    /// Blocks that are free.
    pub free: usize,
    /// Blocks in caches.
    pub cached: usize,
    /// Blocks with the user.
    pub live: usize,
}

impl OrderStats {
    pub(super) fn has_blocks(&self) -> bool {
        (self.free, self.cached, self.live) != (0, 0, 0)
    }
}

/// The counts of all orders. Those without blocks count for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Orders(pub(super) [OrderStats; Order::COUNT]);

impl Orders {
    pub(super) fn with_blocks(&self) -> impl Iterator<Item = &OrderStats> {
        self.0.iter().filter(|order| order.has_blocks())
    }
}

impl Index<Order> for Orders {
    type Output = OrderStats;

    fn index(&self, order: Order) -> &OrderStats {
        &self.0[order.place()]
    }
}

impl IndexMut<Order> for Orders {
    fn index_mut(&mut self, order: Order) -> &mut OrderStats {
        &mut self.0[order.place()]
    }
}

impl PartialEq for Orders {
    fn eq(&self, other: &Self) -> bool {
        self.with_blocks().eq(other.with_blocks())
    }
}

impl Eq for Orders {}

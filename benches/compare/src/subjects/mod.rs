//! The subjects: what can be compared, behind one trait.

mod calls;
pub mod general;
mod limit;
mod pool;
pub mod regions;

use calls::Calls;
use limit::{CheckedLimit, Limit};
use pool::Pool;
#[cfg(test)]
pub use regions::region;

use crate::measure::{self, Plan};
use crate::subject::Subject;
use crate::workloads::{Inputs, Kind};

/// A subject whose type is forgotten.
pub trait Measured: Subject {
    /// Does one round of a workload; nanoseconds of one thread for an allocation with its release.
    fn round(&self, kind: Kind, plan: &Plan, inputs: &Inputs) -> f64;
}

impl<S: Subject> Measured for S {
    fn round(&self, kind: Kind, plan: &Plan, inputs: &Inputs) -> f64 {
        measure::round_of(kind, self, plan, inputs)
    }
}

/// The mark of a subject in plots. Colour alone does not tell subjects apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Circle,
    Square,
    Diamond,
    /// With a corner above.
    Up,
    /// With a corner below.
    Down,
    Cross,
}

/// A subject that was not made yet.
#[derive(Debug)]
pub struct Entry {
    /// In options and in JSON.
    pub key: &'static str,
    /// In tables and plots.
    pub label: &'static str,
    /// The crate that it is in, if it is in one.
    pub package: Option<&'static str>,
    /// Is it measured unless others are asked for?
    pub is_main: bool,
    /// In plots.
    pub colour: (u8, u8, u8),
    /// In plots.
    pub shape: Shape,
    make: fn() -> Box<dyn Measured>,
}

impl Entry {
    /// Is it the crate that all of this is about?
    pub fn is_ours(&self) -> bool {
        self.package == Some("heapmaster")
    }

    /// Makes it, with its region if it needs one.
    pub fn make(&self) -> Box<dyn Measured> {
        (self.make)()
    }
}

/// Bytes of the region of each subject that needs one.
pub const REGION: usize = 1 << 30;

/// What can be compared in this build.
pub const ALL: &[Entry] = &[
    Entry {
        key: "heapmaster",
        label: "heapmaster",
        package: Some("heapmaster"),
        is_main: true,
        colour: (213, 94, 0),
        shape: Shape::Circle,
        make: || Box::new(Pool::cached(REGION)),
    },
    Entry {
        key: "heapmaster-no-cache",
        label: "heapmaster, no cache",
        package: Some("heapmaster"),
        is_main: false,
        colour: (240, 160, 120),
        shape: Shape::Circle,
        make: || Box::new(Pool::without_cache(REGION)),
    },
    Entry {
        key: "heapmaster-no-bias",
        label: "heapmaster, no bias",
        package: Some("heapmaster"),
        is_main: false,
        colour: (180, 60, 60),
        shape: Shape::Circle,
        make: || Box::new(Pool::without_bias(REGION)),
    },
    Entry {
        key: "pool-allocator",
        label: "PoolAllocator",
        package: Some("heapmaster"),
        is_main: true,
        colour: (0, 114, 178),
        shape: Shape::Square,
        make: || Box::new(general::Global(&general::POOL)),
    },
    Entry {
        key: "mimalloc",
        label: "mimalloc",
        package: Some("mimalloc"),
        is_main: true,
        colour: (34, 34, 34),
        shape: Shape::Diamond,
        make: || Box::new(general::Global(&general::MIMALLOC)),
    },
    #[cfg(feature = "peers")]
    Entry {
        key: "jemalloc",
        label: "jemalloc",
        package: Some("tikv-jemallocator"),
        is_main: true,
        colour: (0, 158, 115),
        shape: Shape::Up,
        make: || Box::new(general::Global(&general::JEMALLOC)),
    },
    #[cfg(feature = "snmalloc")]
    Entry {
        key: "snmalloc",
        label: "snmalloc",
        package: Some("snmalloc-rs"),
        is_main: true,
        colour: (214, 140, 0),
        shape: Shape::Down,
        make: || Box::new(general::Global(&general::SNMALLOC)),
    },
    #[cfg(feature = "peers")]
    Entry {
        key: "rpmalloc",
        label: "rpmalloc",
        package: Some("rpmalloc"),
        is_main: false,
        colour: (204, 121, 167),
        shape: Shape::Diamond,
        make: || Box::new(general::Global(&general::RPMALLOC)),
    },
    Entry {
        key: "system",
        label: "system",
        package: None,
        is_main: true,
        colour: (120, 120, 120),
        shape: Shape::Cross,
        make: || Box::new(general::Global(&general::SYSTEM)),
    },
    Entry {
        key: "talc",
        label: "talc, spin lock",
        package: Some("talc"),
        is_main: false,
        colour: (86, 180, 233),
        shape: Shape::Up,
        make: || Box::new(regions::talc(REGION)),
    },
    Entry {
        key: "rlsf",
        label: "rlsf, mutex",
        package: Some("rlsf"),
        is_main: false,
        colour: (140, 86, 75),
        shape: Shape::Square,
        make: || Box::new(regions::Rlsf::new(REGION)),
    },
    Entry {
        key: "buddy_system_allocator",
        label: "buddy_system_allocator",
        package: Some("buddy_system_allocator"),
        is_main: false,
        colour: (150, 90, 160),
        shape: Shape::Down,
        make: || Box::new(regions::locked_buddy(REGION)),
    },
    Entry {
        key: "frame-alloc",
        label: "frame-alloc",
        package: Some("frame-alloc"),
        is_main: false,
        colour: (120, 140, 30),
        shape: Shape::Cross,
        make: || Box::new(regions::Frames::new(REGION)),
    },
    Entry {
        key: "limit",
        label: "(limit)",
        package: None,
        is_main: true,
        colour: (160, 130, 170),
        shape: Shape::Circle,
        make: || Box::new(Limit::new()),
    },
    Entry {
        key: "limit-checked",
        label: "(limit, checked)",
        package: None,
        is_main: false,
        colour: (160, 130, 170),
        shape: Shape::Square,
        make: || Box::new(CheckedLimit::new()),
    },
];

/// What can be called as C calls it.
pub const C_CALLS: &[Entry] = &[
    Entry {
        key: "pool-allocator",
        label: "PoolAllocator",
        package: Some("heapmaster"),
        is_main: true,
        colour: (0, 114, 178),
        shape: Shape::Square,
        make: || Box::new(Calls::pool_allocator()),
    },
    Entry {
        key: "mimalloc",
        label: "mimalloc",
        package: Some("mimalloc"),
        is_main: true,
        colour: (34, 34, 34),
        shape: Shape::Diamond,
        make: || Box::new(Calls::mimalloc()),
    },
    Entry {
        key: "system",
        label: "system",
        package: None,
        is_main: true,
        colour: (120, 120, 120),
        shape: Shape::Cross,
        make: || Box::new(Calls::system()),
    },
];

//! The subjects: what can be compared, behind one trait.

pub mod general;
mod limit;
mod pool;
pub mod regions;

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

/// A subject that was not made yet.
#[derive(Debug)]
pub struct Entry {
    /// In options and in JSON.
    pub key: &'static str,
    /// In tables and plots.
    pub label: &'static str,
    /// The crate that it is in, if it is in one.
    pub package: Option<&'static str>,
    /// In plots.
    pub colour: (u8, u8, u8),
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
        colour: (214, 39, 40),
        make: || Box::new(Pool::cached(REGION)),
    },
    Entry {
        key: "heapmaster-no-cache",
        label: "heapmaster, no cache",
        package: Some("heapmaster"),
        colour: (245, 150, 130),
        make: || Box::new(Pool::without_cache(REGION)),
    },
    Entry {
        key: "pool-allocator",
        label: "PoolAllocator",
        package: Some("heapmaster"),
        colour: (178, 24, 90),
        make: || Box::new(general::Global(&general::POOL)),
    },
    Entry {
        key: "mimalloc",
        label: "mimalloc",
        package: Some("mimalloc"),
        colour: (31, 119, 180),
        make: || Box::new(general::Global(&general::MIMALLOC)),
    },
    Entry {
        key: "jemalloc",
        label: "jemalloc",
        package: Some("tikv-jemallocator"),
        colour: (44, 160, 44),
        make: || Box::new(general::Global(&general::JEMALLOC)),
    },
    #[cfg(feature = "snmalloc")]
    Entry {
        key: "snmalloc",
        label: "snmalloc",
        package: Some("snmalloc-rs"),
        colour: (227, 168, 0),
        make: || Box::new(general::Global(&general::SNMALLOC)),
    },
    Entry {
        key: "rpmalloc",
        label: "rpmalloc",
        package: Some("rpmalloc"),
        colour: (148, 103, 189),
        make: || Box::new(general::Global(&general::RPMALLOC)),
    },
    Entry {
        key: "system",
        label: "system",
        package: None,
        colour: (127, 127, 127),
        make: || Box::new(general::Global(&general::SYSTEM)),
    },
    Entry {
        key: "talc",
        label: "talc, spin lock",
        package: Some("talc"),
        colour: (23, 175, 190),
        make: || Box::new(regions::talc(REGION)),
    },
    Entry {
        key: "rlsf",
        label: "rlsf, mutex",
        package: Some("rlsf"),
        colour: (140, 86, 75),
        make: || Box::new(regions::Rlsf::new(REGION)),
    },
    Entry {
        key: "buddy_system_allocator",
        label: "buddy_system_allocator",
        package: Some("buddy_system_allocator"),
        colour: (227, 119, 194),
        make: || Box::new(regions::locked_buddy(REGION)),
    },
    Entry {
        key: "frame-alloc",
        label: "frame-alloc",
        package: Some("frame-alloc"),
        colour: (120, 140, 30),
        make: || Box::new(regions::Frames::new(REGION)),
    },
    Entry {
        key: "limit",
        label: "(limit)",
        package: None,
        colour: (190, 190, 190),
        make: || Box::new(Limit::new(REGION)),
    },
    Entry {
        key: "limit-checked",
        label: "(limit, checked)",
        package: None,
        colour: (205, 175, 170),
        make: || Box::new(CheckedLimit::new(REGION)),
    },
];

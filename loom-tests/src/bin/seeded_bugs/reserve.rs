//! Bugs in reservations.

use super::bug::Bug;

const RESERVE: &str = "raw/reserve.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "reserve: takes what is not free",
        source: RESERVE,
        find: "        self.take_units(&units, shard)?;\n        // Its",
        replace: "        _ = self.take_units(&units, shard);\n        // Its",
        models: &[
            "reserve::reserve_alloc",
            "reserve::reserve_release",
            "reserve::reserve_reserve",
            "reserve::reserve_sweep",
        ],
    },
    Bug {
        name: "reserve: a block that begins before the units is not halved",
        source: RESERVE,
        find: "head < first || seen.order()",
        replace: "head < first && seen.order()",
        models: &["reserve::reserve_row"],
    },
    Bug {
        name: "reserve: what the last block has too much is lost",
        source: RESERVE,
        find: "                self.publish_range(units.end..taken, shard);\n",
        replace: "                let _ = taken;\n",
        models: &["reserve::reserve_row"],
    },
];

//! Bugs in blocks of several parts.

use super::bug::Bug;

const NEAR: &str = "raw/near.rs";
const PARTS: &str = "raw/parts.rs";
const SEARCH: &str = "raw/search.rs";
const STATE: &str = "raw/state.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "parts: a taken block has no tail",
        source: PARTS,
        find: "        for (part, order) in to.class().tails(block) {",
        replace: "        for (part, order) in to.class().tails(block).skip(1) {",
        models: &["parts::take_sweep"],
    },
    Bug {
        name: "parts: the first part becomes live first",
        source: PARTS,
        find: "        for (part, order) in to.class().tails(block) {",
        replace: "        let node = self.states.at(block).assign(to);\n        if node == node {\n            to.class().tails(block).for_each(|(part, order)| _ = self.states.at(part).assign(State::tail(order)));\n            return node;\n        }\n        for (part, order) in to.class().tails(block) {",
        models: &["parts::take_release"],
    },
    Bug {
        name: "parts: what a block does not need is forgotten",
        source: PARTS,
        find: "        self.publish_range(block.get() + want.units()..block.after(1, from).get(), shard);\n",
        replace: "        let _ = from;\n",
        models: &["parts::take_sweep"],
    },
    Bug {
        name: "parts: the tail of a released block stays",
        source: PARTS,
        find: "        self.withdraw_tails(block, class);\n        self.publish_range_merged(",
        replace: "        self.publish_range_merged(",
        models: &["parts::release_sweep"],
    },
    Bug {
        name: "parts: a release as a store",
        source: STATE,
        find: "self.change(seen, State(seen.0 & LISTED))",
        replace: "Ok(self.0.store(seen.0 & LISTED, Ordering::Release))",
        models: &["parts::release_release_parts"],
    },
    Bug {
        name: "parts: a refill keeps a block whose node is in use",
        source: PARTS,
        find: "== Node::Elsewhere && to == State::cached(class) {",
        replace: "== Node::Elsewhere && to != State::cached(class) {",
        models: &["parts::carve_parts_pop_stale"],
    },
    Bug {
        name: "rows: a search looks for none",
        source: SEARCH,
        find: "        if !want.is_order() {\n            // Blocks that",
        replace: "        if want.is_order() {\n            // Blocks that",
        models: &["parts::row"],
    },
    Bug {
        name: "rows: one near a node is taken unseen",
        source: NEAR,
        find: "self.take_row(first, block, begin + units, shard).then_some(block)",
        replace: "let _ = self.take_row(first, block, begin + units, shard);\n        Some(block)",
        models: &["parts::near_alloc"],
    },
];

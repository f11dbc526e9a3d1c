//! Bugs in spans of pages, and in how a heap of pages grows.

use super::bug::Bug;

const STATE: &str = "raw/state.rs";
const ROWS: &str = "raw/rows.rs";
const SPANS: &str = "raw/spans.rs";
const PAGES: &str = "raw/slabs/spans.rs";
const WITHHELD: &str = "raw/withheld.rs";
const TIDY: &str = "raw/slabs/tidy.rs";
const SPARES: &str = "raw/slabs/spares.rs";
const RESIDENT: &str = "raw/slabs/resident.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a block is withdrawn by a store",
        source: STATE,
        find: "let old = State(self.0.fetch_and(LISTED, Ordering::Release));",
        replace: "let old = self.read();\n        self.0.store(old.0 & LISTED, Ordering::Release);",
        models: &["parts::tail_pop_stale", "spans::release_pop_stale"],
    },
    Bug {
        name: "a block is withdrawn, and its node forgotten",
        source: STATE,
        find: "self.0.fetch_and(LISTED, Ordering::Release)",
        replace: "self.0.fetch_and(0, Ordering::Release)",
        models: &["spans::release_pop_stale"],
    },
    Bug {
        name: "a block is not withdrawn before it is merged",
        source: SPANS,
        find: "        self.states.at(block).withdraw();\n        while",
        replace: "        while",
        models: &["spans::release_alloc_lower"],
    },
    Bug {
        name: "a release merges without a look at the exchange",
        source: SPANS,
        find: "|| word.absorb(size).is_err()",
        replace: "|| word.absorb(size).is_err() && size.get() > 7",
        models: &["spans::release_alloc_lower", "spans::release_alloc_upper"],
    },
    Bug {
        name: "a release publishes what it has merged as the upper half",
        source: SPANS,
        find: "(head, size) = (head.min(buddy), up);",
        replace: "(head, size) = (head.max(buddy), up);",
        models: &["spans::release_release"],
    },
    Bug {
        name: "a release forgets what it has absorbed",
        source: SPANS,
        find: "        self.publish(head, size, shard);\n    }\n\n    /// Publishes",
        replace: "        self.publish(block, order, shard);\n        _ = head;\n    }\n\n    /// Publishes",
        models: &["spans::release_release"],
    },
    Bug {
        name: "the rest of a block that was cut is lost",
        source: SPANS,
        find: "        self.publish_range(block.get() + units..block.after(1, order).get(), shard);\n",
        replace: "",
        models: &["spans::cut_alloc"],
    },
    Bug {
        name: "a block that is cut disregards that its node was taken off",
        source: SPANS,
        find: "while let Err(now) = word.resize(seen, size.into()) {",
        replace: "if let Err(now) = word.resize(seen, size.into()) {",
        models: &["spans::shrink_pop_stale"],
    },
    Bug {
        name: "a span behind another one keeps what is too much",
        source: ROWS,
        find: "self.publish_range(end..taken, shard);\n                    return",
        replace: "return",
        models: &["spans::at_alloc"],
    },
    Bug {
        name: "a span from several blocks keeps what is too much",
        source: ROWS,
        find: "                    self.publish_range(end..taken, shard);\n",
        replace: "                    let _ = taken;\n",
        models: &["spans::slow_alloc"],
    },
    Bug {
        name: "a span that can't grow keeps what it has absorbed",
        source: ROWS,
        find: "                self.publish_range(start..at, shard);\n",
        replace: "",
        models: &["spans::grow_alloc"],
    },
    Bug {
        name: "a span that grows keeps what is too much",
        source: SPANS,
        find: "        self.publish_range(end..taken, shard);\n        for (part, _)",
        replace: "        for (part, _)",
        models: &["spans::grow_by_a_part"],
    },
    Bug {
        name: "who visits a free block does not take it",
        source: SPANS,
        find: " && self.states.at(block).absorb(size).is_ok()",
        replace: "",
        models: &["spans::visit_alloc"],
    },
    Bug {
        name: "a span is released before the map says that it is dirty",
        source: PAGES,
        find: "        self.mark_free(head, pages);\n        if !self.keep_spare(head, pages) {\n            self.release_marked(head, pages);\n        }\n",
        replace: "        if !self.keep_spare(head, pages) {\n            self.release_marked(head, pages);\n        }\n        self.mark_free(head, pages);\n",
        models: &["spans::release_alloc_upper", "spans::fresh"],
    },
    Bug {
        name: "a heap grows by a store",
        source: PAGES,
        find: "match self.grown.compare_exchange_weak(grown, end, Ordering::Relaxed, Ordering::Relaxed) {",
        replace: "match Ok::<u32, u32>(self.grown.swap(end, Ordering::Relaxed)) {",
        models: &["spans::grow_grow"],
    },
    Bug {
        name: "what a heap has grown by is published more than once",
        source: PAGES,
        find: "self.buddy.extend(grown..end, thread::shard());",
        replace: "self.buddy.extend(0..end, thread::shard());",
        models: &["spans::grow_grow"],
    },
    Bug {
        name: "dirty pages are not looked at",
        source: PAGES,
        find: "Some((head, clean == pages))",
        replace: "Some((head, clean <= pages))",
        models: &["spans::fresh"],
    },
    Bug {
        name: "an allocation does not look whether pages were withheld meanwhile",
        source: TIDY,
        find: "(before.is_some() && before == self.withheld.seen())",
        replace: "before.is_some()",
        models: &["spans::discard_alloc"],
    },
    Bug {
        name: "pages are withheld by a thread that says that it withholds none",
        source: WITHHELD,
        find: "let result = work();\n        // Release: pairs with the Acquire in `both`; a thread that sees it finds the memory that was withheld.\n        self.ended.fetch_add(1, Ordering::Release);",
        replace: "self.ended.fetch_add(1, Ordering::Release);\n        let result = work();",
        models: &["spans::discard_alloc", "spans::sweep_alloc"],
    },
    Bug {
        name: "pages are withheld without a Release fence",
        source: WITHHELD,
        find: "fence(Ordering::Release);",
        replace: "",
        models: &["spans::sweep_alloc"],
    },
    Bug {
        name: "whether pages are withheld is read without an Acquire fence",
        source: WITHHELD,
        find: "        fence(Ordering::Acquire);\n",
        replace: "",
        models: &["spans::sweep_alloc"],
    },
    Bug {
        name: "a sweep does not count as withholding pages",
        source: TIDY,
        find: "self.withholding(|| {\n            let grown = self.grown();",
        replace: "Some(()).map_or((), |()| {\n            let grown = self.grown();",
        models: &["spans::sweep_alloc"],
    },
    Bug {
        name: "pages are no longer withheld, Relaxed",
        source: WITHHELD,
        find: "self.ended.fetch_add(1, Ordering::Release);",
        replace: "self.ended.fetch_add(1, Ordering::Relaxed);",
        models: &["spans::discard_alloc"],
    },
    Bug {
        name: "whether pages are no longer withheld is read Relaxed",
        source: WITHHELD,
        find: "let ended = self.ended.load(Ordering::Acquire);",
        replace: "let ended = self.ended.load(Ordering::Relaxed);",
        models: &["spans::discard_alloc"],
    },
    Bug {
        name: "the limit is looked at before the exchange",
        source: RESIDENT,
        find: ".compare_exchange_weak(out, sum, Ordering::Relaxed, Ordering::Relaxed)",
        replace: ".compare_exchange_weak(read(&self.out), read(&self.out) + pages, Ordering::Relaxed, Ordering::Relaxed)",
        models: &["spans::limit_limit"],
    },
    Bug {
        name: "a span that the limit refuses is lost",
        source: PAGES,
        find: "            self.buddy.release_span(BlockIndex::new(head), pages, thread::shard());\n            return None;",
        replace: "            return None;",
        models: &["spans::limit_limit"],
    },
    Bug {
        name: "a span becomes longer than the limit allows",
        source: PAGES,
        find: "self.count_out(head + from, pages - from).is_none()",
        replace: "self.count_out(head + from, pages - from).is_none() && pages == 0",
        models: &["spans::limit_resize"],
    },
    Bug {
        name: "a spare is taken without an exchange",
        source: SPARES,
        find: "place.compare_exchange(word, 0, Ordering::Acquire, Ordering::Relaxed).is_ok().then_some(found)",
        replace: "place.swap(0, Ordering::Acquire);\n        Some(found)",
        models: &["spares::take_take_put"],
    },
    Bug {
        name: "a spare is taken Relaxed",
        source: SPARES,
        find: "place.compare_exchange(word, 0, Ordering::Acquire,",
        replace: "place.compare_exchange(word, 0, Ordering::Relaxed,",
        models: &["spares::take_take_put"],
    },
    Bug {
        name: "a spare is put Relaxed",
        source: SPARES,
        find: "compare_exchange(0, word, Ordering::Release,",
        replace: "compare_exchange(0, word, Ordering::Relaxed,",
        models: &["spares::take_take_put"],
    },
    Bug {
        name: "a spare is put over another one",
        source: SPARES,
        find: "self.shards[shard.number()].compare_exchange(0, word, Ordering::Release, Ordering::Relaxed).is_ok()",
        replace: "self.shards[shard.number()].store(word, Ordering::Release);\n        true",
        models: &["spares::take_take_put"],
    },
];

//! Bugs in the caches of threads: who has one, requests to its owner, depots, blocks that are held.

use crate::bug::Bug;

const BATCH: &str = "raw/batch.rs";
const STATE: &str = "raw/state.rs";
const DEPOT: &str = "cache/depot.rs";
const CACHES: &str = "cache/caches.rs";
const FLUSH: &str = "cache/flush.rs";
const HOMES: &str = "cache/homes.rs";
const REFILL: &str = "cache/refill.rs";
const INDICES: &str = "cache/indices.rs";
const CACHE: &str = "cache/cache.rs";
const USER: &str = "cache/user.rs";
const WINDOW: &str = "cache/window.rs";

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a number: taken without a compare-exchange",
        source: INDICES,
        find: "match taken.compare_exchange_weak(seen, seen | 1 << bit, Ordering::Acquire, Ordering::Relaxed) {",
        replace: "match Ok::<u64, u64>(taken.fetch_or(1 << bit, Ordering::Acquire)) {",
        models: &["cache::claim_claim"],
    },
    Bug {
        name: "a number: taken without Acquire",
        source: INDICES,
        find: "seen | 1 << bit, Ordering::Acquire, Ordering::Relaxed)",
        replace: "seen | 1 << bit, Ordering::Relaxed, Ordering::Relaxed)",
        models: &["cache::adopt"],
    },
    Bug {
        name: "a number: given back without Release",
        source: INDICES,
        find: "fetch_and(!index.bit(), Ordering::Release)",
        replace: "fetch_and(!index.bit(), Ordering::Relaxed)",
        models: &["cache::adopt"],
    },
    Bug {
        name: "a term is over: without Release",
        source: INDICES,
        find: "store(self.term(index).0, Ordering::Release)",
        replace: "store(self.term(index).0, Ordering::Relaxed)",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "a term is over: seen without Acquire",
        source: INDICES,
        find: "load(Ordering::Acquire) >= term.0",
        replace: "load(Ordering::Relaxed) >= term.0",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "a drain of a cache whose user is there",
        source: USER,
        find: "is_over(term) && drained().is_ok()",
        replace: "(is_over(term) || true) && drained().is_ok()",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "a drain does not become the user",
        source: USER,
        find: "is_over(term) && drained().is_ok()",
        replace: "is_over(term) && (true || drained().is_ok())",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "a drain ends without Release",
        source: USER,
        find: "self.0.store(NOBODY, Ordering::Release);",
        replace: "self.0.store(NOBODY, Ordering::Relaxed);",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "the user enters without Acquire",
        source: USER,
        find: "compare_exchange(seen, term.get(), Ordering::Acquire, Ordering::Relaxed)",
        replace: "compare_exchange(seen, term.get(), Ordering::Relaxed, Ordering::Relaxed)",
        models: &["cache::adopt_drain"],
    },
    Bug {
        name: "the table of caches: a store for the compare-exchange",
        source: CACHES,
        find: "segment.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Relaxed);",
        replace: "Ok::<(), ()>(segment.store(new.as_ptr(), Ordering::Release));",
        models: &["cache::claim_claim"],
    },
    Bug {
        name: "a cache is published without Release",
        source: CACHES,
        find: "store(cache.into_raw().as_ptr(), Ordering::Release);",
        replace: "store(cache.into_raw().as_ptr(), Ordering::Relaxed);",
        models: &["cache::new_cache_seen"],
    },
    Bug {
        name: "a cache is found without Acquire",
        source: CACHES,
        find: "let cache = self.place(index)?.0.load(Ordering::Acquire);",
        replace: "let cache = self.place(index)?.0.load(Ordering::Relaxed);",
        models: &["cache::new_cache_seen"],
    },
    Bug {
        name: "the table of caches: a segment is found without Acquire",
        source: CACHES,
        find: "let segment = unsafe { segment.load(Ordering::Acquire).as_ref() }?;",
        replace: "let segment = unsafe { segment.load(Ordering::Relaxed).as_ref() }?;",
        models: &["cache::claim_claim"],
    },
    Bug {
        name: "the table of caches: a segment is published without Release",
        source: CACHES,
        find: "new.as_ptr(), Ordering::Release, Ordering::Relaxed)",
        replace: "new.as_ptr(), Ordering::Relaxed, Ordering::Relaxed)",
        models: &["cache::claim_claim"],
    },
    Bug {
        name: "a request does not close the window",
        source: CACHE,
        find: "self.window.close();",
        replace: "",
        models: &["cache::request_show"],
    },
    Bug {
        name: "a request: without the fence",
        source: WINDOW,
        find: "fence(Ordering::SeqCst);\n        // Relaxed: ordered by the fence.\n        self.units",
        replace: "self.units",
        models: &["cache::request_show"],
    },
    Bug {
        name: "the owner does not look for a request when it opens the window",
        source: WINDOW,
        find: "if self.cache().is_asked() {\n            // Relaxed: as in `inside`.",
        replace: "if false {",
        models: &["cache::request_show"],
    },
    Bug {
        name: "the owner opens the window without the fence",
        source: WINDOW,
        find: "fence(Ordering::SeqCst);\n        if self.cache().is_asked() {",
        replace: "if self.cache().is_asked() {",
        models: &["cache::request_show"],
    },
    Bug {
        name: "a depot: a place is made busy without Acquire",
        source: DEPOT,
        find: "                Ordering::Acquire,\n",
        replace: "                Ordering::Relaxed,\n",
        models: &["held::depot_put_take"],
    },
    Bug {
        name: "a depot: a place is made busy without a compare-exchange",
        source: DEPOT,
        find: "match self.word.compare_exchange_weak(\n                seen,\n                seen | in_place(BUSY, place),\n                Ordering::Acquire,\n                Ordering::Relaxed,\n            ) {",
        replace: "match Ok::<u64, u64>(self.word.fetch_or(in_place(BUSY, place), Ordering::Acquire)) {",
        models: &["held::depot_put_put", "held::depot_take_drain"],
    },
    Bug {
        name: "a depot: a place is filled without Release",
        source: DEPOT,
        find: "in_place(BUSY ^ has, place), Ordering::Release)",
        replace: "in_place(BUSY ^ has, place), Ordering::Relaxed)",
        models: &["held::depot_put_take"],
    },
    Bug {
        name: "a depot: a place is filled by a store of the whole word",
        source: DEPOT,
        find: "self.word.fetch_xor(in_place(BUSY ^ has, place), Ordering::Release);",
        replace: "self.word.store(in_place(has, place), Ordering::Release);",
        models: &["held::depot_put_put"],
    },
    Bug {
        name: "a depot: a busy place is taken",
        source: DEPOT,
        find: "occupy(|has| has != EMPTY && has != BUSY)",
        replace: "occupy(|has| has != EMPTY)",
        models: &["held::depot_put_drain"],
    },
    Bug {
        name: "a depot: a busy place is filled",
        source: DEPOT,
        find: "occupy(|has| has <= room)",
        replace: "occupy(|has| has <= room || has == BUSY)",
        models: &["held::depot_put_put"],
    },
    Bug {
        name: "a depot: what is added to a magazine is put over what it has",
        source: DEPOT,
        find: "entries[place][has as usize..]",
        replace: "entries[place]",
        models: &["held::depot_add_drain"],
    },
    Bug {
        name: "hold: a store",
        source: STATE,
        find: "self.change(seen, State::held(order))",
        replace: "Ok(drop((seen, self.0.store(State::held(order).0, Ordering::Release))))",
        models: &["held::release_release", "held::release_release_past_caches"],
    },
    Bug {
        name: "a release into a cache disregards that another was faster",
        source: CACHE,
        find: "hold(self.mine().of_order(order), order).ok()?;",
        replace: "hold(self.mine().of_order(order), order).ok();",
        models: &["held::release_release"],
    },
    Bug {
        name: "a release into a cache believes the order that was remembered",
        source: CACHE,
        find: "hold(self.mine().of_order(order), order).ok()?;",
        replace: "hold(self.state(unit).read(), order).ok()?;",
        models: &["held::release_grow"],
    },
    Bug {
        name: "hand out: without Release",
        source: STATE,
        find: "self.0.store(live.0, Ordering::Release);",
        replace: "self.0.store(live.0, Ordering::Relaxed);",
        models: &["held::hand_out_release"],
    },
    Bug {
        name: "a refill keeps a part whose node is in use",
        source: BATCH,
        find: "== Node::Elsewhere && to == State::held(want) {",
        replace: "== Node::Elsewhere && to == State::free(want) {",
        models: &["block::carve_for_cache_pop_stale"],
    },
    Bug {
        name: "a flush forgets a block",
        source: FLUSH,
        find: "        for block in blocks {\n",
        replace: "        for block in blocks.iter().skip(1) {\n",
        models: &["held::flush_refill", "held::hand_over"],
    },
    Bug {
        name: "a sweep does not drain depots",
        source: FLUSH,
        find: "flushed += cache.drain_depot(self);",
        replace: "",
        models: &["held::hand_over"],
    },
    Bug {
        name: "a flush forgets the outboxes",
        source: FLUSH,
        find: "flushed += self.empty(BinIndex::of_outbox(number), outbox.of().order(), reach);",
        replace: "let _ = (BinIndex::of_outbox(number), outbox);",
        models: &["held::hand_over"],
    },
    Bug {
        name: "a cache with nothing but what is in its outboxes counts as empty",
        source: CACHE,
        find: "BinIndex::all().all(",
        replace: "Order::ZERO.through(Order::MAX).map(BinIndex::of).all(",
        models: &["held::hand_over"],
    },
    Bug {
        name: "a refill forgets what another thread has no place for",
        source: REFILL,
        find: "reach.flush_to_heaps(order, refused);\n                    return true;",
        replace: "return true;",
        models: &["held::refill_among_neighbours"],
    },
    Bug {
        name: "a refill forgets what it takes in the end though it is another thread's",
        source: REFILL,
        find: "left -= self.take_in(order, refused);",
        replace: "",
        models: &["held::refill_among_neighbours"],
    },
    Bug {
        name: "a refill keeps what it brings to another thread",
        source: HOMES,
        find: "refused += run.len();\n            }",
        replace: "}\n            refused += run.len();",
        models: &["held::refill_among_neighbours"],
    },
];

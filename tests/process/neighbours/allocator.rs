//! What two threads have of a `PoolAllocator` lies apart, though they allocate in turn, and release each other's
//! blocks.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, HashSet};
use std::ptr;
use std::thread;

use crate::common::{Actor, Random};
use mempool::PoolAllocator;

const TURNS: usize = 64;
const PAGE: usize = 4096;
/// Of which a page has some, each a cache line.
const LAYOUT: Layout = Layout::new::<[u64; 8]>();
const OF_A_PAGE: usize = PAGE / LAYOUT.size();
/// The most that a cache has of them.
const CACHED: usize = 2048;

fn alloc(allocator: &PoolAllocator, layout: Layout) -> Option<usize> {
    // SAFETY: the layout has a size.
    let block = unsafe { allocator.alloc(layout) };
    (!block.is_null()).then(|| block.expose_provenance())
}

fn release(allocator: &PoolAllocator, block: usize, layout: Layout) {
    // SAFETY: a live block of this layout.
    unsafe { allocator.dealloc(ptr::with_exposed_provenance_mut(block), layout) };
}

/// So many small blocks.
fn alloc_some(allocator: &PoolAllocator, count: usize) -> Vec<usize> {
    (0..count).map(|_| alloc(allocator, LAYOUT).expect("there is memory")).collect()
}

fn release_some(allocator: &PoolAllocator, blocks: impl IntoIterator<Item = usize>) {
    blocks.into_iter().for_each(|block| release(allocator, block, LAYOUT));
}

/// There are free pages from now on.
fn make_room(allocator: &PoolAllocator) {
    let large = Layout::new::<[[u8; PAGE]; 1024]>();
    release(allocator, alloc(allocator, large).expect("there is memory"), large);
}

fn pages(blocks: &[usize]) -> HashSet<usize> {
    blocks.iter().map(|block| block / PAGE).collect()
}

/// Where the memory of two threads alternates, processors that look ahead take lines from each other. Pages alternated
/// when each thread took the next free one.
#[test]
fn pages_of_threads_that_allocate_in_turn_lie_in_rows() {
    let _alone = crate::alone();
    let allocator = &PoolAllocator::new();
    thread::scope(|scope| {
        let threads = [Actor::new(scope), Actor::new(scope)];
        let mut blocks = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for (blocks, thread) in blocks.iter_mut().zip(&threads) {
                blocks.extend(thread.run(|| alloc_some(allocator, OF_A_PAGE)));
            }
        }
        let mut owners = BTreeMap::<usize, usize>::new();
        for (thread, blocks) in blocks.iter().enumerate() {
            owners.extend(blocks.iter().map(|block| (block / PAGE, thread)));
        }
        let owners: Vec<usize> = owners.into_values().collect();
        let changes = owners.windows(2).filter(|two| two[0] != two[1]).count();
        assert!(owners.len() >= 2 * TURNS && changes < TURNS / 4, "{changes} changes in {} pages", owners.len());
        for (blocks, thread) in blocks.into_iter().zip(&threads) {
            thread.run(move || release_some(allocator, blocks));
        }
        threads.into_iter().for_each(Actor::leave);
    });
}

/// One thread has used a heap alone, so that it is full of runs with slots left. When a second one comes, each has
/// pages of its own: else each burst of theirs would wait for lines that the other one has.
#[test]
fn bursts_of_two_threads_share_no_pages() {
    let _alone = crate::alone();
    const BURST: usize = 1000;
    let allocator = &PoolAllocator::new();
    let mut random = Random::from_environment();
    thread::scope(|scope| {
        let threads = [Actor::new(scope), Actor::new(scope)];
        threads[0].run(|| make_room(allocator));
        threads[0].run(move || {
            for round in 0..16 * TURNS {
                let size = |_| if round < TURNS { LAYOUT.size() } else { 8 + random.below(1017) };
                let layouts = (0..BURST).map(size).map(|size| Layout::from_size_align(size, 8).expect("a small size"));
                let alloc = |layout| (alloc(allocator, layout).expect("there is memory"), layout);
                let blocks: Vec<_> = layouts.map(alloc).collect();
                blocks.into_iter().for_each(|(block, layout)| release(allocator, block, layout));
            }
        });
        let mut shared = 0;
        for _ in 0..TURNS {
            let mut blocks = [Vec::new(), Vec::new()];
            for _ in 0..10 {
                for (blocks, thread) in blocks.iter_mut().zip(&threads) {
                    blocks.extend(thread.run(|| alloc_some(allocator, BURST / 10)));
                }
            }
            let [first, second] = [&blocks[0], &blocks[1]].map(|blocks| pages(blocks));
            shared = first.intersection(&second).count();
            for (blocks, thread) in blocks.into_iter().zip(&threads) {
                thread.run(move || release_some(allocator, blocks));
            }
        }
        assert_eq!(shared, 0);
        threads.into_iter().for_each(Actor::leave);
    });
}

/// Others have left slots of their slabs. A thread that needs blocks opens slabs of its own all the same, where free
/// pages have memory behind them; else when it needs many, and only the first few are of those.
#[test]
fn runs_of_ones_own_are_better_than_leftovers() {
    let _alone = crate::alone();
    const FEW: usize = 8;
    const NEXT: usize = 16;
    let allocator = &PoolAllocator::new();
    thread::scope(|scope| {
        let threads = [Actor::new(scope), Actor::new(scope)];
        let theirs = threads[0].run(|| {
            make_room(allocator);
            let mut blocks = alloc_some(allocator, 200 * OF_A_PAGE);
            let mut keeps = false;
            let released = blocks.extract_if(.., |_| {
                keeps = !keeps;
                !keeps
            });
            release_some(allocator, released);
            blocks
        });
        let home = pages(&theirs);
        let strays = |blocks: &[usize]| blocks.iter().filter(|block| home.contains(&(**block / PAGE))).count();
        let few = threads[1].run(|| alloc_some(allocator, FEW));
        assert_eq!(strays(&few), 0);
        threads[0].run(|| allocator.trim());
        let many = threads[1].run(|| alloc_some(allocator, 20 * OF_A_PAGE));
        assert!(strays(&many) <= NEXT, "{} of {}", strays(&many), many.len());
        threads[1].run(move || release_some(allocator, few.into_iter().chain(many)));
        threads[0].run(move || release_some(allocator, theirs));
        threads.into_iter().for_each(Actor::leave);
    });
}

/// What a thread releases of another one's goes back to that: it has no more of it later than its cache holds.
#[test]
fn what_others_release_comes_home() {
    let _alone = crate::alone();
    const PAGES: usize = 300;
    let allocator = &PoolAllocator::new();
    thread::scope(|scope| {
        let threads = [Actor::new(scope), Actor::new(scope)];
        threads[0].run(|| make_room(allocator));
        let mut theirs = threads[0].run(|| alloc_some(allocator, PAGES * OF_A_PAGE));
        let home = pages(&theirs);
        let strays = |blocks: &[usize]| blocks.iter().filter(|block| home.contains(&(**block / PAGE))).count();
        // One of each page stays, so that it is what it is.
        let mut pages = HashSet::new();
        let stay: Vec<usize> = theirs.extract_if(.., |block| pages.insert(*block / PAGE)).collect();
        let released = theirs.len();
        threads[1].run(move || release_some(allocator, theirs));
        let mine = threads[1].run(|| alloc_some(allocator, PAGES * OF_A_PAGE));
        assert!(strays(&mine) <= CACHED, "{} of {released}", strays(&mine));
        let theirs = threads[0].run(move || alloc_some(allocator, released));
        assert!(strays(&theirs) >= released - CACHED, "{} of {released}", strays(&theirs));
        threads[1].run(move || release_some(allocator, mine));
        threads[0].run(move || release_some(allocator, theirs.into_iter().chain(stay)));
        threads.into_iter().for_each(Actor::leave);
    });
}

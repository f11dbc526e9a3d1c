//! A system that refuses fences for all threads at once, as a sandbox may: a filter of system calls of one thread.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use std::ptr;
use std::thread;

use mempool::{MemoryPool, ReleaseError};

/// Pairs after which a thread has a bias.
const MANY: usize = 5_000;

/// Lets the kernel answer `membarrier` of the calling thread by this.
fn refuse_fences(answer: u32) {
    let filter = |code: u16, jt: u8, jf: u8, k: u32| libc::sock_filter { code, jt, jf, k };
    // Loads the number of the call; is it this one? Refused; else allowed.
    let mut filters = [
        filter(0x20, 0, 0, 0),
        filter(0x15, 0, 1, libc::SYS_membarrier as u32),
        filter(0x06, 0, 0, answer),
        filter(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filters.len() as u16, filter: filters.as_mut_ptr() };
    // SAFETY: these change what the calling thread may do, and nothing else; the program lives until they return.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

fn pool() -> MemoryPool {
    with_heap(MemoryPool::new())
}

fn with_heap(pool: MemoryPool) -> MemoryPool {
    pool.add_heap(ptr::without_provenance_mut(1 << 30), 1 << 20).expect("the addresses are free");
    pool
}

fn pairs(pool: &MemoryPool) {
    for _ in 0..MANY {
        assert_eq!(pool.hl_release(pool.hl_alloc(64)), Ok(()));
    }
}

/// An address for another thread.
fn alloc(pool: &MemoryPool) -> usize {
    pool.hl_alloc(64).addr()
}

#[test]
fn without_such_fences_nothing_is_biased() {
    let others = thread::spawn(|| {
        refuse_fences(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
        let pool = pool();
        pairs(&pool);
        let stats = pool.stats();
        assert_eq!((stats.biased_sizes, stats.heavy_fences, stats.refused_fences), (0, 0, 1));
        let block = alloc(&pool);
        thread::scope(|scope| {
            let release = || pool.hl_release(ptr::without_provenance_mut(block));
            let results = [scope.spawn(release), scope.spawn(release)].map(|other| other.join().expect("no panic"));
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        });
        assert_eq!(pool.stats().live, 0);
    });
    others.join().expect("no panic");
}

#[test]
fn a_thread_that_is_refused_later_releases_blocks_of_others_and_ends_their_bias() {
    let pool = pool();
    pairs(&pool);
    let stats = pool.stats();
    assert_eq!((stats.biased_sizes, stats.refused_fences), (1, 0));
    let block = alloc(&pool);
    let release = || pool.hl_release(ptr::without_provenance_mut(block));
    thread::scope(|scope| {
        let refused = scope.spawn(|| {
            refuse_fences(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
            (release(), release())
        });
        assert_eq!(refused.join().expect("no panic"), (Ok(()), Err(ReleaseError::NotLive)));
    });
    assert_eq!(release(), Err(ReleaseError::NotLive));
    for _ in 0..100 {
        pairs(&pool);
    }
    let stats = pool.stats();
    assert_eq!((stats.live, stats.biased_sizes, stats.refused_fences), (0, 0, 1));
}

#[test]
fn a_pool_without_bias_asks_for_no_fence() {
    let others = thread::spawn(|| {
        refuse_fences(libc::SECCOMP_RET_KILL_PROCESS);
        let pool = with_heap(MemoryPool::builder().biased(false).build().expect("it is allowed"));
        pairs(&pool);
        let block = alloc(&pool);
        let release = || pool.hl_release(ptr::without_provenance_mut(block));
        assert_eq!(thread::scope(|scope| scope.spawn(release).join().expect("no panic")), Ok(()));
        let stats = pool.stats();
        assert_eq!((stats.live, stats.biased_sizes, stats.heavy_fences, stats.refused_fences), (0, 0, 0, 0));
    });
    others.join().expect("no panic");
}

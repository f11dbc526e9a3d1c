//! What the models in `tests/` share: how a model is run; the free stack, the heap, the pages and the pool with payload
//! cells.
//!
//! Models call `mempool`, `mempool::raw` and `mempool::bias` itself; the only code here that stands for something is
//! the payload, which stands for the memory of the blocks. The exception is `biased`: blocks and caches around a
//! protocol.
#![cfg(loom)]

mod biased;
mod heap;
mod live;
mod pool;
mod slabs;
mod stack;

pub use biased::{Biased, By};
pub use heap::{Failure, Heap, block, order};
pub use live::Checked;
pub use pool::{Address, Pool};
pub use slabs::{Hold, LONG, PAIR, Pages, Span, TRIPLE};
pub use stack::Stack;

use std::env;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use loom::model::Builder;
use loom::thread::{self, JoinHandle};

/// Thread switches in one execution beyond which something goes round in circles.
const MAX_BRANCHES: usize = 5_000;

/// In the environment: models are run with few preemptions before they are run with all that they have.
const SHALLOW_FIRST: &str = "LOOM_TESTS_SHALLOW_FIRST";

/// In the environment: how many preemptions a model has at most, if it has more.
const MOST_PREEMPTIONS: &str = "LOOM_TESTS_MOST_PREEMPTIONS";

/// Runs `model` in all its executions, or with `bound` in those that preempt a thread at most that often, and
/// prints how many they were.
///
/// # Panics
///
/// When one of the executions does.
pub fn model(name: &str, bound: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let most = env::var(MOST_PREEMPTIONS).ok().map(|most| most.parse().expect("it is a number"));
    let model = Arc::new(model);
    if env::var_os(SHALLOW_FIRST).is_some() {
        // Whatever fails in one of these fails in all executions, which are more.
        for shallow in 1..bound.into_iter().chain(most).min().unwrap_or(usize::MAX).min(3) {
            run(name, bound, Some(shallow), Arc::clone(&model));
        }
    }
    run(name, bound, most, model);
}

/// Runs a model in the executions that preempt a thread at most `most` times, of those within its bound.
fn run(name: &str, bound: Option<usize>, most: Option<usize>, model: Arc<impl Fn() + Sync + Send + 'static>) {
    let all = bound.map_or("unbounded".to_owned(), |bound| format!("preemption bound {bound}"));
    let (bound, said) = match most.filter(|most| bound.is_none_or(|bound| *most < bound)) {
        Some(most) => {
            (Some(most), format!("preemption bound {most} of {}", all.trim_start_matches("preemption bound ")))
        }
        None => (bound, all),
    };
    let mut builder = Builder::new();
    builder.preemption_bound = bound;
    builder.max_branches = MAX_BRANCHES;
    // These would end a model in success.
    builder.max_permutations = None;
    builder.max_duration = None;

    let executions = Arc::new(Mutex::new(0u64));
    let count = Arc::clone(&executions);
    let start = Instant::now();
    builder.check(move || {
        *count.lock().expect("nobody panics with it") += 1;
        model();
    });
    let executions = *executions.lock().expect("nobody panics with it");
    // Straight to the stream, so that the harness of the tests does not swallow it.
    let line = format!("model {name}: {executions} executions ({said}), {:.2} s\n", start.elapsed().as_secs_f32());
    io::stderr().write_all(line.as_bytes()).expect("stderr is open");
}

/// Starts a thread of the model on what it shares with the others.
pub fn start<T, R>(shared: &Arc<T>, thread: impl FnOnce(&T) -> R + 'static) -> JoinHandle<R>
where
    T: 'static,
    R: 'static,
{
    // The standard library's `Arc`: loom's would make each clone and drop one more point to switch threads at.
    let shared = Arc::clone(shared);
    thread::spawn(move || thread(&shared))
}

/// What a thread of the model returned.
///
/// # Panics
///
/// When the thread did.
pub fn join<R>(thread: JoinHandle<R>) -> R {
    thread.join().expect("a thread of the model panicked")
}

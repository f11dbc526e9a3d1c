//! Collections with a pool of their own: a vector and a map that share 4 MiB, are told when that is all, and give it
//! back.
//!
//! ```text
//! cargo run --release --example collections --features allocator-api2-02
//! ```
//!
//! The map is `hashbrown`'s, which knows allocators of `allocator-api2` 0.2, as many other crates do. All else of the
//! program goes on with its usual allocator.

use std::error::Error;

use allocator_api2_02::vec::Vec as PoolVec;
use hashbrown::{DefaultHashBuilder, HashMap};
use mempool::PoolAllocator;

const LIMIT: usize = 4 << 20;
/// Characters of a picture.
const WIDTH: usize = 64;

/// A measurement.
#[derive(Clone, Copy, Debug)]
struct Sample {
    sensor: u32,
    value: f64,
}

/// The sums and numbers of the values of each sensor.
type Sums<'a> = HashMap<u32, (f64, u32), DefaultHashBuilder, &'a PoolAllocator>;

/// Samples of ever more sensors, so that both collections grow.
fn samples() -> impl Iterator<Item = Sample> {
    let mut state = 1_u64;
    (1..).map(move |number: u32| {
        // The next number of a linear congruential generator (Knuth's MMIX).
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Sample { sensor: (state >> 33) as u32 % (number / 4 + 1), value: (state >> 40) as f64 / f64::from(1 << 24) }
    })
}

/// Adds a sample to both, or to none of them: `try_reserve` says that there is no room where `push` and `insert`
/// would end the program.
fn add(all: &mut PoolVec<Sample, &PoolAllocator>, sums: &mut Sums<'_>, sample: Sample) -> Result<(), Box<dyn Error>> {
    all.try_reserve(1).map_err(|error| format!("the vector has {} samples: {error}", all.len()))?;
    sums.try_reserve(1).map_err(|error| format!("the map has {} sensors: {error:?}", sums.len()))?;
    all.push(sample);
    let (sum, count) = sums.entry(sample.sensor).or_default();
    (*sum, *count) = (*sum + sample.value, *count + 1);
    Ok(())
}

/// The content of the pool: a character for each 64th of its limit.
fn draw(when: &str, pool: &PoolAllocator) {
    let stats = pool.stats();
    let characters = |bytes: usize| (bytes * WIDTH).div_ceil(stats.limit);
    let held = characters(stats.heap - stats.free);
    let free = characters(stats.heap).saturating_sub(held);
    let rest = WIDTH.saturating_sub(held + free);
    println!("{when:<14} {}{}{}", "█".repeat(held), "░".repeat(free), "·".repeat(rest));
    println!("{:<14} {stats}\n", "");
}

fn main() -> Result<(), Box<dyn Error>> {
    let pool = PoolAllocator::with_capacity(LIMIT)?;
    println!("█ held by collections and caches, ░ free, · never used\n");
    draw("at first", &pool);

    let mut all = PoolVec::new_in(&pool);
    let mut sums = Sums::new_in(&pool);
    for sample in samples().take(20_000) {
        add(&mut all, &mut sums, sample)?;
    }
    draw("20,000 samples", &pool);

    // More than there is room for. What is there stays, and can be used.
    let refused = samples().find_map(|sample| add(&mut all, &mut sums, sample).err());
    draw("at the limit", &pool);
    if let Some(refused) = refused {
        println!("{:<14} refused, {refused}", "");
    }
    let mean = all.iter().map(|sample| sample.value).sum::<f64>() / all.len() as f64;
    let most = sums.iter().max_by_key(|(sensor, (_, count))| (*count, u32::MAX - **sensor));
    if let Some((sensor, (sum, count))) = most {
        let own = sum / f64::from(*count);
        println!("{:<14} the mean is {mean:.3}; of sensor {sensor}, which has {count} samples, {own:.3}\n", "");
    }

    // Half of the samples will do.
    all.truncate(all.len() / 2);
    all.shrink_to_fit();
    draw("half of it", &pool);

    drop((all, sums));
    pool.sweep();
    draw("at the end", &pool);
    let stats = pool.stats();
    if stats.free == stats.heap { Ok(()) } else { Err("something was not given back".into()) }
}

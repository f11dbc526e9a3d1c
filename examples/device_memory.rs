//! The memory of a device, 64 GiB of offsets, is filled with the caches of a language model: objects of two sizes, in
//! groups. At each failure a random twentieth of them goes. How full is the device then, with each choice of sizes?
//!
//! ```text
//! cargo run --release --example device_memory [-- FILE.svg]
//! ```
//!
//! It draws the device as text, and as a picture where a file is named. Nothing is behind the offsets.

use std::env;
use std::error::Error;
use std::fs;
use std::time::Instant;

use fastrand::Rng;
use mempool::{OffsetPool, Sizes};

const DEVICE: u64 = 64 << 30;
/// The two sizes of objects, in bytes. They come in turn, in groups.
const OBJECTS: [u64; 2] = [3_120_000, 643_000];
const LARGEST_GROUP: u64 = 128;
/// At a failure this part of the objects goes.
const GOES: usize = 20;
const FAILURES: usize = 12;
/// Objects need an alignment for the device's transfers.
const ALIGN: u64 = 256;

/// A device and what is on it.
struct Device {
    pool: OffsetPool,
    /// Offset and bytes of each object.
    objects: Vec<(u64, u64)>,
    random: Rng,
}

impl Device {
    fn new(sizes: Sizes) -> Result<Self, Box<dyn Error>> {
        let pool = OffsetPool::builder().min_block(4096).sizes(sizes).build()?;
        pool.add_range(0, DEVICE)?;
        Ok(Self { pool, objects: Vec::new(), random: Rng::with_seed(1) })
    }

    /// Adds groups of both sizes in turn, until one object is refused.
    fn fill(&mut self) {
        for size in OBJECTS.into_iter().cycle() {
            for _ in 0..self.random.u64(1..=LARGEST_GROUP) {
                match self.pool.alloc(size, ALIGN) {
                    Ok(offset) => self.objects.push((offset, size)),
                    Err(_) => return,
                }
            }
        }
    }

    /// Releases a random part of the objects.
    fn release_some(&mut self) -> Result<(), Box<dyn Error>> {
        self.random.shuffle(&mut self.objects);
        let stay = self.objects.len() - self.objects.len() / GOES;
        for (offset, _) in self.objects.drain(stay..) {
            self.pool.release(offset)?;
        }
        Ok(())
    }

    /// Bytes of the objects, of all bytes.
    fn fullness(&self) -> f64 {
        self.objects.iter().map(|(_, size)| size).sum::<u64>() as f64 / DEVICE as f64
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    println!(
        "64 GiB in smallest blocks of 4 KiB; objects of {OBJECTS:?} bytes; {FAILURES} failures, at each of which 1 of {GOES} goes\n"
    );
    println!(
        "| sizes | full at the first failure | at the last 6, mean | at the worst of all | objects | seconds |\n|---|--:|--:|--:|--:|--:|"
    );
    for sizes in [Sizes::PowersOfTwo, Sizes::Eighths] {
        let (mut device, begun) = (Device::new(sizes)?, Instant::now());
        let mut full = Vec::new();
        for failure in 1..=FAILURES {
            device.fill();
            full.push(device.fullness());
            if failure < FAILURES {
                device.release_some()?;
            }
        }
        let (last, worst) = (&full[FAILURES / 2..], full.iter().copied().fold(1.0, f64::min));
        let (mean, count) = (last.iter().sum::<f64>() / last.len() as f64, device.objects.len());
        let seconds = begun.elapsed().as_secs_f64();
        println!("| {sizes:?} | {:.3} | {mean:.3} | {worst:.3} | {count} | {seconds:.1} |", full[0]);
        if sizes == Sizes::Eighths {
            show(&device)?;
        }
    }
    Ok(())
}

/// Draws the device, and rebuilds it from what is on it, as a program does that was started again.
fn show(device: &Device) -> Result<(), Box<dyn Error>> {
    println!("\n{}", device.pool.heap_map().text(128, 16));
    if let Some(file) = env::args().nth(1) {
        let picture = device.pool.heap_map().svg().title("A device of 64 GiB, at the last failure").to_string();
        fs::write(&file, picture)?;
        println!("{file} has the picture");
    }
    let (rebuilt, begun) = (Device::new(Sizes::Eighths)?.pool, Instant::now());
    for (offset, size) in &device.objects {
        rebuilt.reserve_at(*offset, *size)?;
    }
    assert_eq!(rebuilt.stats().live, device.pool.stats().live);
    println!("{} objects were reserved in a new pool in {:.0?}", device.objects.len(), begun.elapsed());
    Ok(())
}

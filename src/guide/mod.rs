#![doc = include_str!("links.md")]
#![doc = include_str!("README.md")]
// A chapter is a Markdown file, whose links are for whoever reads it in a checkout. `links.md` has those of rustdoc: of
// two definitions of a link the first one counts. The lines of doc tests count those of `links.md`, too.

/// A chapter; its examples are tested where the features are on that they need.
macro_rules! chapters {
    ($($name:ident: $($feature:literal),*;)*) => {
        $(
            #[doc = include_str!("links.md")]
            #[cfg_attr(any(not(doctest), all($(feature = $feature),*)), doc = include_str!(concat!(stringify!($name), ".md")))]
            pub mod $name {}
        )*
    };
}

chapters! {
    first_steps: ;
    choosing: ;
    regions: "std";
    offsets: "alloc";
    global_allocator: "allocator";
    c_libraries: "allocator";
    any_program: ;
    reading_statistics: "allocator";
    tuning: "allocator";
    failures: "allocator";
    stopped_threads: "std";
    model_checking: ;
    guarantees: ;
    migration: "allocator";
    questions: "allocator";
}

/// The messages in `questions.md` are those of the source. A word with a number is any number there.
///
/// ```
/// use std::alloc::Layout;
/// use std::ptr;
/// use mempool::{MemoryPool, OffsetPool, PoolAllocator};
///
/// let plain = |text: &str| -> String {
///     let words = text.split_whitespace();
///     words.map(|word| if word.contains(|c: char| c.is_ascii_digit() || c == 'N') { "N " } else { word }).collect()
/// };
/// let page = plain(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/questions.md")));
/// let has = |message: String| assert!(page.contains(&plain(&message)), "{message}");
/// let pool = MemoryPool::new();
/// let region = |base: usize| ptr::without_provenance_mut::<u8>(base);
/// let layout = |size| Layout::from_size_align(size, 1).expect("a layout");
///
/// has(MemoryPool::builder().min_block(3).build().unwrap_err().to_string());
/// has(MemoryPool::builder().max_block(3).build().unwrap_err().to_string());
/// has(pool.alloc(layout(5)).unwrap_err().to_string());
/// has(pool.add_heap(ptr::null_mut(), 5).unwrap_err().to_string());
/// has(pool.add_heap(region(4096), 0).unwrap_err().to_string());
/// has(pool.add_heap(region(4096), usize::MAX).unwrap_err().to_string());
/// has(pool.add_heap(region(1), 64).unwrap_err().to_string());
/// # #[cfg(target_pointer_width = "64")]
/// has(pool.add_heap(region(4096), 1 << 50).unwrap_err().to_string());
/// let heap = pool.add_heap(region(1 << 20), 1 << 20)?;
/// has(pool.add_heap(region(1 << 20), 64).unwrap_err().to_string());
/// has(pool.alloc(layout(0)).unwrap_err().to_string());
/// has(pool.alloc(layout(1 << 21)).unwrap_err().to_string());
/// let block = pool.alloc(layout(1 << 20))?;
/// has(pool.alloc(layout(1)).unwrap_err().to_string());
/// has(pool.remove_heap(heap).unwrap_err().to_string());
/// has(pool.resize_in_place(block, 0).unwrap_err().to_string());
/// has(pool.resize_in_place(block, 1 << 30).unwrap_err().to_string());
/// has(pool.hl_release(region(5)).unwrap_err().to_string());
/// has(pool.hl_release(region((1 << 20) + 5)).unwrap_err().to_string());
/// pool.release(block)?;
/// has(pool.release(block).unwrap_err().to_string());
/// pool.remove_heap(heap)?;
/// has(pool.remove_heap(heap).unwrap_err().to_string());
/// has(pool.alloc_in(heap, layout(1)).unwrap_err().to_string());
/// has(pool.add_heap_with(region(1 << 20), 1 << 16, Box::leak(Box::new([0; 8]))).unwrap_err().to_string());
/// let ranges = OffsetPool::new();
/// has(ranges.add_range(0, 0).unwrap_err().to_string());
/// has(ranges.add_range(u64::MAX, 2).unwrap_err().to_string());
/// has(ranges.add_range(1, 64).unwrap_err().to_string());
/// has(ranges.add_range(0, 1 << 50).unwrap_err().to_string());
/// ranges.add_range(0, 1 << 20)?;
/// has(ranges.add_range(0, 1 << 20).unwrap_err().to_string());
/// has(ranges.add_range_with(1 << 20, 1 << 20, 0, Box::leak(Box::new([0; 8]))).unwrap_err().to_string());
/// has(ranges.alloc(1, 3).unwrap_err().to_string());
/// has(ranges.reserve_at(0, 0).unwrap_err().to_string());
/// has(ranges.reserve_at(1 << 30, 1).unwrap_err().to_string());
/// ranges.reserve_at(0, 1)?;
/// has(ranges.reserve_at(0, 1).unwrap_err().to_string());
/// has(PoolAllocator::with_capacity(0).unwrap_err().to_string());
/// has(PoolAllocator::with_capacity(usize::MAX).unwrap_err().to_string());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(all(doctest, feature = "allocator"))]
mod messages {}

/// The figures and the picture of a pool in `reading_statistics.md` are those of this program. Where they change, the
/// page gets the lines that the test prints.
///
/// ```
/// use std::ptr;
/// use mempool::MemoryPool;
///
/// let pool = MemoryPool::new();
/// let heap = pool.add_heap(ptr::without_provenance_mut(1 << 30), 4 << 20)?;
/// let mut seed = 1_u64;
/// let mut random = |below: u64| {
///     seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
///     ((seed >> 33) % below) as usize
/// };
/// let mut blocks = Vec::new();
/// for count in 0..32_000 {
///     if count >= 1600 {
///         pool.hl_release(blocks.swap_remove(random(1600)))?;
///     }
///     blocks.push(pool.hl_alloc([100, 1000, 2000, 3000][random(4)]));
/// }
/// for left in (801..=1600).rev() {
///     pool.hl_release(blocks.swap_remove(random(left)))?;
/// }
/// let stats = pool.stats();
/// let mut lines = format!("{stats}\n{}", pool.heap_map().text(64, 8));
/// lines += &format!("{}\n", pool.stats_of(heap).expect("it is there"));
/// lines += &format!("{}\n", pool.sweep());
/// let log_line = stats.log_line().to_string();
/// let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/reading_statistics.md"));
/// let missing: Vec<&str> = lines.lines().filter(|line| !page.contains(line)).collect();
/// assert!(missing.is_empty(), "not on the page:\n{}", missing.join("\n"));
/// assert!(log_line.starts_with("heaps=1 capacity_bytes=4194304 live_bytes=1442688 cached_bytes=77440"), "{log_line}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(all(doctest, feature = "allocator"))]
mod figures {}

/// The tests that the pages name are there.
///
/// ```
/// use std::fs;
/// use std::path::{Path, PathBuf};
///
/// fn read(place: &Path, source: &mut String) {
///     let mut places: Vec<PathBuf> =
///         fs::read_dir(place).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
///     places.sort();
///     for place in places {
///         if place.is_dir() {
///             source.push_str(&format!("fn {}(", place.file_name().unwrap_or_default().display()));
///             read(&place, source);
///         } else if place.extension().is_some_and(|end| end == "rs") {
///             source.push_str(&fs::read_to_string(&place).expect("a source is text"));
///         }
///     }
/// }
///
/// let root = Path::new(env!("CARGO_MANIFEST_DIR"));
/// // What is published lacks the models.
/// if root.join("loom-tests").exists() {
///     let mut source = String::new();
///     ["src", "tests", "loom-tests"].map(|folder| read(&root.join(folder), &mut source));
///     let pages = ["src/guide/guarantees.md", "benches/README.md", "benches/tried.md"];
///     let pages = pages.map(|page| fs::read_to_string(root.join(page)).expect("it is there"));
///     let names = pages.iter().flat_map(|page| page.split('`').skip(1).step_by(2));
///     let is_test = |name: &&str| name.len() > 13 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
///     let is_missing = |name: &&str| !source.contains(&format!("fn {name}("));
///     let missing: Vec<&str> = names.filter(is_test).filter(is_missing).collect();
///     assert!(missing.is_empty(), "{missing:?}");
/// }
/// ```
#[cfg(doctest)]
mod tests_by_name {}

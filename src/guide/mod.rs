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
/// use mempool::{MemoryPool, PoolAllocator};
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
/// has(PoolAllocator::with_capacity(0).unwrap_err().to_string());
/// has(PoolAllocator::with_capacity(usize::MAX).unwrap_err().to_string());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(all(doctest, feature = "allocator"))]
mod messages {}

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

//! What the whole process sees: a last message, and the figures of `malloc`.

use core::ffi::CStr;
use core::fmt::Write;

use mempool::AllocatorStats;

use crate::chosen::{allocator, asked};
use crate::watched::Descriptor;

/// Says why, and ends the program.
pub fn die(why: &CStr) -> ! {
    let text = why.to_bytes();
    // SAFETY: that many bytes.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        libc::abort()
    }
}

/// The figures of `malloc`, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MallocStats {
    /// What of the heap may be in use at once.
    pub limit: usize,
    /// What it has grown to.
    pub heap: usize,
    /// What of it, and of its tables, is in memory.
    pub resident: usize,
    /// What of the heap is free.
    pub free: usize,
    /// What of that is in slabs that nobody uses.
    pub idle: usize,
    /// What the tables have.
    pub metadata: usize,
    /// How many caches of threads there are.
    pub caches: usize,
    /// How many releases were refused, because no block was there.
    pub refused_releases: u64,
}

/// Writes the figures of `malloc` to `stats`. O(pages).
///
/// # Safety
///
/// `stats` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_malloc_stats(stats: *mut MallocStats) {
    let AllocatorStats { limit, heap, resident, free, idle, metadata, caches, refused_releases, .. } =
        allocator().stats();
    // SAFETY: the caller vouches for it.
    unsafe { stats.write(MallocStats { limit, heap, resident, free, idle, metadata, caches, refused_releases }) };
}

/// Gives back what `malloc` has cached within reach, makes whole pages of what is free, and gives the memory behind
/// them back to the system. Returns how many bytes of it were in memory. O(pages).
#[unsafe(no_mangle)]
pub extern "C" fn hm_malloc_trim() -> usize {
    allocator().trim()
}

#[used]
// SAFETY: the section is an array of functions of this type.
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

/// At the end of the process.
extern "C" fn end() {
    crate::profiled::end();
    append_stats();
}

/// Appends the figures of the process to the file that was asked for.
fn append_stats() {
    let Some((asked, path)) = asked().and_then(|asked| Some((asked, asked.options.stats.as_ref()?))) else { return };
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: a path. The file is closed with the process.
    let file = unsafe { libc::open(path.get().as_ptr(), flags, 0o600) };
    if file < 0 {
        return;
    }
    let mut text = Page { bytes: [0; 4096], len: 0 };
    let mut name = [0_u8; 64];
    // SAFETY: a path, and room for that many bytes.
    unsafe {
        let comm = libc::open(c"/proc/self/comm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        libc::read(comm, name.as_mut_ptr().cast(), name.len() - 1);
    }
    let name = CStr::from_bytes_until_nul(&name).map_or("", |name| name.to_str().unwrap_or("")).trim_end();
    // SAFETY: it returns a number.
    let process = unsafe { libc::getpid() };
    // What does not fit is lost.
    _ = writeln!(text, "process {process}, {name}\n{}\n", asked.allocator.stats());
    // In one call, so that processes that end together don't mix.
    _ = Descriptor(file).write_str(core::str::from_utf8(&text.bytes[..text.len]).unwrap_or(""));
}

/// Text as far as there is room.
struct Page {
    bytes: [u8; 4096],
    len: usize,
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let place = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

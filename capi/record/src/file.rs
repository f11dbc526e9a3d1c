//! New files of a process, within `malloc`: nothing in here allocates or has a lock.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::AtomicU64;

/// Most bytes of the path of a file.
pub const PATH: usize = 1024;

pub fn errno() -> c_int {
    // SAFETY: where the calling thread has it.
    unsafe { *libc::__errno_location() }
}

/// Makes a file `PROCESS-NUMBER.raw` in a folder, and writes its path with a 0 at the end. Returns the file, and the
/// bytes of the path. A process that runs another program keeps its number.
pub fn new_file(path: &mut [u8; PATH], folder: &CStr) -> Option<(c_int, usize)> {
    // SAFETY: it returns a number.
    let process = unsafe { libc::getpid() };
    for number in 0..1000 {
        let len = write_path(path, folder, process as u64, number)?;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        // SAFETY: a text with a 0 at its end.
        let file = unsafe { libc::open(path.as_ptr().cast(), flags, 0o600) };
        if file >= 0 {
            return Some((file, len));
        }
        // Only if there is such a file, another number helps.
        if errno() != libc::EEXIST {
            return None;
        }
    }
    None
}

/// Writes `FOLDER/PROCESS-NUMBER.raw` and a 0; returns its length. `None`: there is no room.
fn write_path(path: &mut [u8; PATH], folder: &CStr, process: u64, number: u64) -> Option<usize> {
    let mut len = 0;
    let mut push = |bytes: &[u8]| {
        path.get_mut(len..len + bytes.len())?.copy_from_slice(bytes);
        len += bytes.len();
        Some(())
    };
    let digits = |mut number: u64| {
        let (mut digits, mut begin) = ([0; 20], 20);
        loop {
            begin -= 1;
            digits[begin] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return (digits, begin);
            }
        }
    };
    let (process, number) = (digits(process), digits(number));
    push(folder.to_bytes())?;
    push(b"/")?;
    push(&process.0[process.1..])?;
    push(b"-")?;
    push(&number.0[number.1..])?;
    push(b".raw\0")?;
    Some(len - 1)
}

/// Reads a file as far as there is room; returns how many bytes.
pub fn read_whole(path: &CStr, to: &mut [u8]) -> usize {
    let before = errno();
    let mut len = 0;
    // SAFETY: a path, room for that many bytes, and the place of this thread's error, which `malloc` does not change.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        while let Ok(count @ 1..) = usize::try_from(libc::read(file, to[len..].as_mut_ptr().cast(), to.len() - len)) {
            len += count;
        }
        libc::close(file);
        *libc::__errno_location() = before;
    }
    len
}

/// A page with the word of the owner, which is 0 in children. `None`: the system has no such page.
pub fn own_page() -> Option<*mut AtomicU64> {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: a new mapping, at addresses that are free.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, prot, flags, -1, 0) };
    // SAFETY: the page that was mapped. An error changes nothing.
    if page == libc::MAP_FAILED || unsafe { libc::madvise(page, 4096, libc::MADV_WIPEONFORK) } != 0 {
        return None;
    }
    let owner = page.cast::<AtomicU64>();
    // SAFETY: this thread's, and aligned.
    unsafe { owner.write(AtomicU64::new(1)) };
    Some(owner)
}

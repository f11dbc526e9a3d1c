//! A library that is unloaded gives back the memory of its static allocators.
//!
//! The loader calls the same function when it unloads a library and when the program ends. At the end other threads may
//! go on, so nothing may be unmapped then. A second function, registered with `atexit` when the library was loaded,
//! tells the two apart: at the end of the program it is called before, at an unload after. That holds for libraries
//! that the program loads as it runs. A library that others are linked with, or that was loaded before all others, may
//! have been registered before the loader itself; it keeps everything.
//!
//! At an unload nobody else may be in the library, so the caches of all threads can be emptied. An allocator without
//! live blocks is unmapped. One with live blocks gives back the memory of free pages, and the addresses that it never
//! used.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::Range;
use core::ptr;

use crate::sync::{AtomicPtr, AtomicU32, Ordering};

use super::root::Root;

/// The roots of allocators that were started, and may be static ones. An allocator without a place stays mapped.
static STARTED: [AtomicPtr<Root>; 64] = [const { AtomicPtr::new(ptr::null_mut()) }; 64];

/// [`REGISTERED`], [`ENDS`], or 0: the end of the program would not be noticed.
static STATE: AtomicU32 = AtomicU32::new(0);
/// The end of the program would be noticed.
const REGISTERED: u32 = 1;
/// The program ends, or the library was unloaded.
const ENDS: u32 = 2;

#[used]
// SAFETY: the section is an array of functions of this type.
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = {
    extern "C" fn loaded() {
        // SAFETY: the function is there until it is called, which is when the library goes, at the latest.
        if unsafe { libc::atexit(ends) } == 0 {
            // Relaxed, here and below: one thread loads and unloads a library.
            STATE.store(REGISTERED, Ordering::Relaxed);
        }
    }
    loaded
};

extern "C" fn ends() {
    STATE.store(ENDS, Ordering::Relaxed);
}

#[used]
// SAFETY: as above.
#[unsafe(link_section = ".fini_array")]
static UNLOADED: extern "C" fn() = unloaded;

extern "C" fn unloaded() {
    if STATE.swap(ENDS, Ordering::Relaxed) != REGISTERED {
        return;
    }
    let Some(data) = Image::own().and_then(Image::data_if_unloaded) else { return };
    for place in &STARTED {
        // Acquire: pairs with the Release in `note`; makes visible the allocator as it was started.
        let root = place.swap(ptr::null_mut(), Ordering::Acquire);
        if !root.is_null() && data.contains(&root.addr()) {
            // SAFETY: it lies in the data of this library, so it is a static one.
            unsafe { &*root }.give_back();
        }
    }
}

/// Notes the root of an allocator that was started, for when this library is unloaded. Lock-free.
pub(super) fn note(root: &Root) {
    let root = ptr::from_ref(root).cast_mut();
    for place in &STARTED {
        // Release: pairs with the Acquire in `unloaded`. Relaxed on failure: the next place is tried.
        if place.compare_exchange(ptr::null_mut(), root, Ordering::Release, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}

/// Forgets an allocator that is dropped.
pub(super) fn forget(root: &Root) {
    let root = ptr::from_ref(root).cast_mut();
    for place in &STARTED {
        // Relaxed, both: nothing is read because of it.
        _ = place.compare_exchange(root, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A library or a program, as the loader describes it. Everything that it points to stays until it is unloaded.
#[derive(Clone, Copy)]
struct Image(libc::dl_phdr_info);

impl Image {
    /// Visits all images in the order in which they were loaded, until `visit` has found something.
    fn find<R>(mut visit: impl FnMut(Image) -> Option<R>) -> Option<R> {
        struct Search<'s, R>(&'s mut dyn FnMut(Image) -> Option<R>, Option<R>);
        unsafe extern "C" fn next<R>(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
            // SAFETY: the first is the loader's, for the time of the call; the second is given below.
            let (info, search) = unsafe { (&*info, &mut *search.cast::<Search<'_, R>>()) };
            search.1 = (search.0)(Image(*info));
            search.1.is_some().into()
        }
        let mut search = Search(&mut visit, None);
        // SAFETY: the function is called with the search that it expects.
        unsafe { libc::dl_iterate_phdr(Some(next::<R>), (&raw mut search).cast()) };
        search.1
    }

    /// The image that this code is in.
    fn own() -> Option<Self> {
        Self::find(|image| image.range()?.contains(&(&raw const STATE).addr()).then_some(image))
    }

    fn headers(self) -> &'static [libc::Elf64_Phdr] {
        // SAFETY: the loader tells where they are, and how many there are.
        unsafe { core::slice::from_raw_parts(self.0.dlpi_phdr.cast(), self.0.dlpi_phnum.into()) }
    }

    /// Its addresses.
    fn range(self) -> Option<Range<usize>> {
        let base = self.0.dlpi_addr as usize;
        let loaded = || self.headers().iter().filter(|header| header.p_type == libc::PT_LOAD);
        let start = loaded().map(|header| header.p_vaddr as usize).min()?;
        let end = loaded().map(|header| (header.p_vaddr + header.p_memsz) as usize).max()?;
        Some(base.wrapping_add(start)..base.wrapping_add(end))
    }

    /// The values of a tag in its dynamic section.
    fn dynamic(self, tag: i64) -> impl Iterator<Item = usize> {
        const END: i64 = 0;
        let headers = self.headers().iter().find(|header| header.p_type == libc::PT_DYNAMIC);
        let first = headers.map(|header| (self.0.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize));
        let first = first.map(ptr::with_exposed_provenance::<[i64; 2]>);
        // SAFETY: an array of pairs, up to one with the tag `END`.
        let entries = (0..).map_while(move |number| Some(unsafe { *first?.add(number) }));
        entries.take_while(|[now, _]| *now != END).filter(move |[now, _]| *now == tag).map(|[_, value]| value as usize)
    }

    /// The texts of a tag in its dynamic section.
    fn texts(self, tag: i64) -> impl Iterator<Item = &'static [u8]> {
        const TABLE: i64 = 5;
        let base = self.0.dlpi_addr as usize;
        // On some processors the loader leaves the offset as it is in the file.
        let table = self.dynamic(TABLE).next().map(|table| if table < base { table + base } else { table });
        self.dynamic(tag).filter_map(move |offset| {
            let text = ptr::with_exposed_provenance::<c_char>(table? + offset);
            // SAFETY: a text in the table of this image.
            Some(unsafe { CStr::from_ptr(text) }.to_bytes())
        })
    }

    /// The last part of its path.
    fn name(self) -> &'static [u8] {
        if self.0.dlpi_name.is_null() {
            return &[];
        }
        // SAFETY: the loader's text.
        let path = unsafe { CStr::from_ptr(self.0.dlpi_name) }.to_bytes();
        path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
    }

    /// Its addresses, if it was certainly loaded while the program ran.
    fn data_if_unloaded(self) -> Option<Range<usize>> {
        const NEEDED: i64 = 1;
        const OWN_NAME: i64 = 14;
        // SAFETY: it only asks.
        let loader = unsafe { libc::getauxval(libc::AT_BASE) } as usize;
        let mut is_loader_before = false;
        let is_of_start = Self::find(|image| {
            let is_self = image.0.dlpi_phdr == self.0.dlpi_phdr;
            is_loader_before |= image.0.dlpi_addr as usize == loader;
            let needs = |needed: &[u8]| needed == self.name() || self.texts(OWN_NAME).any(|own| own == needed);
            let is_linked = || image.texts(NEEDED).any(needs);
            let is_of_start = if is_self { !is_loader_before } else { is_linked() };
            is_of_start.then_some(())
        });
        if self.name().is_empty() || loader == 0 || is_of_start.is_some() { None } else { self.range() }
    }
}

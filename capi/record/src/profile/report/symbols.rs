//! The functions of addresses, by the symbols and the debug information of the files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use addr2line::{Loader, demangle_auto};
use object::read::ReadCache;
use object::{Object, ObjectSegment};

use super::read::Mapping;

/// A function, perhaps one that was inlined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Where it was called, or the next instruction.
    pub address: u64,
    /// The number of the mapping, if there is one.
    pub mapping: Option<usize>,
    pub name: String,
    pub file: String,
    pub line: u32,
}

/// A file with functions.
struct Code {
    loader: Option<Loader>,
    /// Of each part that is mapped: where it begins in the file, its bytes there, and its address.
    parts: Vec<(u64, u64, u64)>,
}

impl Code {
    fn new(path: &Path) -> Self {
        let segments = || {
            let cache = ReadCache::new(File::open(path).ok()?);
            let file = object::File::parse(&cache).ok()?;
            let part = |segment: object::Segment<'_, '_, _>| {
                let (begin, len) = segment.file_range();
                (begin, len, segment.address())
            };
            Some(file.segments().map(part).collect())
        };
        Self { loader: Loader::new(path).ok(), parts: segments().unwrap_or_default() }
    }

    /// The address that the file's own tables have for a place in it.
    fn own_address(&self, offset: u64) -> Option<u64> {
        let part = self.parts.iter().find(|(begin, len, _)| (*begin..begin + len).contains(&offset));
        part.map(|(begin, _, address)| address + (offset - begin))
    }
}

/// The functions of a process.
pub struct Symbols {
    pub mappings: Vec<Mapping>,
    codes: HashMap<usize, Code>,
    known: HashMap<u64, Vec<Frame>>,
}

impl Symbols {
    pub fn new(mappings: Vec<Mapping>) -> Self {
        Self { mappings, codes: HashMap::new(), known: HashMap::new() }
    }

    /// The functions of a stack, without those of the allocator.
    pub fn stack(&mut self, addresses: &[u64]) -> Vec<Frame> {
        let mut frames: Vec<Frame> = addresses.iter().flat_map(|address| self.frames(*address).to_vec()).collect();
        let own = frames.iter().take(NEAR).rposition(|frame| self.is_own(frame));
        frames.drain(..own.map_or(0, |last| last + 1));
        frames
    }

    fn is_own(&self, frame: &Frame) -> bool {
        let mapping = frame.mapping.map(|number| &self.mappings[number].file);
        let is_library = mapping.and_then(|file| file.file_name()).is_some_and(|name| name == "libheapmaster.so");
        is_library || OWN.iter().any(|part| frame.name.contains(part)) || MALLOC.contains(&frame.name.as_str())
    }

    /// The functions at a return address, from the innermost one on.
    fn frames(&mut self, address: u64) -> &[Frame] {
        if !self.known.contains_key(&address) {
            let frames = self.find(address);
            self.known.insert(address, frames);
        }
        &self.known[&address]
    }

    fn find(&mut self, address: u64) -> Vec<Frame> {
        // In the call, not behind it.
        let call = address.saturating_sub(1);
        let frame = |mapping, name| Frame { address, mapping, name, file: String::new(), line: 0 };
        let number = self.mappings.iter().position(|mapping| (mapping.begin..mapping.end).contains(&call));
        let Some(number) = number else { return vec![frame(None, format!("{address:#x}"))] };
        let Mapping { begin, offset, file, .. } = &self.mappings[number];
        let place = call - begin + offset;
        let name = file.file_name().map_or_else(|| "unknown".into(), |name| name.to_string_lossy());
        let unknown = frame(Some(number), format!("{name}+{place:#x}"));
        let code = self.codes.entry(number).or_insert_with(|| Code::new(file));
        let Some((loader, own)) = code.loader.as_ref().zip(code.own_address(place)) else { return vec![unknown] };
        let mut frames = Vec::new();
        if let Ok(mut found) = loader.find_frames(own) {
            while let Ok(Some(inner)) = found.next() {
                let Some(name) =
                    inner.function.as_ref().and_then(|function| Some(function.demangle().ok()?.into_owned()))
                else {
                    continue;
                };
                let at = inner.location;
                let file = at.as_ref().and_then(|at| at.file).unwrap_or("").to_owned();
                let line = at.and_then(|at| at.line).unwrap_or(0);
                frames.push(Frame { file, line, ..frame(Some(number), name) });
            }
        }
        if frames.is_empty() {
            let symbol = loader.find_symbol(own).map(|name| demangle_auto(Cow::Borrowed(name), None).into_owned());
            frames.push(symbol.map_or(unknown, |name| frame(Some(number), name)));
        }
        frames
    }
}

/// Functions of the allocator are among this number of innermost ones.
const NEAR: usize = 16;
/// Names of functions of the allocator have one of these in them.
const OWN: [&str; 3] = ["record::profile::", "__rust_alloc", "__rust_realloc"];
/// And these are some of C's.
const MALLOC: [&str; 7] =
    ["malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign"];

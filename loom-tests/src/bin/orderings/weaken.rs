//! One source with all orderings: each is asked for, and a process has one of them weaker.

use std::io;
use std::path::Path;

use crate::copy::Files;
use crate::sites::Site;

/// In the environment: `reach`, for the sites that the process reaches to be printed; or the number of a site and
/// what it is weakened to.
pub(crate) const VARIABLE: &str = "WEAKENED_ORDERING";

/// Stands before the number of a site that is reached.
pub(crate) const REACHED: &str = "reached site ";

/// Stands at the end of the crate.
const ASKED: &str = r#"
#[allow(dead_code, reason = "not each build has a fence")]
mod weakened {
    extern crate std;
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::AtomicBool;

    use crate::sync::Ordering;

    enum Wanted {
        Nothing,
        Reach,
        Weaker(usize, Ordering),
    }

    static REACHED: [AtomicBool; SITES] = [const { AtomicBool::new(false) }; SITES];

    static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
        let Ok(wanted) = std::env::var("VARIABLE") else { return Wanted::Nothing };
        let Some((site, weaker)) = wanted.split_once(' ') else { return Wanted::Reach };
        let weaker = match weaker {
            "Relaxed" => Ordering::Relaxed,
            "Acquire" => Ordering::Acquire,
            "Release" => Ordering::Release,
            _ => Ordering::AcqRel,
        };
        Wanted::Weaker(site.parse().expect("it is a number"), weaker)
    });

    /// The ordering of a site, as this process has it.
    pub(crate) fn at(site: usize, ordering: Ordering) -> Ordering {
        match &*WANTED {
            Wanted::Weaker(weakened, weaker) if *weakened == site => *weaker,
            Wanted::Reach if !REACHED[site].swap(true, Ordering::Relaxed) => {
                let _ = std::io::stderr().write_all(std::format!("MARK{site}\n").as_bytes());
                ordering
            }
            _ => ordering,
        }
    }

    /// A fence, or none.
    pub(crate) fn fence(ordering: Ordering) {
        if ordering != Ordering::Relaxed {
            crate::sync::fence(ordering);
        }
    }
}
"#;

/// Has each site ask for its ordering by its number, which is its place in `sites`.
pub(crate) fn weaken(files: &mut Files, sites: &[Site]) -> io::Result<()> {
    for (path, content) in files.iter_mut() {
        let Ok(file) = path.strip_prefix("src") else { continue };
        let in_file = sites.iter().enumerate().filter(|(_, site)| Path::new(&site.file) == file);
        let mut changes = Vec::new();
        for (number, Site { place, fence, ordering, .. }) in in_file {
            changes.push((place.clone(), format!("crate::weakened::at({number}, Ordering::{ordering})")));
            changes.extend(fence.clone().map(|fence| (fence, "crate::weakened::fence".to_owned())));
        }
        // The last one first: what is before it stays where it is.
        changes.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        let mut source = String::from_utf8_lossy(content).into_owned();
        for (place, text) in changes {
            source.replace_range(place, &text);
        }
        *content = source.into_bytes();
    }
    let root = files.get_mut(Path::new("src/lib.rs")).ok_or(io::ErrorKind::NotFound)?;
    let asked = ASKED.replace("SITES", &sites.len().to_string()).replace("VARIABLE", VARIABLE).replace("MARK", REACHED);
    root.extend(asked.into_bytes());
    Ok(())
}

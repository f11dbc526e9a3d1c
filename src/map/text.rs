//! The picture in characters, for terminals and logs.

use core::fmt;

use super::cells::{Cells, Shares};
use crate::heaps::Heap;
use crate::heaps::Heaps;
use crate::units::{Bytes, Percent};

/// Most rows of a heap, and most cells of a row.
const MOST: usize = 1024;

/// A picture of the heaps of a pool in characters, as [`HeapMap::text`](crate::HeapMap::text) makes it.
///
/// # Examples
///
/// ```
/// let pool = mempool::MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// let picture = pool.heap_map().text(64, 4).to_string();
/// assert!(picture.starts_with("heap 0: 4 KiB, each character 64 B\n"));
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TextMap<'a> {
    heaps: &'a Heaps,
    min_shift: u32,
    columns: u64,
    rows: u64,
    colored: bool,
}

impl<'a> TextMap<'a> {
    pub(super) fn new(heaps: &'a Heaps, min_shift: u32, columns: usize, rows: usize) -> Self {
        let columns = 1 << columns.clamp(1, MOST).ilog2();
        Self { heaps, min_shift, columns, rows: rows.clamp(1, MOST) as u64, colored: false }
    }

    /// With colours or without: ANSI escape sequences of the 256-colour palette, blue for what is live (the fuller the
    /// darker), orange for what is cached.
    ///
    /// # Complexity
    ///
    /// O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::IsTerminal;
    ///
    /// # let pool = mempool::MemoryPool::new();
    /// println!("{}", pool.heap_map().text(64, 16).colored(std::io::stdout().is_terminal()));
    /// ```
    pub fn colored(self, colored: bool) -> Self {
        Self { colored, ..self }
    }

    fn heap(&self, f: &mut fmt::Formatter<'_>, heap: &Heap) -> fmt::Result {
        let mut cells = Cells::new(heap, self.min_shift, self.columns * self.rows);
        let capacity = heap.capacity();
        let row_size = cells.cell_size() * self.columns;
        let rows = capacity.div_ceil(row_size);
        let width = 2 + hexadecimal_digits((rows - 1) * row_size);
        writeln!(f, "{}: {}, each character {}", heap.id, Bytes(capacity), Bytes(cells.cell_size()))?;
        let mut at = 0;
        let mut pen = Pen { colored: self.colored, last: None };
        for run in cells.by_ref() {
            let shade = Shade::of(&run.shares);
            for _ in 0..run.cells {
                if at % self.columns == 0 {
                    if at > 0 {
                        pen.lift(f)?;
                        writeln!(f)?;
                    }
                    write!(f, "{:>#width$x} ", at / self.columns * row_size)?;
                }
                pen.draw(f, shade)?;
                at += 1;
            }
        }
        pen.lift(f)?;
        let totals = cells.totals();
        let Shares { live, cached, free, in_transit } = totals.shares;
        let share = Percent { part: live, whole: totals.shares.total() };
        write!(f, "\nlive {} ({share}), cached {}, free {}", Bytes(live), Bytes(cached), Bytes(free))?;
        if in_transit > 0 {
            write!(f, ", in transit {}", Bytes(in_transit))?;
        }
        writeln!(f, ", largest free block {}", Bytes(totals.largest_free))
    }

    fn legend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, shade) in SHADES.into_iter().enumerate() {
            if number > 0 {
                f.write_str("  ")?;
            }
            let mut pen = Pen { colored: self.colored, last: None };
            pen.draw(f, shade)?;
            pen.lift(f)?;
            write!(f, " {}", shade.meaning)?;
        }
        writeln!(f)
    }
}

impl fmt::Display for TextMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinned = self.heaps.pin();
        if pinned.view().count() == 0 {
            return writeln!(f, "no heaps");
        }
        for heap in pinned.view().by_age() {
            self.heap(f, heap)?;
        }
        self.legend(f)
    }
}

fn hexadecimal_digits(number: u64) -> usize {
    number.checked_ilog2().unwrap_or(0) as usize / 4 + 1
}

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shade {
    character: char,
    meaning: &'static str,
    /// A number of the 256-colour palette, chosen to be seen on black and on white.
    color: u8,
}

const FREE: Shade = Shade { character: '·', meaning: "free", color: 245 };
const THIRD: Shade = Shade { character: '░', meaning: "up to 1/3 live", color: 117 };
const TWO_THIRDS: Shade = Shade { character: '▒', meaning: "up to 2/3", color: 75 };
const MORE: Shade = Shade { character: '▓', meaning: "more", color: 33 };
const LIVE: Shade = Shade { character: '█', meaning: "all live", color: 27 };
const CACHED: Shade = Shade { character: 'c', meaning: "cached only", color: 208 };
const IN_TRANSIT: Shade = Shade { character: 't', meaning: "in transit", color: 170 };
/// In the order of the legend.
const SHADES: [Shade; 7] = [FREE, THIRD, TWO_THIRDS, MORE, LIVE, CACHED, IN_TRANSIT];

impl Shade {
    fn of(shares: &Shares) -> Self {
        match shares.live {
            0 if shares.cached > 0 => CACHED,
            0 if shares.in_transit > 0 => IN_TRANSIT,
            0 => FREE,
            live if live == shares.total() => LIVE,
            // Rounded up to thirds: what is just one third is not more.
            live => match shares.scaled(live, 3 << 32).div_ceil(1 << 32) {
                0..=1 => THIRD,
                2 => TWO_THIRDS,
                _ => MORE,
            },
        }
    }
}

/// Writes cells, and an escape sequence only where the colour changes.
#[derive(Debug)]
struct Pen {
    colored: bool,
    last: Option<Shade>,
}

impl Pen {
    fn draw(&mut self, f: &mut fmt::Formatter<'_>, shade: Shade) -> fmt::Result {
        if self.colored && self.last != Some(shade) {
            write!(f, "\x1b[38;5;{}m", shade.color)?;
            self.last = Some(shade);
        }
        write!(f, "{}", shade.character)
    }

    /// Back to the terminal's own colour.
    fn lift(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last.take() {
            Some(_) => f.write_str("\x1b[0m"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};
    use core::ptr;

    use super::super::HUGE;
    use crate::MemoryPool;

    const LEGEND: &str = "· free  ░ up to 1/3 live  ▒ up to 2/3  ▓ more  █ all live  c cached only  t in transit\n";

    fn pool_of(heaps: &[(usize, usize)]) -> MemoryPool {
        let pool = MemoryPool::new();
        for &(base, size) in heaps {
            pool.add_heap(ptr::without_provenance_mut(base), size).expect("nothing lies there yet");
        }
        pool
    }

    fn without_escapes(text: &str) -> String {
        text.split("\x1b[")
            .enumerate()
            .map(|(i, part)| if i == 0 { part } else { part.split_once('m').expect("an escape ends").1 })
            .collect()
    }

    #[test]
    fn shades_show_the_live_share_exactly() {
        let pool = pool_of(&[(1 << 20, 64 * 32)]);
        let blocks: [_; 32] = core::array::from_fn(|_| pool.hl_alloc(64));
        // Of each four neighbours, three blocks, one, none, all, and two are live.
        for free in [3, 5, 6, 7, 8, 9, 10, 11, 18, 19] {
            let address = (1 << 20) + free * 64;
            let block = blocks.iter().find(|block| block.addr() == address).expect("one lies there");
            pool.hl_release(*block).expect("it is live");
        }
        let expected = "heap 0: 2 KiB, each character 256 B
  0x0 ▓░·█
0x400 ▒███
live 1.3 KiB (68.7 %), cached 0 B, free 640 B, largest free block 256 B
";
        assert_eq!(pool.heap_map().text(7, 2).to_string(), String::from(expected) + LEGEND);
    }

    #[test]
    fn colour_changes_nothing_but_escapes() {
        let pool = pool_of(&[(1 << 20, 1 << 16), (3, 12_345)]);
        for size in [100, 1000, 10_000, 64] {
            assert!(!pool.hl_alloc(size).is_null());
        }
        let text = pool.heap_map().text(64, 8);
        let (plain, colored) = (text.to_string(), text.clone().colored(true).to_string());
        assert!(!plain.contains('\x1b') && colored.contains("\x1b[38;5;27m█"));
        assert_eq!(without_escapes(&colored), plain);
        assert!(colored.lines().all(|line| !line.contains('\x1b') || line.matches("\x1b[0m").count() > 0));
    }

    #[test]
    fn any_size_is_drawn() {
        assert_eq!(MemoryPool::new().heap_map().text(80, 24).to_string(), "no heaps\n");
        let small = pool_of(&[(64, 64)]);
        assert_eq!(
            small.heap_map().text(0, 0).to_string(),
            String::from(
                "heap 0: 64 B, each character 64 B\n0x0 ·\nlive 0 B (0.0 %), cached 0 B, free 64 B, largest free block 64 B\n"
            ) + LEGEND
        );
        // Very many bytes, and the end of the address space.
        let huge = MemoryPool::builder().min_block(4096).build().expect("a power of two");
        let (size, name) = HUGE;
        huge.add_heap(ptr::without_provenance_mut(size), size).expect("room for a heap");
        huge.add_heap(ptr::without_provenance_mut(usize::MAX - 8191), 8192).expect("room for a heap");
        for (columns, rows) in [(0, 0), (1, 0), (3, 1), (64, 16), (usize::MAX, 1), (1, usize::MAX), (1000, 1000)] {
            let text = huge.heap_map().text(columns, rows).to_string();
            let figures = [format!("heap 0: {name}"), format!("largest free block {name}")];
            assert!(figures.iter().all(|figure| text.contains(figure)), "{text}");
            assert!(text.lines().count() <= 2 * (rows.clamp(1, 1024) + 2) + 1);
        }
    }
}

//! The picture as an SVG document, for slides and pages.
//!
//! Attributes only, no style sheet: slide programs that import SVG know little of CSS.

use core::fmt::{self, Write as _};

use super::cells::{Cells, Shares};
use super::drawing::{Drawing, INK, LEFT, LOOKS, ROW_PITCH};
use crate::heaps::{Heap, Heaps, View};
use crate::units::{Bytes, Percent};

/// Most heaps that are shown, and most rows of all of them. With 256 columns a row this bounds the document.
const MOST_HEAPS: usize = 32;
const MOST_ROWS: u64 = 32;
const MOST_ROWS_OF_A_HEAP: u64 = 16;
/// Of a row. Powers of two, so that rows begin at round offsets; a heap of few cells has fewer columns.
const MOST_COLUMNS: u64 = 256;
const FEW_COLUMNS: u64 = 64;

// Lengths in pixels.
const WIDTH: u64 = 1200;
const MARGIN: u64 = 40;
const TOP: u64 = 96;
const HEADING: u64 = 34;
const PANEL_GAP: u64 = 20;

const FONT: &str = "Helvetica, Arial, 'Liberation Sans', sans-serif";
const MONOSPACE: &str = "Menlo, Consolas, 'Liberation Mono', monospace";
const FAINT_INK: &str = "#616e7c";

/// The pattern of `LOOKS`.
const HATCHING: &str = "<defs><pattern id=\"heap-map-cached\" width=\"6\" height=\"6\" \
     patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#e69f00\"/>\
     <rect width=\"2\" height=\"6\" fill=\"#8f5f00\"/></pattern></defs>";

/// A picture of the heaps of a pool as an SVG document, as [`HeapMap::svg`](crate::HeapMap::svg) makes it.
///
/// # Examples
///
/// ```
/// let pool = mempool::MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// let picture = pool.heap_map().svg().title("at the start").to_string();
/// assert!(picture.contains("at the start"));
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SvgMap<'a> {
    heaps: &'a Heaps,
    min_shift: u32,
    title: &'a str,
}

impl<'a> SvgMap<'a> {
    pub(super) fn new(heaps: &'a Heaps, min_shift: u32) -> Self {
        Self { heaps, min_shift, title: "Heap map" }
    }

    /// With this heading; "Heap map" unless set.
    ///
    /// # Complexity
    ///
    /// O(1).
    pub fn title(self, title: &'a str) -> Self {
        Self { title, ..self }
    }

    fn panels<'h>(&self, heaps: View<'h>) -> impl Iterator<Item = Panel<'h>> + use<'h> {
        let shown = heaps.count().clamp(1, MOST_HEAPS);
        let most_rows = (MOST_ROWS / shown as u64).clamp(1, MOST_ROWS_OF_A_HEAP);
        let min_shift = self.min_shift;
        heaps.by_age().take(shown).map(move |heap| Panel::new(heap, min_shift, most_rows))
    }
}

impl fmt::Display for SvgMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinned = self.heaps.pin();
        let heaps = pinned.view();
        let hidden = heaps.count().saturating_sub(MOST_HEAPS);
        let panels: u64 = self.panels(heaps).map(|panel| panel.height()).sum();
        let height = TOP + panels + MARGIN;
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"{FONT}\" font-size=\"13\" fill=\"{INK}\">"
        )?;
        writeln!(f, "<title>{}</title>{HATCHING}", Escaped(self.title))?;
        writeln!(f, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>")?;
        let title = Escaped(self.title);
        // Letters of this type are some two thirds as wide as it is high.
        let font_size = (WIDTH * 3 / 2 / self.title.chars().count().max(1) as u64).clamp(10, 24);
        writeln!(f, "<text x=\"{MARGIN}\" y=\"46\" font-size=\"{font_size}\" font-weight=\"bold\">{title}</text>")?;
        legend(f)?;
        let mut top = TOP;
        for panel in self.panels(heaps) {
            let height = panel.height();
            panel.draw(f, top)?;
            top += height;
        }
        let note = match hidden {
            0 if top == TOP => "The pool has no heaps.",
            0 => "",
            _ => "The pool has more heaps; these are the first 32.",
        };
        writeln!(f, "<text x=\"{MARGIN}\" y=\"{}\" fill=\"{FAINT_INK}\">{note}</text>\n</svg>", top + 10)
    }
}

fn legend(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut x = MARGIN;
    for (_, name, fill) in LOOKS {
        write!(f, "<rect x=\"{x}\" y=\"66\" width=\"14\" height=\"14\" fill=\"{fill}\"/>")?;
        writeln!(f, "<text x=\"{}\" y=\"78\">{name}</text>", x + 20)?;
        x += 80;
    }
    // Four columns as an example.
    x += 20;
    write!(f, "<rect x=\"{x}\" y=\"66\" width=\"24\" height=\"14\" fill=\"{}\"/>", LOOKS[0].2)?;
    write!(f, "<path fill=\"{}\" d=\"M{x} 80v-5h6v-6h6v8h6v-4h6v7z\"/>", LOOKS[1].2)?;
    let text = "several blocks in a column: filled from below by the share that is live";
    writeln!(f, "<text x=\"{}\" y=\"78\">{text}</text>", x + 30)
}

/// One heap on the page.
#[derive(Debug)]
struct Panel<'a> {
    heap: &'a Heap,
    cells: Cells<'a>,
    columns: u64,
    rows: u64,
}

impl<'a> Panel<'a> {
    fn new(heap: &'a Heap, min_shift: u32, most_rows: u64) -> Self {
        let cells = Cells::new(heap, min_shift, MOST_COLUMNS * most_rows);
        let count = heap.capacity().div_ceil(cells.cell_size());
        let enough = count.div_ceil(most_rows).next_power_of_two();
        let columns = enough.max(FEW_COLUMNS.min(count.next_power_of_two()));
        Self { heap, cells, columns, rows: count.div_ceil(columns) }
    }

    fn height(&self) -> u64 {
        HEADING + self.rows * ROW_PITCH + PANEL_GAP
    }

    fn draw(mut self, f: &mut fmt::Formatter<'_>, top: u64) -> fmt::Result {
        let capacity = self.heap.capacity();
        let cell_size = self.cells.cell_size();
        let mut drawing = Drawing::new(self.columns, top + HEADING);
        for run in self.cells.by_ref() {
            drawing.run(&run)?;
        }
        let totals = self.cells.totals();
        let Shares { live, cached, free, .. } = totals.shares;
        let largest = totals.largest_free;
        let fragmentation = Percent { part: free.saturating_sub(largest), whole: free };
        writeln!(
            f,
            "<text x=\"{MARGIN}\" y=\"{}\" fill=\"{FAINT_INK}\"><tspan font-size=\"16\" font-weight=\"bold\" \
             fill=\"{INK}\">{}, {}</tspan><tspan dx=\"16\">live {} ({})</tspan><tspan dx=\"16\">cached {}</tspan><tspan \
             dx=\"16\">free {}</tspan><tspan dx=\"16\">largest free block {}</tspan><tspan dx=\"16\">external \
             fragmentation {fragmentation}</tspan><tspan dx=\"16\">a column is {}</tspan></text>",
            top + 20,
            self.heap.id,
            Bytes(capacity),
            Bytes(live),
            Percent { part: live, whole: totals.shares.total() },
            Bytes(cached),
            Bytes(free),
            Bytes(largest),
            Bytes(cell_size),
        )?;
        write!(f, "<g font-family=\"{MONOSPACE}\" font-size=\"11\" text-anchor=\"end\" fill=\"{FAINT_INK}\">")?;
        for row in 0..self.rows {
            let y = top + HEADING + row * ROW_PITCH + 15;
            write!(f, "<text x=\"{}\" y=\"{y}\">{:#x}</text>", LEFT - 10, row * self.columns * cell_size)?;
        }
        writeln!(f, "</g>")?;
        drawing.finish(f)
    }
}

/// Text that XML takes as text.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '\0'..' ' | '\u{fffe}' | '\u{ffff}' => f.write_char(' ')?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::ptr;

    use super::super::HUGE;
    use crate::MemoryPool;

    fn pool_of(heaps: impl IntoIterator<Item = (usize, usize)>) -> MemoryPool {
        let pool = MemoryPool::new();
        for (base, size) in heaps {
            pool.add_heap(ptr::without_provenance_mut(base), size).expect("heaps lie apart");
        }
        pool
    }

    /// The area of the paths of one colour in square pixels.
    fn area(svg: &str, fill: &str) -> f64 {
        let paths =
            svg.lines().filter(|line| line.starts_with("<path") && line.contains(fill) && !line.contains("80v-5h6"));
        let rectangles = paths.flat_map(|line| line.split_once("d=\"").expect("a path").1.split('z'));
        let side = |text: &str| text.parse::<f64>().expect("a number");
        let area = |rectangle: &str| {
            let (_, sides) = rectangle.split_once('h')?;
            let (width, sides) = sides.split_once('v')?;
            Some(side(width) * side(sides.trim_start_matches('-').split_once('h')?.0))
        };
        rectangles.filter_map(area).sum()
    }

    #[test]
    fn areas_are_in_proportion_to_bytes() {
        // 16 rows of 256 columns, each of 4 units.
        let pool = pool_of([(1 << 30, 1 << 20)]);
        let blocks: Vec<_> = (0..10_000).map(|_| pool.hl_alloc(64)).collect();
        for (number, block) in blocks.iter().enumerate() {
            if number % 3 == 0 {
                pool.hl_release(*block).expect("it is live");
            }
        }
        let stats = pool.stats();
        let svg = pool.heap_map().svg().to_string();
        let pixels = area(&svg, "#0072b2");
        let expected = stats.live as f64 / stats.capacity as f64 * 16.0 * 1024.0 * 22.0;
        assert!((pixels / expected - 1.0).abs() < 0.01, "{pixels} instead of {expected}");
    }

    #[test]
    fn it_is_bounded_whatever_the_heaps_are() {
        // Blocks of alternating states, far more than columns, in more heaps than are shown.
        let pool = pool_of((1..=40).map(|number| (number << 20, 1 << 16)));
        let blocks: Vec<_> = (0..40 * 1024).map(|_| pool.hl_alloc(64)).collect();
        for block in blocks.iter().step_by(2) {
            pool.hl_release(*block).expect("it is live");
        }
        let svg = pool.heap_map().svg().to_string();
        assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
        assert!(svg.contains("these are the first 32"));
        assert_eq!(svg.matches("largest free block").count(), 32);
    }

    #[test]
    fn any_size_is_drawn() {
        assert!(MemoryPool::new().heap_map().svg().to_string().contains("The pool has no heaps."));
        for (base, size) in [(64, 64), (3, 1000), (4096, 4096), (usize::MAX - 4095, 4096), (HUGE.0, HUGE.0 >> 4)] {
            let pool = pool_of([(base, size)]);
            for request in [1, 64, 200, 10_000] {
                _ = pool.hl_alloc(request);
            }
            let svg = pool.heap_map().svg().to_string();
            assert!(svg.len() < 20_000 && svg.ends_with("</svg>\n"));
        }
        let huge = MemoryPool::builder().min_block(4096).build().expect("a power of two");
        huge.add_heap(ptr::without_provenance_mut(HUGE.0), HUGE.0).expect("it is the only heap");
        assert!(huge.heap_map().svg().to_string().contains(&format!(">{}</text>", HUGE.1)));
    }

    #[test]
    fn titles_are_escaped() {
        let svg = pool_of([(64, 64)]).heap_map().svg().title("a < b & \"c\"\n").to_string();
        assert!(svg.contains("<title>a &lt; b &amp; \"c\" </title>"));
    }
}

//! Six frames of a film side by side, as an SVG document for a slide. Attributes only: slide programs know little of
//! CSS.

use std::collections::BTreeMap;
use std::fmt::Write;

use indicatif::{HumanBytes, HumanCount};
use recordings::Trace;

use crate::cells::{Area, COLUMNS, Cell, Content, ROWS, State, area};
use crate::film::Film;
use crate::page::largest;
use crate::palette::{Colour, LIGHT, css, ink_on, sizes};

const FRAMES: usize = 6;
const FRAMES_A_ROW: usize = 3;

// Lengths in pixels.
const WIDTH: usize = 1600;
const MARGIN: usize = 40;
const TOP: usize = 118;
/// Of a cell.
const SCALE: f64 = 3.875;
const FRAME_WIDTH: usize = (COLUMNS as f64 * SCALE) as usize;
const FRAME_HEIGHT: usize = (ROWS as f64 * SCALE) as usize;
const PITCH: (usize, usize) = (FRAME_WIDTH + 16, FRAME_HEIGHT + 58);
const LEGEND: usize = 84;
/// Between two blocks, in cells.
const GAP: f64 = 0.2;

const INK: &str = "#17202b";
const FAINT: &str = "#5d6b7a";
const FONT: &str = "Helvetica, Arial, 'Liberation Sans', sans-serif";

/// The text of the file.
pub fn render(trace: &Trace, film: &Film) -> String {
    let mut svg = String::new();
    write_all(&mut svg, trace, film).expect("a string takes everything");
    svg
}

fn write_all(svg: &mut String, trace: &Trace, film: &Film) -> std::fmt::Result {
    let chosen = chosen(film.frames.len(), film.peak);
    let height = TOP + chosen.len().div_ceil(FRAMES_A_ROW) * PITCH.1 + LEGEND;
    let largest = largest(film);
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"{FONT}\" font-size=\"16\" fill=\"{INK}\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>"
    )?;
    let program = trace.name();
    let program = program.replace('&', "&amp;").replace('<', "&lt;");
    let capacity = film.moments.first().map_or(0, |moment| moment.live + moment.cached + moment.free);
    let text = |svg: &mut String, (x, y): (usize, usize), look: &str, text: &str| {
        writeln!(svg, "<text x=\"{x}\" y=\"{y}\" {look}>{text}</text>")
    };
    let heading = format!("A heap of {} over the life of {program}", bytes(capacity));
    text(svg, (MARGIN, 56), "font-size=\"32\" font-weight=\"bold\"", &heading)?;
    let method =
        "Neighbours in memory are neighbours in the picture; a block, aligned to its size, is a square or half of one";
    text(svg, (MARGIN, 86), &format!("fill=\"{FAINT}\""), method)?;

    let frames: Vec<_> = film.decoded().collect();
    for (number, frame) in chosen.iter().enumerate() {
        let (x, y) = (MARGIN + number % FRAMES_A_ROW * PITCH.0, TOP + number / FRAMES_A_ROW * PITCH.1);
        writeln!(svg, "<g transform=\"translate({x} {y}) scale({SCALE})\">")?;
        cells(svg, &frames[*frame], film.grid.cell, largest)?;
        writeln!(svg, "</g>")?;
        let moment = &film.moments[*frame];
        let at_peak = if *frame == film.peak { ", the most" } else { "" };
        let [events, live] = [HumanCount(moment.events as u64).to_string(), bytes(moment.live)];
        let [events, live] = [events.replace(',', "\u{202f}"), format!("{live} live{at_peak}")];
        text(svg, (x, y + FRAME_HEIGHT + 24), "font-weight=\"bold\"", &format!("after {events} events"))?;
        let right = (x + FRAME_WIDTH, y + FRAME_HEIGHT + 24);
        text(svg, right, &format!("fill=\"{FAINT}\" text-anchor=\"end\""), &live)?;
    }
    legend(svg, height - LEGEND, film.grid.cell, largest)?;
    writeln!(svg, "</svg>")
}

fn bytes(bytes: usize) -> String {
    HumanBytes(bytes as u64).to_string().replace(".00", "")
}

/// Frames at equal distances, and the peak.
fn chosen(frames: usize, peak: usize) -> Vec<usize> {
    let last = frames.saturating_sub(1);
    let mut chosen: Vec<usize> = (1..FRAMES).map(|number| number * last / (FRAMES - 1)).collect();
    chosen.push(peak.min(last));
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// The cells of one frame, one path for each colour; a unit is a cell.
fn cells(svg: &mut String, cells: &[Cell], cell_size: usize, largest: u32) -> std::fmt::Result {
    let mut paths: BTreeMap<Colour, String> = BTreeMap::new();
    let mut small = vec![None; COLUMNS * ROWS];
    let mut labels = String::new();
    let mut at = 0;
    while let Some(cell) = cells.get(at) {
        let colour = LIGHT.colour(*cell, largest);
        match cell.content() {
            Content::Block { state, order: order @ 1.. } => {
                let Area { x, y, width, height } = area(at, order);
                let path = paths.entry(colour).or_default();
                let (w, h) = (width as f64 - GAP, height as f64 - GAP);
                write!(path, "M{x} {y}h{w}v{h}h-{w}z")?;
                if width >= 16 && height >= 8 {
                    let fill = if state == State::Free { FAINT } else { ink_on(colour) };
                    let (x, y, size) = (x + width / 2, y as f64 + height as f64 / 2.0, (width as f64 / 5.5).min(6.0));
                    let name = bytes(cell_size << order);
                    let y = y + size / 3.0;
                    write!(
                        labels,
                        "<text x=\"{x}\" y=\"{y:.1}\" font-size=\"{size:.1}\" fill=\"{fill}\">{name}</text>"
                    )?;
                }
                at += 1 << order;
            }
            _ => {
                let Area { x, y, .. } = area(at, 0);
                small[y * COLUMNS + x] = Some(colour);
                at += 1;
            }
        }
    }
    // Small ones beside each other without gaps.
    for (y, row) in small.chunks(COLUMNS).enumerate() {
        let mut x = 0;
        for alike in row.chunk_by(|left, right| left == right) {
            if let Some(colour) = alike[0] {
                write!(paths.entry(colour).or_default(), "M{x} {y}h{0}v1h-{0}z", alike.len())?;
            }
            x += alike.len();
        }
    }
    for (colour, path) in paths {
        writeln!(svg, "<path fill=\"{}\" d=\"{path}\"/>", css(colour))?;
    }
    writeln!(svg, "<g text-anchor=\"middle\" font-weight=\"bold\">{labels}</g>")
}

/// In columns that leave room for wide letters: nobody knows the font.
fn legend(svg: &mut String, y: usize, cell_size: usize, largest: u32) -> std::fmt::Result {
    const COLUMN: usize = 228;
    let state = |state| {
        let is_it = |cell: &Cell| cell.content() == Content::Block { state, order: 0 };
        (0..Cell::COUNT).map(Cell).find(is_it).map(|cell| LIGHT.colour(cell, largest)).unwrap_or_default()
    };
    let mut entry = |row: usize, column: usize, fill: Colour, name: &str| {
        let (x, y, fill) = (MARGIN + 130 + column * COLUMN, y + row * 30, css(fill));
        write!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"18\" height=\"18\" rx=\"3\" fill=\"{fill}\"/>")?;
        writeln!(svg, "<text x=\"{}\" y=\"{}\">{name}</text>", x + 26, y + 15)
    };
    entry(0, 0, state(State::Free), "free")?;
    entry(0, 1, state(State::Cached), "cached")?;
    for (column, sizes) in sizes(largest).into_iter().enumerate() {
        let (first, last) = sizes.into_inner();
        let size = |size: u32| bytes(cell_size << size >> 1);
        let name = match first {
            0 if last == 0 => format!("below {}", size(1)),
            0 => format!("up to {}", size(last)),
            _ if first == last => size(first),
            _ => format!("{} to {}", size(first), size(last)),
        };
        entry(1, column, LIGHT.live(first, largest), &name)?;
    }
    writeln!(svg, "<text x=\"{MARGIN}\" y=\"{}\" font-weight=\"bold\">live blocks</text>", y + 45)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_among_the_frames() {
        assert_eq!(chosen(301, 190), [60, 120, 180, 190, 240, 300]);
        assert_eq!(chosen(301, 300), [60, 120, 180, 240, 300]);
        assert_eq!(chosen(2, 1), [0, 1]);
    }

    #[test]
    fn every_cell_is_drawn_once() {
        let trace = Trace::read(b"# program: a < b & c\na 0 0 100\na 0 1 100000\na 0 2 3000\nf 0 0\n").unwrap();
        let pool = crate::play::pool(64, 1 << 20).unwrap();
        let film = Film::record(&trace, &pool, 4, None).unwrap();
        for frame in film.decoded() {
            let mut svg = String::new();
            cells(&mut svg, &frame, film.grid.cell, 3).unwrap();
            let side = |text: &str| text.parse::<f64>().unwrap().ceil();
            let area = |rectangle: &str| {
                let (width, sides) = rectangle.split_once('h')?.1.split_once('v')?;
                Some(side(width) * side(sides.split_once('h')?.0))
            };
            let drawn: f64 = svg.split('M').skip(1).filter_map(area).sum();
            assert_eq!(drawn, frame.len() as f64);
        }
        assert!(render(&trace, &film).contains("the life of a &lt; b &amp; c</text>"));
    }
}

//! The rows of a heap in the SVG picture.

use alloc::string::String;
use core::fmt::{self, Write as _};

use super::BlockState;
use super::cells::{Run, Shares};
use crate::units::Bytes;

// Lengths in pixels.
pub(super) const LEFT: u64 = 136;
/// Of a row: a power of two, so that a column is a whole number of pixels.
const ROW_WIDTH: u64 = 1024;
const ROW_HEIGHT: u64 = 22;
pub(super) const ROW_PITCH: u64 = 26;
/// The least width of a block that bears its size.
const LABELLED: u64 = 72;

pub(super) const INK: &str = "#1f2933";

/// The states in the order of their layers, with colours that also differ in lightness (after Okabe and Ito, Color
/// Universal Design, 2008); what is cached is hatched besides.
pub(super) const LOOKS: [(BlockState, &str, &str); 4] = [
    (BlockState::Free, "free", "#e4e7eb"),
    (BlockState::Live, "live", "#0072b2"),
    (BlockState::Cached, "cached", "url(#heap-map-cached)"),
    (BlockState::InTransit, "in transit", "#cc79a7"),
];

/// The rows of a panel while they are drawn: a path for each state, of blocks and of mixed columns, and the labels.
#[derive(Debug)]
pub(super) struct Drawing {
    columns: u64,
    top: u64,
    at: u64,
    blocks: [String; 4],
    mixed: [String; 4],
    labels: String,
}

impl Drawing {
    pub(super) fn new(columns: u64, top: u64) -> Self {
        let (blocks, mixed) = Default::default();
        Self { columns, top, at: 0, blocks, mixed, labels: String::new() }
    }

    fn column_width(&self) -> u64 {
        ROW_WIDTH / self.columns
    }

    fn x(&self) -> u64 {
        LEFT + self.at % self.columns * self.column_width()
    }

    fn y(&self) -> u64 {
        self.top + self.at / self.columns * ROW_PITCH
    }

    pub(super) fn run(&mut self, run: &Run) -> fmt::Result {
        match run.block {
            Some((state, size)) => self.block(run.cells, state, size),
            None => self.column(&run.shares),
        }
    }

    /// A block: what it has of its first row, then all rows that are its own as one, then what it has of the last.
    fn block(&mut self, cells: u64, state: BlockState, size: u64) -> fmt::Result {
        let first = match self.at % self.columns {
            0 => 0,
            begun => cells.min(self.columns - begun),
        };
        let rows = (cells - first) / self.columns;
        let last = (cells - first) % self.columns;
        let largest = if rows > 0 { self.columns } else { first.max(last) };
        let mut label = self.column_width() * largest >= LABELLED;
        for (columns, rows) in [(first, 1), (self.columns, rows), (last, 1)] {
            if columns == 0 || rows == 0 {
                continue;
            }
            let (x, y) = (self.x(), self.y());
            let (width, height) = (columns * self.column_width(), rows * ROW_PITCH - (ROW_PITCH - ROW_HEIGHT));
            if let Some(path) = layer(&mut self.blocks, state) {
                write!(path, "M{x} {y}h{width}v{height}h-{width}z")?;
            }
            if label && columns == largest {
                label = false;
                let font_size = if rows > 1 { 16 } else { 11 };
                let fill = if state == BlockState::Live { "#ffffff" } else { INK };
                let (x, y) = (x + width / 2, y + height / 2 + font_size / 3 + 1);
                write!(self.labels, "<text x=\"{x}\" y=\"{y}\" font-size=\"{font_size}\" fill=\"{fill}\">")?;
                writeln!(self.labels, "{}</text>", Bytes(size))?;
            }
            self.at += columns * rows;
        }
        Ok(())
    }

    /// A column of several blocks.
    fn column(&mut self, shares: &Shares) -> fmt::Result {
        let (x, y, width) = (self.x(), self.y(), self.column_width());
        if let Some(path) = layer(&mut self.mixed, BlockState::Free) {
            write!(path, "M{x} {y}h{width}v{ROW_HEIGHT}h-{width}z")?;
        }
        let mut bottom = Tenths((y + ROW_HEIGHT) * 10);
        let Shares { live, cached, in_transit, .. } = *shares;
        for (state, bytes) in
            [(BlockState::Live, live), (BlockState::Cached, cached), (BlockState::InTransit, in_transit)]
        {
            let height = Tenths(shares.scaled(bytes, ROW_HEIGHT * 10));
            if height.0 > 0
                && let Some(path) = layer(&mut self.mixed, state)
            {
                write!(path, "M{x} {bottom}h{width}v-{height}h-{width}z")?;
                bottom.0 -= height.0;
            }
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn finish(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Thin lines where blocks may be narrow.
        let stroke_width = if self.column_width() <= 8 { "0.8" } else { "1.6" };
        for ((_, _, fill), (mixed, blocks)) in LOOKS.into_iter().zip(self.mixed.iter().zip(&self.blocks)) {
            if !mixed.is_empty() {
                writeln!(f, "<path fill=\"{fill}\" shape-rendering=\"crispEdges\" d=\"{mixed}\"/>")?;
            }
            if !blocks.is_empty() {
                write!(f, "<path fill=\"{fill}\" stroke=\"#ffffff\" stroke-width=\"{stroke_width}\" ")?;
                writeln!(f, "d=\"{blocks}\"/>")?;
            }
        }
        writeln!(f, "<g text-anchor=\"middle\">\n{}</g>", self.labels)
    }
}

fn layer(layers: &mut [String; 4], state: BlockState) -> Option<&mut String> {
    let mut looks = LOOKS.into_iter().zip(layers);
    looks.find(|((of, ..), _)| *of == state).map(|(_, layer)| layer)
}

/// Tenths of a pixel.
struct Tenths(u64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}", self.0 / 10),
            tenths => write!(f, "{}.{tenths}", self.0 / 10),
        }
    }
}

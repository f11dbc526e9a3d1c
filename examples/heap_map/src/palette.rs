//! What colour a cell has, on light and on dark ground.
//!
//! Live blocks go from teal over blue and violet to pink as they get larger, what is cached is orange, what is free is
//! near to the ground. They differ in lightness, too.

use crate::cells::{Cell, Content, State};

/// Red, green and blue.
pub type Colour = [u8; 3];

/// The colours for one ground.
#[derive(Debug)]
pub struct Palette {
    free: Colour,
    cached: Colour,
    /// For live blocks, from those that are smaller than a cell to the largest.
    live: [Colour; 5],
}

pub const LIGHT: Palette = Palette {
    free: [0xe8, 0xec, 0xf1],
    cached: [0xf5, 0x9f, 0x0a],
    live: [[0x1f, 0xae, 0x9b], [0x15, 0x8f, 0xc4], [0x2f, 0x63, 0xd8], [0x74, 0x42, 0xcf], [0xc0, 0x2f, 0x8e]],
};

pub const DARK: Palette = Palette {
    free: [0x1b, 0x22, 0x2d],
    cached: [0xff, 0xb4, 0x3a],
    live: [[0x2d, 0xd0, 0xb5], [0x2b, 0xa9, 0xe6], [0x4e, 0x82, 0xff], [0x97, 0x66, 0xff], [0xf2, 0x5c, 0xb5]],
};

impl Palette {
    /// The colour of a cell, where no live block has more than 2^`largest` cells.
    pub fn colour(&self, cell: Cell, largest: u32) -> Colour {
        match cell.content() {
            Content::Block { state: State::Free, .. } => self.free,
            Content::Block { state: State::Cached, .. } => self.cached,
            Content::Block { state: State::Live, order } => {
                // The first colour is for what is smaller.
                self.live_at(f64::from(order + 1) / f64::from(largest + 1))
            }
            Content::Mixed { live, cached } => {
                let ground = mix(self.free, self.cached, cached as f64 / (4 - live).max(1) as f64);
                // As much is seen of a quarter as can still be told from half.
                mix(ground, self.live_at(0.0), [0.0, 0.34, 0.56, 0.78, 1.0][live.min(4)])
            }
        }
    }

    /// From 0 to 1.
    fn live_at(&self, place: f64) -> Colour {
        let place = place.clamp(0.0, 1.0) * (self.live.len() - 1) as f64;
        let before = (place as usize).min(self.live.len() - 2);
        mix(self.live[before], self.live[before + 1], place - before as f64)
    }

    /// The colours of all cells, as CSS has them.
    pub fn all(&self, largest: u32) -> Vec<String> {
        (0..Cell::COUNT).map(|number| css(self.colour(Cell(number), largest))).collect()
    }
}

fn mix(from: Colour, to: Colour, share: f64) -> Colour {
    std::array::from_fn(|part| {
        let (from, to) = (f64::from(from[part]), f64::from(to[part]));
        (from + (to - from) * share).round() as u8
    })
}

pub fn css([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_looks_different() {
        for palette in [LIGHT, DARK] {
            let of = |wanted: fn(&Content) -> bool| {
                let cells = (0..Cell::COUNT).map(Cell).filter(move |cell| wanted(&cell.content()));
                cells.map(|cell| palette.colour(cell, 7)).collect::<Vec<_>>()
            };
            let mut live = of(|content| matches!(content, Content::Block { state: State::Live, order: 0..=7 }));
            let full = of(|content| matches!(content, Content::Mixed { live: 4, .. }));
            live.extend(full);
            live.extend(of(|content| matches!(content, Content::Mixed { cached: 0, live: 0..=3 })));
            live.extend(of(|content| matches!(content, Content::Block { state: State::Cached, order: 0 })));
            let count = live.len();
            live.sort_unstable();
            live.dedup();
            assert_eq!((live.len(), count), (14, 14));
        }
    }
}

//! The colour of a cell, on light and on dark ground.
//!
//! Live blocks have the colours of viridis (Smith and van der Walt, 2015), from dark to light as they get larger.
//! Cached blocks are Okabe and Ito's vermilion (Color Universal Design, 2008), free ones are near the ground.
//!
//! There are few colours, and far apart: at most six for all sizes. Where there are more sizes, neighbouring sizes have
//! one colour together; their areas in the picture tell them apart.

use std::ops::RangeInclusive;

use crate::cells::{Cell, Content, State};

/// Red, green and blue.
pub type Colour = [u8; 3];

/// The colours for one ground.
#[derive(Debug)]
pub struct Palette {
    free: Colour,
    /// For live blocks, from the smallest to the largest: of viridis, at places whose colours are equally far apart
    /// for whoever tells them apart worst.
    live: [Colour; MOST as usize],
}

pub const LIGHT: Palette = Palette {
    free: [0xe8, 0xec, 0xf1],
    live: [
        [0x44, 0x01, 0x54],
        [0x30, 0x6a, 0x8e],
        [0x21, 0x95, 0x8b],
        [0x34, 0xb6, 0x7a],
        [0x65, 0xca, 0x5d],
        [0xaf, 0xdd, 0x2f],
    ],
};

/// Without the darkest colours.
pub const DARK: Palette = Palette {
    free: [0x1b, 0x22, 0x2d],
    live: [
        [0x42, 0x3c, 0x83],
        [0x2a, 0x78, 0x8e],
        [0x20, 0x9f, 0x88],
        [0x3c, 0xba, 0x75],
        [0x6f, 0xce, 0x57],
        [0xaf, 0xdd, 0x2f],
    ],
};

const CACHED: Colour = [0xd5, 0x5e, 0x00];

/// Most colours of live blocks.
const MOST: u32 = 6;

/// The sizes that have a colour together, for each colour. Size 0 is all that is smaller than a cell, size 1 is one
/// cell, and each further one is twice as large, up to 2^`largest` cells.
pub fn sizes(largest: u32) -> Vec<RangeInclusive<u32>> {
    let together = together(largest);
    (0..=largest + 1).step_by(together as usize).map(|first| first..=(first + together - 1).min(largest + 1)).collect()
}

/// How many sizes have one colour.
fn together(largest: u32) -> u32 {
    (largest + 2).div_ceil(MOST)
}

impl Palette {
    /// The colour of a cell, where no live block has more than 2^`largest` cells.
    pub fn colour(&self, cell: Cell, largest: u32) -> Colour {
        match cell.content() {
            Content::Block { state: State::Free, .. } => self.free,
            Content::Block { state: State::Cached, .. } => CACHED,
            Content::Block { state: State::Live, order } => self.live(order + 1, largest),
            Content::Mixed { live, cached } => {
                let ground = mix(self.free, CACHED, cached as f64 / (4 - live).max(1) as f64);
                // A quarter is stronger than a quarter of the colour: it must be seen on the ground, and beside a half.
                mix(ground, self.live(0, largest), [0.0, 0.34, 0.56, 0.78, 1.0][live.min(4)])
            }
        }
    }

    /// The colour of live blocks of a size of [`sizes`].
    pub fn live(&self, size: u32, largest: u32) -> Colour {
        let together = together(largest);
        let (number, last) = (size / together, (largest + 1) / together);
        // The first and the last colour, and between them as many as are needed.
        self.live[((number * (MOST - 1) + last / 2) / last).min(MOST - 1) as usize]
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

/// White or black, whichever is read better on a colour.
pub fn ink_on([red, green, blue]: Colour) -> &'static str {
    let light = 0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue);
    if light > 150.0 { "#17202b" } else { "#ffffff" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linear red, green and blue, as full sight, red-blindness and green-blindness have them (Machado, Oliveira and
    /// Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency, 2009).
    const SIGHTS: [(&str, [[f64; 3]; 3]); 3] = [
        ("full", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        ),
        (
            "deuteranopia",
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        ),
    ];

    fn product(matrix: &[[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(vector).map(|(one, other)| one * other).sum())
    }

    /// Lightness and two opponent colours, as equal steps to the eye (CIELAB, 1976).
    fn lab(colour: Colour, sight: &[[f64; 3]; 3]) -> [f64; 3] {
        const XYZ: [[f64; 3]; 3] =
            [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]];
        let linear = colour.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        let seen = product(sight, linear).map(|part| part.clamp(0.0, 1.0));
        let [x, y, z] = product(&XYZ, seen);
        let [x, y, z] = [x / 0.95047, y, z / 1.08883]
            .map(|part| if part > 216.0 / 24389.0 { part.cbrt() } else { (24389.0 / 27.0 * part + 16.0) / 116.0 });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn distance(one: Colour, other: Colour, sight: &[[f64; 3]; 3]) -> f64 {
        let (one, other) = (lab(one, sight), lab(other, sight));
        one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn colours_are_told_apart_also_by_the_colour_blind() {
        for (ground, palette) in [("light", LIGHT), ("dark", DARK)] {
            for (name, sight) in SIGHTS {
                let mut least = (f64::INFINITY, [palette.free, CACHED]);
                for largest in 0..=13 {
                    let mut colours: Vec<Colour> =
                        sizes(largest).iter().map(|sizes| palette.live(*sizes.start(), largest)).collect();
                    colours.extend([palette.free, CACHED]);
                    for (place, one) in colours.iter().enumerate() {
                        for other in &colours[..place] {
                            let distance = distance(*one, *other, &sight);
                            least = if distance < least.0 { (distance, [*one, *other]) } else { least };
                        }
                    }
                }
                println!("{ground} ground, {name}: {:.1} between {:?}", least.0, least.1.map(css));
                // 2.3 is just noticeable side by side (Mahy and others, 1994).
                assert!(least.0 > 22.0, "{ground} ground, {name}: {least:?}");
            }
        }
    }

    #[test]
    fn shares_of_small_blocks_are_told_apart() {
        for palette in [LIGHT, DARK] {
            for (name, sight) in SIGHTS {
                let shares: Vec<Colour> = (0..Cell::COUNT)
                    .map(Cell)
                    .filter(|cell| matches!(cell.content(), Content::Mixed { cached: 0, .. }))
                    .map(|cell| palette.colour(cell, 7))
                    .collect();
                assert_eq!(shares.len(), 5);
                for two in shares.windows(2) {
                    assert!(distance(two[0], two[1], &sight) > 5.0, "{name}: {:?}", [two[0], two[1]].map(css));
                }
            }
        }
    }

    #[test]
    fn every_size_has_a_colour_and_there_are_few() {
        for largest in 0..=13 {
            let sizes = sizes(largest);
            assert!(sizes.len() <= MOST as usize && sizes.len() >= 2);
            assert!(sizes.iter().cloned().flatten().eq(0..=largest + 1), "{sizes:?}");
            for sizes in sizes {
                let mut colours: Vec<Colour> = sizes.map(|size| LIGHT.live(size, largest)).collect();
                colours.dedup();
                assert_eq!(colours.len(), 1);
            }
        }
    }
}

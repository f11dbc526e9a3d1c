//! A heap as a grid of cells of equal size, and where each cell is in the picture.
//!
//! A cell says exactly which block it is in, if that is at least as large as the cell; else about how much of it is
//! live and how much is cached.

use mempool::{Block, BlockState};

/// Cells of the picture; both are powers of two, and it is twice as wide as high.
pub const COLUMNS: usize = 128;
pub const ROWS: usize = 64;
const MOST: usize = COLUMNS * ROWS;

/// The shares of a cell of several blocks are told in quarters.
const QUARTERS: usize = 4;
/// Pairs of quarters that are together at most a whole.
const MIXTURES: u8 = 15;
/// Sizes of blocks, from a cell to all cells.
const ORDERS: u8 = MOST.ilog2() as u8 + 1;

/// The content of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Several blocks, of which `live` and `cached` quarters are live and cached.
    Mixed { live: usize, cached: usize },
    /// A block of 2^`order` cells.
    Block { state: State, order: u32 },
}

/// The states that a thread can see when it is the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Free,
    Cached,
    Live,
}

impl State {
    const ALL: [Self; 3] = [Self::Free, Self::Cached, Self::Live];

    /// A block in transit counts as cached. There is none while nobody else uses the pool.
    fn of(state: BlockState) -> Self {
        match state {
            BlockState::Free => Self::Free,
            BlockState::Live => Self::Live,
            _ => Self::Cached,
        }
    }
}

/// A content as a number from 0 to `COUNT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell(pub u8);

impl Cell {
    /// How many different ones there are.
    pub const COUNT: u8 = MIXTURES + State::ALL.len() as u8 * ORDERS;

    fn block(state: State, order: u32) -> Self {
        Self(MIXTURES + State::ALL.len() as u8 * order as u8 + state as u8)
    }

    /// Of a cell of `size` bytes. What there is a little of is told as a quarter.
    fn mixed(live: usize, cached: usize, size: usize) -> Self {
        let quarters = |bytes: usize, most: usize| match (bytes * QUARTERS * 2 + size) / (size * 2) {
            0 if bytes > 0 => 1.min(most),
            quarters => quarters.min(most),
        };
        let all = if live == size { QUARTERS } else { QUARTERS - 1 };
        let live = quarters(live, all);
        let cached = quarters(cached, QUARTERS - live);
        Self((live * (2 * QUARTERS + 3 - live) / 2 + cached) as u8)
    }

    pub fn content(self) -> Content {
        let mixtures = (0..=QUARTERS).flat_map(|live| (0..=QUARTERS - live).map(move |cached| (live, cached)));
        match self.0.checked_sub(MIXTURES) {
            Some(number) => {
                let count = State::ALL.len();
                Content::Block {
                    state: State::ALL[usize::from(number) % count],
                    order: u32::from(number) / count as u32,
                }
            }
            None => {
                let (live, cached) = mixtures.clone().nth(self.0.into()).unwrap_or_default();
                Content::Mixed { live, cached }
            }
        }
    }
}

/// The cells of one heap.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Bytes of a cell, a power of two.
    pub cell: usize,
    pub count: usize,
}

impl Grid {
    /// Of a heap of `capacity` bytes, as fine as it can be.
    pub fn over(capacity: usize) -> Self {
        let cell = capacity.div_ceil(MOST).next_power_of_two();
        Self { cell, count: capacity.div_ceil(cell) }
    }

    /// The cells of a heap that is aligned to its size; `blocks` are all of its blocks.
    pub fn look(self, blocks: impl Iterator<Item = Block>) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(self.count);
        let (mut live, mut cached, mut filled) = (0, 0, 0);
        for block in blocks {
            let state = State::of(block.state);
            if block.size >= self.cell {
                let count = block.size / self.cell;
                cells.extend(std::iter::repeat_n(Cell::block(state, count.ilog2()), count));
                continue;
            }
            match state {
                State::Free => {}
                State::Cached => cached += block.size,
                State::Live => live += block.size,
            }
            filled += block.size;
            if filled == self.cell {
                cells.push(Cell::mixed(live, cached, self.cell));
                (live, cached, filled) = (0, 0, 0);
            }
        }
        if filled > 0 {
            cells.push(Cell::mixed(live, cached, self.cell));
        }
        cells
    }
}

/// Cells of the picture that are a rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// Where the 2^`order` cells from number `first` on are, which is a multiple of that.
///
/// The heap is folded along Hilbert's curve, once for each half of the picture. So what is near in memory is near in
/// the picture, and a block, which is aligned to its size, is a square or a half of one.
pub fn area(first: usize, order: u32) -> Area {
    if order % 2 == 1 {
        let (one, other) = (area(first, order - 1), area(first + (1 << (order - 1)), order - 1));
        let (x, y) = (one.x.min(other.x), one.y.min(other.y));
        let (width, height) = (one.x.max(other.x) - x + one.width, one.y.max(other.y) - y + one.height);
        return Area { x, y, width, height };
    }
    let side = 1 << (order / 2);
    let (x, y) = place(first);
    Area { x: x / side * side, y: y / side * side, width: side, height: side }
}

/// The column and the row of cell `number` (Hilbert: Über die stetige Abbildung einer Linie auf ein Flächenstück,
/// 1891).
fn place(number: usize) -> (usize, usize) {
    let (mut x, mut y, mut rest) = (0, 0, number % (ROWS * ROWS));
    let mut side = 1;
    while side < ROWS {
        let right = rest / 2 % 2;
        let below = (rest ^ right) % 2;
        if below == 0 {
            if right == 1 {
                (x, y) = (side - 1 - x, side - 1 - y);
            }
            (x, y) = (y, x);
        }
        (x, y) = (x + side * right, y + side * below);
        (rest, side) = (rest / 4, side * 2);
    }
    (x + number / (ROWS * ROWS) * ROWS, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play;

    #[test]
    fn contents_and_numbers_are_one_to_one() {
        let contents: Vec<Content> = (0..Cell::COUNT).map(|number| Cell(number).content()).collect();
        for (number, content) in contents.iter().enumerate() {
            assert_eq!(contents.iter().position(|other| other == content), Some(number));
            let cell = match *content {
                Content::Mixed { live, cached } => Cell::mixed(live, cached, QUARTERS),
                Content::Block { state, order } => Cell::block(state, order),
            };
            assert_eq!(cell, Cell(number as u8));
        }
        // Little is not nothing, and nearly all is not all.
        assert_eq!(Cell::mixed(1, 1, 100).content(), Content::Mixed { live: 1, cached: 1 });
        assert_eq!(Cell::mixed(99, 1, 100).content(), Content::Mixed { live: 3, cached: 1 });
        assert_eq!(Cell::mixed(100, 0, 100).content(), Content::Mixed { live: 4, cached: 0 });
    }

    #[test]
    fn cells_say_which_blocks_they_are_in() {
        // Cells of 256 bytes, and blocks of 64 and more.
        let pool = play::pool(64, 1 << 21).unwrap();
        let grid = Grid::over(1 << 21);
        assert_eq!((grid.cell, grid.count), (256, MOST));
        assert_eq!(grid.look(pool.heap_map()), [Cell::block(State::Free, 13); MOST]);
        let blocks: Vec<_> = [64, 64, 64, 1024, 64, 4096].into_iter().map(|size| pool.hl_alloc(size)).collect();
        pool.hl_release(blocks[3]).unwrap();
        let cells = grid.look(pool.heap_map());
        assert_eq!(cells.len(), MOST);
        let mut at = 0;
        for block in pool.heap_map() {
            let state = State::of(block.state);
            let mine = cells[at / grid.cell].content();
            match mine {
                Content::Block { .. } => {
                    assert_eq!(mine, Content::Block { state, order: (block.size / grid.cell).ilog2() });
                }
                Content::Mixed { live, cached } => assert!(block.size < grid.cell && live + cached <= QUARTERS),
            }
            at += block.size;
        }
        let live: usize = cells
            .iter()
            .map(|cell| match cell.content() {
                Content::Mixed { live, .. } => live * 64,
                Content::Block { state, .. } => {
                    if state == State::Live {
                        256
                    } else {
                        0
                    }
                }
            })
            .sum();
        assert_eq!(live, pool.stats().live);
    }

    #[test]
    fn an_odd_heap_has_a_last_cell() {
        let pool = play::pool(64, (1 << 21) + 100 * 64).unwrap();
        let grid = Grid::over((1 << 21) + 100 * 64);
        assert_eq!(grid.cell, 512);
        assert_eq!(grid.look(pool.heap_map()).len(), grid.count);
        assert_eq!(Grid::over(1).count, 1);
    }

    #[test]
    fn the_curve_goes_from_neighbour_to_neighbour_and_everywhere() {
        let places: Vec<_> = (0..MOST).map(place).collect();
        assert!(places.windows(2).all(|two| two[0].0.abs_diff(two[1].0) + two[0].1.abs_diff(two[1].1) == 1));
        let mut sorted = places.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!((sorted.len(), sorted[0], sorted[MOST - 1]), (MOST, (0, 0), (COLUMNS - 1, ROWS - 1)));
    }

    #[test]
    fn blocks_are_rectangles_of_their_cells() {
        for order in 0..u32::from(ORDERS) {
            for first in (0..MOST).step_by(1 << order) {
                let Area { x, y, width, height } = area(first, order);
                assert_eq!(width * height, 1 << order);
                let inside = |(column, row)| (x..x + width).contains(&column) && (y..y + height).contains(&row);
                assert!((first..first + (1 << order)).map(place).all(inside), "{first} of order {order}");
            }
        }
    }
}

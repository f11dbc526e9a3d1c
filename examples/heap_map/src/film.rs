//! A film of a heap: what was in its cells at many moments, each written as what has changed since the one before.
//!
//! A frame is a string of symbols, each followed by a number of cells, unless that is 1: a letter or sign for what is
//! in the cells, or a dot for cells that are as before. Before the first frame all are as `Cell::default()`.

use std::error::Error;
use std::sync::Arc;

use mempool::MemoryPool;
use recordings::Trace;

use crate::cells::{Cell, Grid};
use crate::play::{Moment, Player};

/// One for each content; the page reads it, too. Nothing that has a meaning in JSON or HTML.
pub const SYMBOLS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#%*+";
const AS_BEFORE: u8 = b'.';

const _: () = assert!(SYMBOLS.len() == Cell::COUNT as usize);

/// The frames of a run.
#[derive(Debug)]
pub struct Film {
    pub grid: Grid,
    pub moments: Vec<Moment>,
    /// As many.
    pub frames: Vec<String>,
    last: Vec<Cell>,
    /// The frame with the most live bytes.
    pub peak: usize,
    /// The heap when there were the most live bytes, in characters.
    pub text: Pictures,
    pub failures: usize,
}

/// A picture for a file and one for a terminal.
#[derive(Debug, Default)]
pub struct Pictures {
    pub plain: String,
    pub colored: String,
}

impl Film {
    /// Plays a trace in a pool of one heap, and takes frames at equal distances, with one before and one after all; but
    /// the one that is nearest to the most live bytes is taken exactly there. `frames` is at least 2.
    pub fn record(
        trace: &Trace,
        pool: &Arc<MemoryPool>,
        frames: usize,
        pass_every: Option<usize>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut film = Self::new(Grid::over(pool.stats().capacity));
        let mut player = Player::new(pool, trace.objects, pass_every)?;
        // The least block does not matter to when that is.
        let peak = trace.peak(1).events;
        let mut stops: Vec<usize> = (0..=frames).map(|frame| frame * trace.events.len() / frames).collect();
        film.peak = (1..frames).min_by_key(|frame| stops[*frame].abs_diff(peak)).unwrap_or(0);
        stops[film.peak] = peak;
        let mut begun = 0;
        for (frame, end) in stops.into_iter().enumerate() {
            player.play(&trace.events[begun..end])?;
            begun = end;
            film.take(&player);
            if frame == film.peak {
                let text = pool.heap_map().text(64, 16);
                film.text = Pictures { plain: text.to_string(), colored: text.colored(true).to_string() };
            }
        }
        film.failures = player.failures;
        Ok(film)
    }

    fn new(grid: Grid) -> Self {
        let last = vec![Cell::default(); grid.count];
        let (moments, frames, text) = Default::default();
        Self { grid, moments, frames, last, peak: 0, text, failures: 0 }
    }

    fn take(&mut self, player: &Player<'_>) {
        let cells = self.grid.look(player.pool.heap_map());
        self.frames.push(encode(&self.last, &cells));
        self.moments.push(player.moment());
        self.last = cells;
    }

    /// The cells of each frame, one after the other.
    pub fn decoded(&self) -> impl Iterator<Item = Vec<Cell>> + '_ {
        self.frames
            .iter()
            .scan(vec![Cell::default(); self.grid.count], |cells, frame| decode(frame, cells).then(|| cells.clone()))
    }
}

/// The cells `now`, given the cells `before`, of which there are as many.
fn encode(before: &[Cell], now: &[Cell]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < now.len() {
        let same = now[at..].iter().zip(&before[at..]).take_while(|(now, before)| now == before).count();
        let alike = now[at..].iter().take_while(|cell| **cell == now[at]).count();
        let (symbol, count) = if same >= alike { (AS_BEFORE, same) } else { (symbol(now[at]), alike) };
        text.push(symbol.into());
        if count > 1 {
            text += &count.to_string();
        }
        at += count;
    }
    text
}

fn symbol(cell: Cell) -> u8 {
    SYMBOLS.as_bytes()[usize::from(cell.0)]
}

/// Makes of the cells before those of a frame. Is the frame one of as many cells?
fn decode(frame: &str, cells: &mut [Cell]) -> bool {
    let mut at = 0_usize;
    let mut rest = frame.as_bytes();
    while let [symbol, behind @ ..] = rest {
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let count = if digits == 0 { Some(1) } else { frame[frame.len() - behind.len()..][..digits].parse().ok() };
        let Some(of_run) = count.and_then(|count: usize| cells.get_mut(at..at.checked_add(count)?)) else {
            return false;
        };
        at += of_run.len();
        if *symbol != AS_BEFORE {
            let Some(number) = SYMBOLS.bytes().position(|other| other == *symbol) else { return false };
            of_run.fill(Cell(number as u8));
        }
        rest = &behind[digits..];
    }
    at == cells.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play;

    #[test]
    fn frames_come_back_as_they_were() {
        let mut random = fastrand::Rng::with_seed(7);
        for length in [1, 2, 64, 1000] {
            let mut before = vec![Cell::default(); length];
            for _ in 0..200 {
                let mut now = before.clone();
                for _ in 0..random.usize(..6) {
                    let begin = random.usize(..length);
                    let end = (begin + 1 + random.usize(..40)).min(length);
                    now[begin..end].fill(Cell(random.u8(..Cell::COUNT)));
                }
                let text = encode(&before, &now);
                assert!(decode(&text, &mut before), "{text}");
                assert_eq!(before, now, "{text}");
            }
        }
    }

    #[test]
    fn what_did_not_change_costs_next_to_nothing() {
        let cells: Vec<_> = (0..8192).map(|number| Cell((number % 50) as u8)).collect();
        assert_eq!(encode(&cells, &cells), ".8192");
        let mut changed = cells.clone();
        changed[5000..5003].fill(Cell(1));
        assert_eq!(encode(&cells, &changed), ".5000B3.3189");
        assert_eq!(encode(&cells[..3], &[Cell(2), Cell(1), Cell(2)]), "C.2");
    }

    #[test]
    fn damaged_frames_are_refused() {
        for frame in ["", ".3", ".5", "A2.3", "?4", "A99999999999999999999999", "4", "é2", ".18446744073709551615A5"] {
            assert!(!decode(frame, &mut [Cell::default(); 4]), "{frame}");
        }
        assert!(decode("A.2B", &mut [Cell::default(); 4]));
    }

    #[test]
    fn a_film_has_all_frames_and_the_peak() {
        let text: String = (0..400).map(|object| format!("a 0 {object} {}\n", 100 + object)).collect();
        let text = text + &(0..400).map(|object| format!("f 0 {object}\n")).collect::<String>();
        let trace = Trace::read(text.as_bytes()).unwrap();
        let pool = play::pool(64, 1 << 20).unwrap();
        let film = Film::record(&trace, &pool, 21, Some(100)).unwrap();
        assert_eq!((film.frames.len(), film.moments.len(), film.peak, film.failures), (22, 22, 11, 0));
        assert!(film.text.plain.contains("live") && film.text.colored.len() > film.text.plain.len());
        let decoded: Vec<_> = film.decoded().collect();
        assert_eq!((decoded.len(), decoded.last()), (22, Some(&film.last)));
        assert_eq!(film.last, film.grid.look(pool.heap_map()));
        assert_eq!((film.moments[11].events, film.moments[11].requested), (400, (100..500).sum()));
    }
}

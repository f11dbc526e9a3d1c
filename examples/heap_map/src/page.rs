//! The page: one HTML file with a film, which needs nothing else.

use recordings::Trace;
use serde::Serialize;

use crate::cells::{COLUMNS, Content, State};
use crate::film::{Film, SYMBOLS};
use crate::palette::{DARK, LIGHT};
use crate::play::Moment;

const PAGE: &str = include_str!("page.html");
/// Where the film goes.
const PLACE: &str = "\"the film\"";

/// The data for the page's script.
#[derive(Debug, Serialize)]
struct Reel<'a> {
    program: &'a str,
    events: usize,
    min_block: usize,
    /// Bytes.
    capacity: usize,
    cell: usize,
    cells: usize,
    columns: usize,
    pass_every: Option<usize>,
    failures: usize,
    peak: usize,
    /// The order of the largest live block, in cells.
    largest: u32,
    symbols: &'static str,
    light: Vec<String>,
    dark: Vec<String>,
    moments: Vec<[usize; 7]>,
    frames: &'a [String],
}

/// The text of the page.
pub fn render(trace: &Trace, film: &Film, min_block: usize, pass_every: Option<usize>) -> serde_json::Result<String> {
    let largest = largest(film);
    let row = |moment: &Moment| {
        let Moment { events, requested, live, cached, free, largest, merged } = *moment;
        [events, requested, live, cached, free, largest, merged]
    };
    let json = serde_json::to_string(&Reel {
        program: trace.name(),
        events: trace.events.len(),
        min_block,
        capacity: film.moments.first().map_or(0, |moment| moment.live + moment.cached + moment.free),
        cell: film.grid.cell,
        cells: film.grid.count,
        columns: COLUMNS,
        pass_every,
        failures: film.failures,
        peak: film.peak,
        largest,
        symbols: SYMBOLS,
        light: LIGHT.all(largest),
        dark: DARK.all(largest),
        moments: film.moments.iter().map(row).collect(),
        frames: &film.frames,
    })?;
    // In a script, only this could end it.
    Ok(PAGE.replacen(PLACE, &json.replace('<', "\\u003c"), 1))
}

/// The order of the largest live block that is ever seen, in cells.
pub fn largest(film: &Film) -> u32 {
    let orders = film.decoded().flatten().filter_map(|cell| match cell.content() {
        Content::Block { state: State::Live, order } => Some(order),
        _ => None,
    });
    orders.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play;

    /// What the page's script reads.
    fn reel_of(page: &str) -> serde_json::Value {
        let (_, behind) = page.split_once("<script type=\"application/json\" id=\"film\">").unwrap();
        serde_json::from_str(behind.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn the_page_of_a_real_program_is_small_and_complete() {
        let trace = Trace::open(None).unwrap();
        let pool = play::pool(64, 16 << 20).unwrap();
        let film = Film::record(&trace, &pool, 100, Some(10_000)).unwrap();
        assert_eq!(film.failures, 0);
        let page = render(&trace, &film, 64, Some(10_000)).unwrap();
        assert!(page.len() < 1_000_000, "{} bytes", page.len());
        let reel = reel_of(&page);
        assert_eq!(reel["frames"].as_array().unwrap().len(), 101);
        assert_eq!(reel["moments"][film.peak][1], trace.peak(64).live);
        assert_eq!((reel["capacity"].as_u64(), reel["cells"].as_u64()), (Some(16 << 20), Some(8192)));
        for colours in ["light", "dark"] {
            assert_eq!(reel[colours].as_array().unwrap().len(), SYMBOLS.len());
        }
    }

    #[test]
    fn the_page_needs_no_network_and_no_name_ends_its_script() {
        assert!(!PAGE.contains("http") && !PAGE.contains("src=") && PAGE.matches(PLACE).count() == 1);
        let trace = Trace::read(b"# program: </script> & \"co\"\na 0 0 8\nf 0 0\n").unwrap();
        let film = Film::record(&trace, &play::pool(64, 1 << 16).unwrap(), 2, None).unwrap();
        let page = render(&trace, &film, 64, None).unwrap();
        assert_eq!(reel_of(&page)["program"], "</script> & \"co\"");
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
    }
}

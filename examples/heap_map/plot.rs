//! The fragmentation over time, with sweeps and without, as a plot.

use std::error::Error;

use indicatif::{HumanBytes, HumanCount};
use mempool::{BlockState, MemoryPool};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::play::Player;
use crate::trace::Trace;

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (1600, 1000);
const TITLE: u32 = 104;
/// Points of a curve.
const POINTS: usize = 800;

const INK: RGBColor = RGBColor(23, 32, 43);
const FAINT: RGBColor = RGBColor(93, 107, 122);
const LINES: RGBColor = RGBColor(225, 230, 236);
const WITHOUT: RGBColor = RGBColor(192, 47, 142);
const WITH: RGBColor = RGBColor(47, 99, 216);
const REQUESTED: RGBColor = RGBColor(31, 174, 155);

/// A pool at one moment: bytes, a share, and a number.
#[derive(Clone, Copy, Debug)]
struct Point {
    events: f64,
    requested: f64,
    live: f64,
    /// The share of the free bytes outside of the largest free block as it stands.
    fragmentation: f64,
    free_blocks: f64,
}

/// The text of the SVG file. `pool` makes a pool with a heap.
pub fn render(
    trace: &Trace,
    pool: impl Fn() -> Result<MemoryPool, Box<dyn Error>>,
    sweep_every: usize,
) -> Result<String, Box<dyn Error>> {
    let without = curve(trace, &pool()?, None)?;
    let with = curve(trace, &pool()?, Some(sweep_every))?;
    let program = trace.program.split(',').next().unwrap_or_default();
    let capacity = HumanBytes(pool()?.stats().capacity as u64).to_string().replace(".00", "");
    let title = format!("Fragmentation of a heap of {capacity} over the life of {program}");
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        root.draw(&Text::new(title, (40, 46), style(32, INK, FontStyle::Bold)))?;
        let every = HumanCount(sweep_every as u64).to_string().replace(',', "\u{202f}");
        let swept = format!("with a sweep after every {every} events");
        legend(
            &root,
            &[(WITHOUT, "without sweeps"), (WITH, &swept), (FAINT, "live blocks"), (REQUESTED, "what was asked for")],
        )?;
        let (_, charts) = root.split_vertically(TITLE);
        let charts = charts.split_evenly((3, 1));
        let both = [(&without[..], WITHOUT), (&with[..], WITH)];

        let share = Axis {
            title: "external fragmentation: the share of the free bytes outside of the largest free block",
            most: 1.0,
            tick: &|share| format!("{:.0} %", share * 100.0),
        };
        chart(&charts[0], trace, &share, &both.map(|(points, colour)| (points, colour, fragmentation as Figure)))?;
        let most = both.iter().flat_map(|(points, _)| points.iter()).map(free_blocks).fold(1.0, f64::max);
        let number =
            Axis { title: "free blocks", most: most * 1.05, tick: &|number| HumanCount(number as u64).to_string() };
        chart(&charts[1], trace, &number, &both.map(|(points, colour)| (points, colour, free_blocks as Figure)))?;
        let most = without.iter().map(live).fold(1.0, f64::max);
        let bytes =
            Axis { title: "bytes", most: most * 1.05, tick: &|bytes| format!("{:.0} MiB", bytes / 1_048_576.0) };
        let curves: [(&[Point], RGBColor, Figure); 2] = [(&without, FAINT, live), (&without, REQUESTED, requested)];
        chart(&charts[2], trace, &bytes, &curves)?;
        root.present()?;
    }
    Ok(text)
}

fn curve(trace: &Trace, pool: &MemoryPool, sweep_every: Option<usize>) -> Result<Vec<Point>, Box<dyn Error>> {
    let mut player = Player::new(pool, trace.objects, sweep_every);
    let mut points = Vec::with_capacity(POINTS + 1);
    for part in trace.events.chunks(trace.events.len().div_ceil(POINTS).max(1)) {
        player.play(part)?;
        let moment = player.moment();
        points.push(Point {
            events: moment.events as f64,
            requested: moment.requested as f64,
            live: moment.live as f64,
            fragmentation: moment.fragmentation(moment.largest),
            free_blocks: pool.heap_map().filter(|block| block.state == BlockState::Free).count() as f64,
        });
    }
    Ok(points)
}

type Figure = fn(&Point) -> f64;

fn fragmentation(point: &Point) -> f64 {
    point.fragmentation
}

fn free_blocks(point: &Point) -> f64 {
    point.free_blocks
}

fn live(point: &Point) -> f64 {
    point.live
}

fn requested(point: &Point) -> f64 {
    point.requested
}

/// What goes upwards in a chart.
struct Axis<'a> {
    title: &'a str,
    most: f64,
    tick: &'a dyn Fn(f64) -> String,
}

fn chart(area: &Area<'_>, trace: &Trace, axis: &Axis<'_>, curves: &[(&[Point], RGBColor, Figure)]) -> Drawn {
    area.draw(&Text::new(axis.title.to_string(), (40, 14), style(19, INK, FontStyle::Normal)))?;
    let events = trace.events.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .margin_left(24)
        .margin_right(40)
        .margin_top(30)
        .x_label_area_size(34)
        .y_label_area_size(86)
        .build_cartesian_2d(0.0..events.max(1.0), 0.0..axis.most)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINES)
        .axis_style(FAINT)
        .x_labels(8)
        .y_labels(5)
        .label_style(("sans-serif", 17).into_font().color(&FAINT))
        .x_label_formatter(&|events| HumanCount(*events as u64).to_string().replace(',', "\u{202f}"))
        .y_label_formatter(&|value| (axis.tick)(*value).replace(',', "\u{202f}"))
        .draw()?;
    for (points, colour, figure) in curves {
        let points = points.iter().map(|point| (point.events, figure(point)));
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
    }
    Ok(())
}

fn legend(root: &Area<'_>, entries: &[(RGBColor, &str)]) -> Drawn {
    let mut x = 40;
    for (colour, name) in entries {
        root.draw(&PathElement::new([(x, 82), (x + 30, 82)], colour.stroke_width(4)))?;
        root.draw(&Text::new(name.to_string(), (x + 42, 82), style(20, INK, FontStyle::Normal)))?;
        x += 42 + 11 * name.len() as i32;
    }
    Ok(())
}

/// Left of the text, at half its height.
fn style(size: i32, colour: RGBColor, weight: FontStyle) -> TextStyle<'static> {
    let font = ("sans-serif", size).into_font().style(weight);
    TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(HPos::Left, VPos::Center) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play;

    /// Small blocks, all of which are released, in the order of allocation.
    fn comb() -> Trace {
        let allocations: String = (0..1000).map(|object| format!("a 0 {object} 64\n")).collect();
        let releases: String = (0..1000).map(|object| format!("f 0 {object}\n")).collect();
        Trace::read((allocations + &releases).as_bytes()).unwrap()
    }

    #[test]
    fn sweeps_leave_fewer_free_blocks() {
        let trace = comb();
        let last = |every| *curve(&trace, &play::pool(64, 1 << 18).unwrap(), every).unwrap().last().unwrap();
        let (without, with) = (last(None), last(Some(100)));
        assert!(without.free_blocks > 10.0 * with.free_blocks, "{without:?}, {with:?}");
        assert_eq!((with.free_blocks, with.fragmentation, with.live), (1.0, 0.0, 0.0));
    }

    #[test]
    fn the_plot_has_all_charts_and_both_curves() {
        let text = render(&comb(), || play::pool(64, 1 << 18), 100).unwrap();
        for expected in ["external fragmentation", "free blocks", "what was asked for", "without sweeps", "every 100 "]
        {
            assert!(text.contains(expected), "{expected}");
        }
        for colour in ["#C02F8E", "#2F63D8"] {
            assert_eq!(text.matches(&format!("<polyline fill=\"none\" opacity=\"1\" stroke=\"{colour}\"")).count(), 3);
        }
    }
}

//! The fragmentation over time, with the sweeper and without, as a plot.

use std::error::Error;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount};
use mempool::MemoryPool;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use recordings::Trace;

use crate::curve::{Figure, Point, curve, fragmentation, free_blocks, live, mean, requested};

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

// Lengths in pixels.
const SIZE: (u32, u32) = (1600, 1120);
/// Where the charts begin.
const TITLE: u32 = 112;
/// Where they end, except the last one.
const CHARTS: [u32; 2] = [540, 792];
const LEFT: i32 = 40;
/// For the means.
const RIGHT: u32 = 150;
/// A line of text above a chart. Nothing else is in the line of a title, so the two meet in no font.
const LINE: i32 = 27;
/// A column of the key: wide enough for the longest name in wide letters.
const COLUMN: i32 = 470;

const INK: RGBColor = RGBColor(23, 32, 43);
const FAINT: RGBColor = RGBColor(93, 107, 122);
const LINES: RGBColor = RGBColor(225, 230, 236);
const LEAST: RGBColor = RGBColor(226, 231, 237);
// Vermilion, blue and bluish green of Okabe and Ito (Color Universal Design, 2008).
const WITHOUT: RGBColor = RGBColor(213, 94, 0);
const WITH: RGBColor = RGBColor(0, 114, 178);
const LIVE: RGBColor = RGBColor(93, 107, 122);
const REQUESTED: RGBColor = RGBColor(0, 158, 115);

/// A plot, and the means of the external fragmentation that it shows.
#[derive(Debug)]
pub struct Plot {
    /// The text of the SVG file.
    pub svg: String,
    pub without: f64,
    pub with: f64,
    /// The least that there could be.
    pub least: f64,
    /// Allocations that failed, in the run that had the more of them.
    pub failures: usize,
}

impl Plot {
    /// The finding, in a sentence: also that there is none.
    pub fn verdict(&self, pass_every: usize) -> String {
        let [without, with, least] = [self.without, self.with, self.least].map(percent);
        let every = count(pass_every as f64);
        let sweeper = format!("a sweeper that has a pass after every {every} events");
        if self.without - self.with >= 0.05 {
            format!("With {sweeper}, the mean falls from {without} to {with}")
        } else {
            format!("{sweeper} changes little here: {without} without, {with} with it, and {least} at least")
                .replacen('a', "A", 1)
        }
    }
}

/// Plays a trace without a sweeper, and with one that has a pass after every `pass_every` events. `pool` makes a pool
/// with a heap.
pub fn render(
    trace: &Trace,
    pool: impl Fn() -> Result<Arc<MemoryPool>, Box<dyn Error>>,
    pass_every: usize,
) -> Result<Plot, Box<dyn Error>> {
    let without = curve(trace, &pool()?, None)?;
    let with = curve(trace, &pool()?, Some(pass_every))?;
    // The two runs cache a little more or less, so their free bytes differ, too.
    let least: Vec<_> =
        without.iter().zip(&with).map(|(one, other)| Point { least: one.least.min(other.least), ..*one }).collect();
    let mut plot = Plot {
        svg: String::new(),
        without: mean(&without, fragmentation),
        with: mean(&with, fragmentation),
        least: mean(&least, |point| point.least),
        failures: without.iter().chain(&with).map(|point| point.failures).max().unwrap_or(0),
    };
    let program = trace.name();
    let capacity = HumanBytes(pool()?.stats().capacity as u64).to_string().replace(".00", "");
    let verdict = plot.verdict(pass_every);
    {
        let root = SVGBackend::with_string(&mut plot.svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let title = format!("Fragmentation of a heap of {capacity} over the life of {program}");
        // Letters of this type are at most two thirds as wide as high.
        let size = (SIZE.0 as i32 * 3 / 2 / title.chars().count().max(1) as i32).clamp(12, 32);
        root.draw(&Text::new(title, (LEFT, 44), style(size, INK, FontStyle::Bold)))?;
        root.draw(&Text::new(verdict, (LEFT, 80), style(20, FAINT, FontStyle::Normal)))?;
        let (_, charts) = root.split_vertically(TITLE);
        let (first, charts) = charts.split_vertically(CHARTS[0] - TITLE);
        let (second, third) = charts.split_vertically(CHARTS[1] - CHARTS[0]);

        let both = |figure: Figure| {
            [(&without[..], WITHOUT, "without the sweeper"), (&with[..], WITH, "with the sweeper")]
                .map(|(points, colour, name)| Curve { points, colour, name, figure })
        };
        let chart = Chart {
            title: "External fragmentation",
            note: "The share of the free bytes outside of the largest free block",
            events: trace.events.len() as f64,
            most: 1.0,
            ticks: 6,
            tick: &percent,
            least: Some(&least),
            means: &[(plot.without, WITHOUT, "without"), (plot.with, WITH, "with")],
            has_events: false,
        };
        chart.draw(&first, &both(fragmentation))?;
        let most = without.iter().chain(&with).map(free_blocks).fold(1.0, f64::max) * 1.05;
        let plain = Chart { least: None, means: &[], note: "", ticks: 5, ..chart };
        let chart = Chart { title: "Free blocks", most, tick: &count, ..plain };
        chart.draw(&second, &both(free_blocks))?;
        let most = without.iter().map(live).fold(1.0, f64::max) * 1.05;
        let (unit, name) = unit_of(most);
        let curves: [(&str, RGBColor, Figure); 2] =
            [("blocks that are live", LIVE, live), ("what the program asked for", REQUESTED, requested)];
        let scaled: Vec<_> = without
            .iter()
            .map(|point| Point { live: point.live / unit, requested: point.requested / unit, ..*point })
            .collect();
        let curves = curves.map(|(name, colour, figure)| Curve { points: &scaled, colour, name, figure });
        let tick = |number: f64| if number == 0.0 { String::from("0") } else { format!("{number} {name}") };
        let chart = Chart { title: "Bytes", most: most / unit, tick: &tick, has_events: true, ..plain };
        chart.draw(&third, &curves)?;
        root.present()?;
    }
    Ok(plot)
}

pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn count(number: f64) -> String {
    HumanCount(number as u64).to_string().replace(',', "\u{202f}")
}

/// The unit in which to tell up to `most` bytes.
fn unit_of(most: f64) -> (f64, &'static str) {
    let units = [(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB")];
    units.into_iter().find(|(unit, _)| most >= *unit).unwrap_or((1.0, "B"))
}

struct Curve<'a> {
    points: &'a [Point],
    colour: RGBColor,
    name: &'a str,
    figure: Figure,
}

/// Curves over the events of a trace.
#[derive(Clone, Copy)]
struct Chart<'a> {
    title: &'a str,
    note: &'a str,
    events: f64,
    /// The vertical axis: its end, about how many ticks it has, and the text of each.
    most: f64,
    ticks: usize,
    tick: &'a dyn Fn(f64) -> String,
    /// Whose least possible fragmentation is the ground.
    least: Option<&'a [Point]>,
    means: &'a [(f64, RGBColor, &'a str)],
    /// Does it say how many events there were?
    has_events: bool,
}

impl Chart<'_> {
    fn draw(&self, area: &Area<'_>, curves: &[Curve<'_>]) -> Drawn {
        self.key(area, curves)?;
        let mut chart = ChartBuilder::on(area)
            .margin_left(24)
            .margin_right(RIGHT)
            .margin_top(LINE * self.lines() + 12)
            .margin_bottom(if self.has_events { 8 } else { 0 })
            .x_label_area_size(if self.has_events { 52 } else { 12 })
            .y_label_area_size(86)
            .build_cartesian_2d(0.0..self.events.max(1.0), 0.0..self.most)?;
        if let Some(points) = self.least {
            let corners = points.iter().map(|point| (point.events, point.least));
            let begin = points.first().map(|point| (point.events, 0.0));
            let corners = begin.into_iter().chain(corners).chain([(self.events, 0.0)]);
            chart.draw_series([Polygon::new(corners.collect::<Vec<_>>(), LEAST)])?;
        }
        let mut mesh = chart.configure_mesh();
        let number = |events: &f64| if self.has_events { count(*events) } else { String::new() };
        let tick = |value: &f64| (self.tick)(*value);
        mesh.light_line_style(TRANSPARENT)
            .bold_line_style(LINES)
            .axis_style(FAINT)
            .x_labels(8)
            .y_labels(self.ticks)
            .label_style(("sans-serif", 17).into_font().color(&FAINT))
            .axis_desc_style(("sans-serif", 17).into_font().color(&FAINT))
            .x_label_formatter(&number)
            .y_label_formatter(&tick);
        if self.has_events {
            mesh.x_desc("allocations and releases");
        }
        mesh.draw()?;
        for Curve { points, colour, figure, .. } in curves {
            let points = points.iter().map(|point| (point.events, figure(point)));
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
        for (mean, colour, _) in self.means {
            let ends = [(0.0, *mean), (self.events, *mean)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 6, colour.mix(0.7).stroke_width(1)))?;
        }
        let mut heights: Vec<_> =
            self.means.iter().map(|(mean, ..)| chart.backend_coord(&(self.events, *mean)).1).collect();
        spread(&mut heights, 46);
        let (left, top) = area.get_base_pixel();
        let right = chart.backend_coord(&(self.events, 0.0)).0;
        for ((mean, colour, name), height) in self.means.iter().zip(heights) {
            let at = (right - left + 14, height - top);
            area.draw(&Text::new(percent(*mean), (at.0, at.1 - 8), style(30, *colour, FontStyle::Bold)))?;
            area.draw(&Text::new(format!("mean {name}"), (at.0, at.1 + 15), style(16, *colour, FontStyle::Normal)))?;
        }
        Ok(())
    }

    /// Lines of text above the chart.
    fn lines(&self) -> i32 {
        if self.note.is_empty() { 2 } else { 3 }
    }

    /// The title, a note, and the key in columns.
    fn key(&self, area: &Area<'_>, curves: &[Curve<'_>]) -> Drawn {
        let text = |text: &str, x: i32, line: i32, style: TextStyle<'static>| {
            area.draw(&Text::new(String::from(text), (x, line * LINE + 16), style))
        };
        text(self.title, LEFT, 0, style(20, INK, FontStyle::Bold))?;
        if !self.note.is_empty() {
            text(self.note, LEFT, 1, style(18, FAINT, FontStyle::Normal))?;
        }
        let line = self.lines() - 1;
        let y = line * LINE + 16;
        let mut x = LEFT;
        for Curve { colour, name, .. } in curves {
            area.draw(&PathElement::new([(x, y), (x + 26, y)], colour.stroke_width(4)))?;
            text(name, x + 34, line, style(18, INK, FontStyle::Normal))?;
            x += COLUMN;
        }
        if self.least.is_some() {
            area.draw(&Rectangle::new([(x, y - 8), (x + 26, y + 8)], LEAST.filled()))?;
            text("the least that powers of two allow", x + 34, line, style(18, INK, FontStyle::Normal))?;
        }
        Ok(())
    }
}

/// Moves two heights apart, so that there are `least` pixels between them.
fn spread(heights: &mut [i32], least: i32) {
    if let [one, other] = heights {
        let missing = (least - (*other - *one).abs()).max(0);
        let (upper, lower) = if one <= other { (one, other) } else { (other, one) };
        *upper -= missing / 2;
        *lower += missing - missing / 2;
    }
}

/// Left of the text, at half its height.
fn style(size: i32, colour: RGBColor, weight: FontStyle) -> TextStyle<'static> {
    let font = ("sans-serif", size).into_font().style(weight);
    TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(HPos::Left, VPos::Center) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::tests::comb;
    use crate::play;

    #[test]
    fn the_means_are_what_the_curves_show() {
        let plot = render(&comb(), || play::pool(64, 1 << 18), 100).unwrap();
        let pool = || play::pool(64, 1 << 18).unwrap();
        let mean = |every| {
            let points = curve(&comb(), &pool(), every).unwrap();
            points.iter().map(|point| point.fragmentation).sum::<f64>() / points.len() as f64
        };
        assert_eq!((plot.without, plot.with), (mean(None), mean(Some(100))));
        assert!(0.0 < plot.least && plot.least <= plot.with.min(plot.without));
        for mean in [plot.without, plot.with] {
            assert!(plot.svg.contains(&format!("\n{}\n</text>", percent(mean))), "{}", percent(mean));
        }
    }

    #[test]
    fn heights_that_are_near_are_moved_apart() {
        let spread = |one, other| {
            let mut heights = [one, other];
            spread(&mut heights, 10);
            heights
        };
        assert_eq!((spread(0, 10), spread(30, 5)), ([0, 10], [30, 5]));
        assert_eq!((spread(100, 103), spread(103, 100), spread(7, 7)), ([97, 107], [107, 97], [2, 12]));
    }

    #[test]
    fn a_plot_says_that_the_sweeper_matters_or_does_not() {
        let plot = |without| Plot { svg: String::new(), without, with: 0.39, least: 0.32, failures: 0 };
        let sweeper = "sweeper that has a pass after every 1\u{202f}000 events";
        assert_eq!(plot(0.75).verdict(1000), format!("With a {sweeper}, the mean falls from 75 % to 39 %"));
        let little = format!("A {sweeper} changes little here: 40 % without, 39 % with it, and 32 % at least");
        assert_eq!(plot(0.40).verdict(1000), little);
    }

    #[test]
    fn no_text_is_beside_a_title() {
        let svg = render(&comb(), || play::pool(64, 1 << 18), 100).unwrap().svg;
        let texts: Vec<(i32, &str)> = svg
            .split("<text ")
            .skip(1)
            .map(|text| {
                let y = text.split_once("y=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap();
                (y, text.split_once('>').unwrap().1.split_once("</text>").unwrap().0.trim())
            })
            .collect();
        // Ticks without a number are empty texts.
        let texts: Vec<_> = texts.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        for title in ["External fragmentation", "Free blocks", "Bytes"] {
            let y = texts.iter().find(|(_, text)| *text == title).unwrap().0;
            let beside: Vec<_> = texts.iter().filter(|(other, _)| (other - y).abs() < LINE - 5).collect();
            assert_eq!(beside.len(), 1, "{beside:?}");
        }
    }

    #[test]
    fn the_plot_has_all_charts_and_both_curves() {
        let text = render(&comb(), || play::pool(64, 1 << 18), 100).unwrap().svg;
        for expected in ["External fragmentation", "Free blocks", "what the program asked for", "without the sweeper"] {
            assert!(text.contains(expected), "{expected}");
        }
        assert!(text.contains("a pass after every 100 events, the mean falls from"));
        for (colour, curves) in [("#D55E00", 2), ("#0072B2", 2), ("#5D6B7A", 1), ("#009E73", 1)] {
            let curve = format!("<polyline fill=\"none\" opacity=\"1\" stroke=\"{colour}\" stroke-width=\"2\"");
            assert_eq!(text.matches(&curve).count(), curves, "{colour}");
        }
    }
}

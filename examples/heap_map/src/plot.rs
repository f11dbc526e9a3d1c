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
const SIZE: (u32, u32) = (1600, 1000);
/// Where the charts begin.
const TITLE: u32 = 112;
/// Where they end, but for the last one.
const CHARTS: [u32; 2] = [490, 712];
const LEFT: i32 = 40;
/// For the means.
const RIGHT: u32 = 132;

const INK: RGBColor = RGBColor(23, 32, 43);
const FAINT: RGBColor = RGBColor(93, 107, 122);
const LINES: RGBColor = RGBColor(225, 230, 236);
const LEAST: RGBColor = RGBColor(232, 236, 241);
const WITHOUT: RGBColor = RGBColor(192, 47, 142);
const WITH: RGBColor = RGBColor(47, 99, 216);
const LIVE: RGBColor = RGBColor(93, 107, 122);
const REQUESTED: RGBColor = RGBColor(31, 174, 155);

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

/// Plays a trace without a sweeper, and with one that has a pass after every so many events. `pool` makes a pool with a heap.
pub fn render(
    trace: &Trace,
    pool: impl Fn() -> Result<Arc<MemoryPool>, Box<dyn Error>>,
    pass_every: usize,
) -> Result<Plot, Box<dyn Error>> {
    let without = curve(trace, &pool()?, None)?;
    let with = curve(trace, &pool()?, Some(pass_every))?;
    // What is cached differs a little, and so does what is free.
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
    {
        let root = SVGBackend::with_string(&mut plot.svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let title = format!("Fragmentation of a heap of {capacity} over the life of {program}");
        root.draw(&Text::new(title, (LEFT, 44), style(32, INK, FontStyle::Bold)))?;
        let every = count(pass_every as f64);
        let how = format!("Played without the sweeper, and with it: then it had a pass after every {every} events");
        root.draw(&Text::new(how, (LEFT, 80), style(20, FAINT, FontStyle::Normal)))?;
        let (_, charts) = root.split_vertically(TITLE);
        let (first, charts) = charts.split_vertically(CHARTS[0] - TITLE);
        let (second, third) = charts.split_vertically(CHARTS[1] - CHARTS[0]);

        let both = |figure: Figure| {
            [(&without[..], WITHOUT, "without the sweeper"), (&with[..], WITH, "with the sweeper")]
                .map(|(points, colour, name)| Curve { points, colour, name, figure })
        };
        let chart = Chart {
            title: "External fragmentation",
            note: "the share of the free bytes outside of the largest free block",
            events: trace.events.len() as f64,
            most: 1.0,
            ticks: 6,
            tick: &percent,
            least: Some(&least),
            means: &[(plot.without, WITHOUT), (plot.with, WITH)],
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

/// The unit in which to tell up to so many bytes.
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
    /// What goes upwards: to where, about how many ticks, and how they are told.
    most: f64,
    ticks: usize,
    tick: &'a dyn Fn(f64) -> String,
    /// Whose least possible fragmentation is the ground.
    least: Option<&'a [Point]>,
    means: &'a [(f64, RGBColor)],
    /// Does it say how many events there were?
    has_events: bool,
}

impl Chart<'_> {
    fn draw(&self, area: &Area<'_>, curves: &[Curve<'_>]) -> Drawn {
        self.key(area, curves)?;
        let mut chart = ChartBuilder::on(area)
            .margin_left(24)
            .margin_right(RIGHT)
            .margin_top(38)
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
        for (mean, colour) in self.means {
            let ends = [(0.0, *mean), (self.events, *mean)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 6, colour.mix(0.7).stroke_width(1)))?;
        }
        let mut heights: Vec<_> =
            self.means.iter().map(|(mean, _)| chart.backend_coord(&(self.events, *mean)).1).collect();
        spread(&mut heights, 46);
        let (left, top) = area.get_base_pixel();
        let right = chart.backend_coord(&(self.events, 0.0)).0;
        for ((mean, colour), height) in self.means.iter().zip(heights) {
            let at = (right - left + 14, height - top);
            area.draw(&Text::new(percent(*mean), (at.0, at.1 - 8), style(30, *colour, FontStyle::Bold)))?;
            area.draw(&Text::new("mean", (at.0, at.1 + 15), style(16, *colour, FontStyle::Normal)))?;
        }
        Ok(())
    }

    /// The title, and what is drawn how.
    fn key(&self, area: &Area<'_>, curves: &[Curve<'_>]) -> Drawn {
        let mut x = LEFT;
        let mut text = |text: &str, gap: i32, style: TextStyle<'static>| -> Result<i32, Box<dyn Error>> {
            x += gap;
            let begin = x;
            // Most letters are narrower than the estimate has them.
            x += area.estimate_text_size(text, &style)?.0 as i32 * 7 / 8;
            area.draw(&Text::new(String::from(text), (begin, 16), style))?;
            Ok(begin)
        };
        text(self.title, 0, style(20, INK, FontStyle::Bold))?;
        if !self.note.is_empty() {
            text(self.note, 12, style(18, FAINT, FontStyle::Normal))?;
        }
        for Curve { colour, name, .. } in curves {
            let begin = text(name, 56, style(18, INK, FontStyle::Normal))?;
            area.draw(&PathElement::new([(begin - 34, 16), (begin - 8, 16)], colour.stroke_width(4)))?;
        }
        if self.least.is_some() {
            let begin = text("the least that powers of two allow", 56, style(18, INK, FontStyle::Normal))?;
            area.draw(&Rectangle::new([(begin - 34, 8), (begin - 8, 24)], LEAST.filled()))?;
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
    fn the_plot_has_all_charts_and_both_curves() {
        let text = render(&comb(), || play::pool(64, 1 << 18), 100).unwrap().svg;
        for expected in ["External fragmentation", "Free blocks", "what the program asked for", "without the sweeper"] {
            assert!(text.contains(expected), "{expected}");
        }
        assert!(text.contains("with it: then it had a pass after every 100 events"));
        for (colour, curves) in [("#C02F8E", 2), ("#2F63D8", 2), ("#5D6B7A", 1), ("#1FAE9B", 1)] {
            let curve = format!("<polyline fill=\"none\" opacity=\"1\" stroke=\"{colour}\" stroke-width=\"2\"");
            assert_eq!(text.matches(&curve).count(), curves, "{colour}");
        }
    }
}

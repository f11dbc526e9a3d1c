//! The picture: a panel for each number of threads, a row for each workload, and a dot for each subject.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::results::Results;
use crate::subjects::Entry;
use crate::table::{heading, number};

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

const WIDTH: i32 = 1600;
/// The names of the workloads, left of the panels.
const NAMES: i32 = 270;
const TITLE: i32 = 144;
const ROW: i32 = 64;
/// The ratios of this crate's pool as numbers, right in each panel.
const VALUES: i32 = 72;
/// Below the rows: the axis and its name.
const AXIS: i32 = 78;
const LEGEND_ROW: i32 = 36;
const LEGEND_COLUMNS: usize = 4;
const MARGIN: i32 = 24;

const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(112, 112, 112);
const GRID: RGBColor = RGBColor(222, 222, 222);
const STRIPE: RGBColor = RGBColor(246, 246, 246);

/// The text of the SVG file.
pub fn render(results: &Results, processor: &str, cores: usize) -> Result<String, Box<dyn std::error::Error>> {
    let rows = results.workloads.len() as i32 + 1;
    let legend_rows = results.subjects.len().div_ceil(LEGEND_COLUMNS) as i32;
    let height = TITLE + rows * ROW + AXIS + legend_rows * LEGEND_ROW + MARGIN;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root, results, processor, cores)?;
        root.present()?;
    }
    Ok(text)
}

fn draw(root: &Area<'_>, results: &Results, processor: &str, cores: usize) -> Drawn {
    let rows = results.workloads.len() as i32 + 1;
    let reference = results.reference();
    let title = format!("An allocation with its release: time, as a multiple of {reference}'s");
    label(root, (MARGIN, 40), &title, 32, INK, HPos::Left)?;
    let range = Range::of(results);
    let beyond = if range.is_cut { "triangles: beyond the scale; " } else { "" };
    let (pick, rounds) = (results.pick.label(), results.rounds);
    let method = format!("lower is faster; logarithmic; {beyond}{pick} of {rounds} rounds; {processor}");
    label(root, (MARGIN, 76), &method, 19, FAINT, HPos::Left)?;

    for (row, workload) in results.workloads.iter().enumerate() {
        label(root, (NAMES, TITLE + row as i32 * ROW + ROW / 2), workload.label(), 22, INK, HPos::Right)?;
    }
    let mean = TITLE + (rows - 1) * ROW + ROW / 2;
    root.draw(&Text::new("geometric mean", (NAMES, mean), style(22, INK, HPos::Right, FontStyle::Bold)))?;

    let panels = results.threads.len() as i32;
    let panel_width = (WIDTH - NAMES - MARGIN) / panels.max(1);
    for (panel, threads) in results.threads.iter().enumerate() {
        let left = NAMES + panel as i32 * panel_width + 24;
        let panel = Panel { left, right: left + panel_width - 24, rows, range };
        panel.draw(root, results, *threads, cores)?;
    }
    legend(root, results, TITLE + rows * ROW + AXIS)
}

/// The ratios that are shown.
#[derive(Clone, Copy, Debug)]
struct Range {
    least: f64,
    most: f64,
    /// Are there larger ones?
    is_cut: bool,
}

impl Range {
    /// Above this, it does not matter by how much.
    const MOST: f64 = 30.0;

    /// All of the figures up to `MOST`, and at least from half to twice.
    fn of(results: &Results) -> Self {
        let figures = results.cells.iter().filter_map(|cell| results.ratio(cell.threads, cell.workload, cell.subject));
        let ratios: Vec<f64> = figures.collect();
        let least = ratios.iter().copied().fold(0.5, f64::min);
        let most = ratios.iter().copied().fold(2.0, f64::max);
        Self { least: least / 1.25, most: most.min(Self::MOST) * 1.25, is_cut: most > Self::MOST * 1.25 }
    }

    /// From 0 to 1.
    fn place(self, ratio: f64) -> f64 {
        (ratio / self.least).ln() / (self.most / self.least).ln()
    }

    /// 1, 2, 5, 10 and so on, or, if the range is wide, 1, 3, 10 and so on.
    fn ticks(self) -> Vec<f64> {
        let decades = (self.most / self.least).log10();
        let steps: &[f64] = if decades > 1.3 { &[1.0, 3.0] } else { &[1.0, 2.0, 5.0] };
        let scaled =
            |step: &f64, power: i32| if power < 0 { step / 10f64.powi(-power) } else { step * 10f64.powi(power) };
        let all = (-6..=6).flat_map(|power| steps.iter().map(move |step| scaled(step, power)));
        all.filter(|tick| (self.least..=self.most).contains(tick)).collect()
    }
}

/// The figures of one number of threads.
#[derive(Debug)]
struct Panel {
    left: i32,
    right: i32,
    rows: i32,
    range: Range,
}

impl Panel {
    fn x(&self, ratio: f64) -> i32 {
        self.left + (self.range.place(ratio) * f64::from(self.right - VALUES - self.left)).round() as i32
    }

    fn draw(&self, root: &Area<'_>, results: &Results, threads: usize, cores: usize) -> Drawn {
        let bottom = TITLE + self.rows * ROW;
        for row in (0..self.rows).step_by(2) {
            let top = TITLE + row * ROW;
            root.draw(&Rectangle::new([(self.left, top), (self.right, top + ROW)], STRIPE.filled()))?;
        }
        for tick in self.range.ticks() {
            let x = self.x(tick);
            root.draw(&PathElement::new([(x, TITLE), (x, bottom)], GRID.stroke_width(1)))?;
            label(root, (x, bottom + 18), &format!("{tick}"), 18, FAINT, HPos::Center)?;
        }
        let one = self.x(1.0);
        root.draw(&PathElement::new([(one, TITLE - 4), (one, bottom + 4)], INK.stroke_width(2)))?;
        // The mean stands apart from the workloads.
        let above_mean = bottom - ROW;
        root.draw(&PathElement::new([(self.left, above_mean), (self.right, above_mean)], FAINT.stroke_width(1)))?;
        label(root, (self.left, TITLE - 20), &heading(threads, cores), 24, INK, HPos::Left)?;
        let middle = (self.left + self.right - VALUES) / 2;
        let axis = format!("time / {}'s", results.reference());
        label(root, (middle, bottom + 46), &axis, 18, FAINT, HPos::Center)?;

        if let Some(entry) = results.subjects.iter().find(|entry| entry.is_ours()) {
            let at = (self.right - 10, TITLE - 18);
            root.draw(&Text::new(entry.label, at, style(18, colour(entry), HPos::Right, FontStyle::Bold)))?;
        }
        for (row, workload) in results.workloads.iter().enumerate() {
            self.dots(root, results, row as i32, |key| results.ratio(threads, *workload, key))?;
        }
        self.dots(root, results, self.rows - 1, |key| results.mean_ratio(threads, key))
    }

    /// One row. The subjects stand a little below each other, so that equal ones can be told apart.
    fn dots(&self, root: &Area<'_>, results: &Results, row: i32, ratio: impl Fn(&str) -> Option<f64>) -> Drawn {
        let (top, count) = (TITLE + row * ROW, results.subjects.len() as i32);
        // Ours last, on top of the others.
        let (ours, others): (Vec<_>, Vec<_>) =
            results.subjects.iter().enumerate().partition(|(_, entry)| entry.is_ours());
        for (place, entry) in others.into_iter().chain(ours.into_iter().rev()) {
            if let Some(ratio) = ratio(entry.key) {
                let y = top + 8 + (ROW - 16) * (2 * place as i32 + 1) / (2 * count.max(1));
                if ratio <= self.range.most {
                    dot(root, (self.x(ratio), y), entry)?;
                } else {
                    let (x, size) = (self.x(self.range.most), 7);
                    let triangle = vec![(x - size, y - size), (x + size, y), (x - size, y + size)];
                    root.draw(&Polygon::new(triangle, colour(entry)))?;
                }
            }
        }
        // The first of ours, in numbers too.
        let first = results.subjects.iter().find(|entry| entry.is_ours());
        if let Some((entry, ratio)) = first.and_then(|entry| Some((entry, ratio(entry.key)?))) {
            let (at, text) = ((self.right - 10, top + ROW / 2), number(Some(ratio), 2));
            root.draw(&Text::new(text, at, style(22, colour(entry), HPos::Right, FontStyle::Bold)))?;
        }
        Ok(())
    }
}

fn colour(entry: &Entry) -> RGBColor {
    let (red, green, blue) = entry.colour;
    RGBColor(red, green, blue)
}

/// Ours are large and have an outline.
fn dot(root: &Area<'_>, at: (i32, i32), entry: &Entry) -> Drawn {
    let colour = colour(entry);
    if entry.is_ours() {
        root.draw(&Circle::new(at, 9, colour.filled()))?;
        root.draw(&Circle::new(at, 9, INK.stroke_width(2)))?;
    } else {
        root.draw(&Circle::new(at, 6, colour.mix(0.85).filled()))?;
    }
    Ok(())
}

fn legend(root: &Area<'_>, results: &Results, top: i32) -> Drawn {
    let column_width = (WIDTH - 2 * MARGIN) / LEGEND_COLUMNS as i32;
    for (place, entry) in results.subjects.iter().enumerate() {
        let (row, column) = ((place / LEGEND_COLUMNS) as i32, (place % LEGEND_COLUMNS) as i32);
        let at = (MARGIN + 16 + column * column_width, top + row * LEGEND_ROW + LEGEND_ROW / 2);
        dot(root, at, entry)?;
        let weight = if entry.is_ours() { FontStyle::Bold } else { FontStyle::Normal };
        root.draw(&Text::new(entry.label, (at.0 + 20, at.1), style(20, INK, HPos::Left, weight)))?;
    }
    Ok(())
}

fn label(root: &Area<'_>, at: (i32, i32), text: &str, size: i32, colour: RGBColor, anchor: HPos) -> Drawn {
    root.draw(&Text::new(text.to_string(), at, style(size, colour, anchor, FontStyle::Normal)))?;
    Ok(())
}

fn style(size: i32, colour: RGBColor, anchor: HPos, weight: FontStyle) -> TextStyle<'static> {
    let font = ("sans-serif", size).into_font().style(weight);
    TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(anchor, VPos::Center) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn the_picture_has_every_subject_and_workload() {
        let text = render(&sample(), "a processor", 1).unwrap();
        for expected in ["heapmaster", "mimalloc", "larson", "geometric mean", "2 threads on 1 core", "a processor"] {
            assert!(text.contains(expected), "{expected}");
        }
        // Two rings for the dots of ours at 1 thread, one for their mean, one at 2 threads, and one in the legend.
        assert_eq!(text.matches("stroke=\"#222222\" stroke-width=\"2\"").count(), 5 + 2);
    }

    #[test]
    fn what_is_far_off_is_a_triangle() {
        let mut results = sample();
        assert!(!Range::of(&results).is_cut && !render(&results, "", 1).unwrap().contains("<polygon"));
        results.cells[2].rounds = vec![5000.0];
        assert!(Range::of(&results).is_cut && render(&results, "", 1).unwrap().contains("<polygon"));
    }

    #[test]
    fn places_are_logarithmic() {
        let range = Range { least: 0.1, most: 10.0, is_cut: false };
        assert!((range.place(1.0) - 0.5).abs() < 1e-9);
        assert_eq!(range.ticks(), [0.1, 0.3, 1.0, 3.0, 10.0]);
    }
}

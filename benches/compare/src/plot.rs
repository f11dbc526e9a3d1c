//! The picture: a panel for each number of threads, and in it a line for each subject from workload to workload.
//! Right of them stand the mean of each subject, and its name.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::results::Results;
use crate::subjects::{Entry, Shape};
use crate::table::{heading, number};

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

// Lengths in pixels.
const WIDTH: i32 = 1600;
const MARGIN: i32 = 40;
const TITLE: i32 = 104;
/// For the numbers of the axis.
const LEFT: i32 = 96;
/// For the names of the subjects, in any font.
const NAMES: i32 = 360;
/// Above a panel: how many threads. Below: the workloads.
const HEADING: i32 = 44;
const FOOT: i32 = 40;
/// Between the names of two subjects.
const NAME: i32 = 29;
const LEAST_HEIGHT: i32 = 250;

const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(100, 100, 100);
const GRID: RGBColor = RGBColor(226, 226, 226);
const WARNING: RGBColor = RGBColor(190, 20, 20);

/// The text of the SVG file.
pub fn render(results: &Results, processor: &str, cores: usize) -> Result<String, Box<dyn std::error::Error>> {
    let panel = LEAST_HEIGHT.max((results.subjects.len() as i32 + 1) * NAME);
    let height = TITLE + results.threads.len() as i32 * (HEADING + panel + FOOT) + MARGIN;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let reference = results.reference();
        let title = format!("Time of an allocation with its release, as a multiple of {reference}'s");
        label(&root, (MARGIN, 40), &title, 30, INK, HPos::Left, FontStyle::Bold)?;
        let range = Range::of(results);
        let beyond = if range.is_cut { "; hollow marks are beyond the scale" } else { "" };
        let (pick, rounds) = (results.pick.label(), results.rounds);
        let method = format!("Lower is faster{beyond}; {pick} of {rounds} rounds; {processor}");
        label(&root, (MARGIN, 76), &method, 18, FAINT, HPos::Left, FontStyle::Normal)?;
        for (number, threads) in results.threads.iter().enumerate() {
            let top = TITLE + number as i32 * (HEADING + panel + FOOT) + HEADING;
            let panel = Panel { top, bottom: top + panel, range, results, threads: *threads };
            panel.draw(&root, cores)?;
        }
        root.present()?;
    }
    Ok(text)
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
    const MOST: f64 = 10.0;

    /// All of the figures up to `MOST`, and at least from half to twice.
    fn of(results: &Results) -> Self {
        let figures = results.cells.iter().filter_map(|cell| results.ratio(cell.threads, cell.workload, cell.subject));
        let ratios: Vec<f64> = figures.collect();
        let least = ratios.iter().copied().fold(0.5, f64::min);
        let most = ratios.iter().copied().fold(2.0, f64::max);
        Self { least: least / 1.15, most: most.min(Self::MOST) * 1.15, is_cut: most > Self::MOST * 1.15 }
    }

    /// From 0 to 1.
    fn place(self, ratio: f64) -> f64 {
        (ratio / self.least).ln() / (self.most / self.least).ln()
    }

    /// 1, 2, 5, 10 and so on, or, if the range is wide, 1, 3, 10 and so on.
    fn ticks(self) -> Vec<f64> {
        let decades = (self.most / self.least).log10();
        let steps: &[f64] = if decades > 2.0 { &[1.0, 3.0] } else { &[1.0, 2.0, 5.0] };
        let scaled =
            |step: &f64, power: i32| if power < 0 { step / 10f64.powi(-power) } else { step * 10f64.powi(power) };
        let all = (-6..=6).flat_map(|power| steps.iter().map(move |step| scaled(step, power)));
        all.filter(|tick| (self.least..=self.most).contains(tick)).collect()
    }
}

/// The figures of one number of threads.
#[derive(Debug)]
struct Panel<'r> {
    top: i32,
    bottom: i32,
    range: Range,
    results: &'r Results,
    threads: usize,
}

impl Panel<'_> {
    /// Of a workload; the one after the last is the mean, which stands apart.
    fn x(&self, place: usize) -> i32 {
        let count = self.results.workloads.len();
        let step = (WIDTH - MARGIN - NAMES - LEFT) * 2 / (2 * count as i32 + 2);
        LEFT + step * place as i32 + step / 2 + if place == count { step / 4 } else { 0 }
    }

    fn y(&self, ratio: f64) -> i32 {
        let place = self.range.place(ratio.min(self.range.most));
        self.bottom - (place * f64::from(self.bottom - self.top)).round() as i32
    }

    fn draw(&self, root: &Area<'_>, cores: usize) -> Drawn {
        let Self { results, threads, top, bottom, .. } = *self;
        let (count, right) = (results.workloads.len(), WIDTH - MARGIN - NAMES);
        label(root, (MARGIN, top - 22), &heading(threads, cores), 24, INK, HPos::Left, FontStyle::Bold)?;
        if let Some(noise) = results.noise(threads).filter(|_| results.is_noisy(threads)) {
            let text = format!("noisy machine, doubtful: the median round took {noise:.2} times the fastest one");
            label(root, (right, top - 22), &text, 18, WARNING, HPos::Right, FontStyle::Normal)?;
        }
        for tick in self.range.ticks() {
            let y = self.y(tick);
            root.draw(&PathElement::new([(LEFT, y), (right, y)], GRID.stroke_width(1)))?;
            label(root, (LEFT - 14, y), &format!("{tick}"), 18, FAINT, HPos::Right, FontStyle::Normal)?;
        }
        for (place, workload) in results.workloads.iter().enumerate() {
            let x = self.x(place);
            root.draw(&PathElement::new([(x, top), (x, bottom)], GRID.stroke_width(1)))?;
            label(root, (x, bottom + 18), workload.short(), 19, INK, HPos::Center, FontStyle::Normal)?;
        }
        label(root, (self.x(count), bottom + 18), "mean", 19, INK, HPos::Center, FontStyle::Bold)?;

        // Ours last, on top of the others.
        let (ours, others): (Vec<&Entry>, Vec<&Entry>) = results.subjects.iter().partition(|entry| entry.is_ours());
        for entry in others.into_iter().chain(ours) {
            self.line(root, entry)?;
        }
        self.names(root)
    }

    /// From workload to workload, and a mark for the mean. Figures that are missing are gaps.
    fn line(&self, root: &Area<'_>, entry: &Entry) -> Drawn {
        let Self { results, threads, .. } = *self;
        let ratio = |place: usize| results.ratio(threads, *results.workloads.get(place)?, entry.key);
        let ratios: Vec<Option<f64>> = (0..results.workloads.len()).map(ratio).collect();
        let width = if entry.is_ours() { 4 } else { 2 };
        for (place, two) in ratios.windows(2).enumerate() {
            if let [Some(one), Some(other)] = two {
                let ends = [(self.x(place), self.y(*one)), (self.x(place + 1), self.y(*other))];
                root.draw(&PathElement::new(ends, colour(entry).stroke_width(width)))?;
            }
        }
        let means = std::iter::once(results.mean_ratio(threads, entry.key));
        for (place, ratio) in ratios.into_iter().chain(means).enumerate() {
            if let Some(ratio) = ratio {
                mark(root, (self.x(place), self.y(ratio)), entry, ratio > self.range.most)?;
            }
        }
        Ok(())
    }

    /// The means as numbers, and whose they are, beside the marks of the means. What can't be compared by its mean is
    /// named below.
    fn names(&self, root: &Area<'_>) -> Drawn {
        let mean = |entry: &&'static Entry| (self.results.mean_ratio(self.threads, entry.key), *entry);
        let mut means: Vec<(Option<f64>, &Entry)> = self.results.subjects.iter().map(mean).collect();
        means.sort_by(|one, other| other.0.unwrap_or(0.0).total_cmp(&one.0.unwrap_or(0.0)));
        let mut heights: Vec<i32> =
            means.iter().map(|(mean, _)| mean.map_or(self.bottom, |mean| self.y(mean))).collect();
        spread(&mut heights, self.top, self.bottom);
        let begin = self.x(self.results.workloads.len());
        for ((mean, entry), height) in means.into_iter().zip(heights) {
            let weight = if entry.is_ours() { FontStyle::Bold } else { FontStyle::Normal };
            if let Some(mean) = mean {
                let ends = [(begin + 14, self.y(mean)), (begin + 54, height)];
                root.draw(&PathElement::new(ends, colour(entry).mix(0.6).stroke_width(1)))?;
            }
            label(root, (begin + 112, height), &number(mean, 2), 21, colour(entry), HPos::Right, weight)?;
            label(root, (begin + 126, height), entry.label, 21, colour(entry), HPos::Left, weight)?;
        }
        Ok(())
    }
}

/// Moves heights, which rise, apart, so that there is room for a name at each, and none is outside.
fn spread(heights: &mut [i32], top: i32, bottom: i32) {
    let mut least = top;
    for height in heights.iter_mut() {
        *height = (*height).max(least);
        least = *height + NAME;
    }
    let mut most = bottom;
    for height in heights.iter_mut().rev() {
        *height = (*height).min(most);
        most = *height - NAME;
    }
}

fn colour(entry: &Entry) -> RGBColor {
    let (red, green, blue) = entry.colour;
    RGBColor(red, green, blue)
}

/// The shape of a subject, larger for ours; hollow where the figure is beyond the scale.
fn mark(root: &Area<'_>, (x, y): (i32, i32), entry: &Entry, is_hollow: bool) -> Drawn {
    let size = if entry.is_ours() { 9 } else { 7 };
    let corners: &[(i32, i32)] = match entry.shape {
        Shape::Circle => {
            let style = if is_hollow { colour(entry).stroke_width(2) } else { colour(entry).filled() };
            root.draw(&Circle::new((x, y), size, WHITE.filled()))?;
            root.draw(&Circle::new((x, y), size, style))?;
            return Ok(());
        }
        Shape::Square => &[(-8, -8), (8, -8), (8, 8), (-8, 8)],
        Shape::Diamond => &[(0, -11), (11, 0), (0, 11), (-11, 0)],
        Shape::Up => &[(0, -10), (10, 8), (-10, 8)],
        Shape::Down => &[(0, 10), (10, -8), (-10, -8)],
        Shape::Cross => {
            &[(-9, -5), (-5, -9), (0, -4), (5, -9), (9, -5), (4, 0), (9, 5), (5, 9), (0, 4), (-5, 9), (-9, 5), (-4, 0)]
        }
    };
    let mut corners: Vec<(i32, i32)> = corners.iter().map(|(dx, dy)| (x + dx * size / 9, y + dy * size / 9)).collect();
    if is_hollow {
        root.draw(&Polygon::new(corners.clone(), WHITE))?;
        corners.push(corners[0]);
        root.draw(&PathElement::new(corners, colour(entry).stroke_width(2)))?;
    } else {
        root.draw(&Polygon::new(corners, colour(entry)))?;
    }
    Ok(())
}

fn label(
    root: &Area<'_>,
    at: (i32, i32),
    text: &str,
    size: i32,
    colour: RGBColor,
    anchor: HPos,
    weight: FontStyle,
) -> Drawn {
    let font = ("sans-serif", size).into_font().style(weight);
    let style = TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(anchor, VPos::Center) };
    root.draw(&Text::new(text.to_string(), at, style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;
    use crate::subjects::ALL;

    #[test]
    fn the_picture_has_every_subject_and_workload() {
        let text = render(&sample(), "a processor", 1).unwrap();
        for expected in ["heapmaster", "mimalloc", "larson", "mean", "2 threads on 1 core", "a processor"] {
            assert!(text.contains(expected), "{expected}");
        }
        // Each circle has a white ground: of two workloads and their mean at 1 thread, and of one workload at 2
        // threads.
        assert_eq!(text.matches("<circle").count(), 2 * (3 + 1));
        assert!(text.contains("noisy machine"), "its rounds are far apart");
    }

    #[test]
    fn marks_beyond_the_scale_are_hollow() {
        let hollow = "hollow marks are beyond the scale";
        let mut results = sample();
        assert!(!Range::of(&results).is_cut && !render(&results, "", 1).unwrap().contains(hollow));
        results.cells[2].rounds = vec![5000.0];
        assert!(Range::of(&results).is_cut && render(&results, "", 1).unwrap().contains(hollow));
    }

    #[test]
    fn places_are_logarithmic() {
        let range = Range { least: 0.09, most: 11.0, is_cut: false };
        assert_eq!(range.ticks(), [0.1, 0.3, 1.0, 3.0, 10.0]);
        let range = Range { least: 0.1, most: 10.0, is_cut: false };
        assert!((range.place(1.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn names_have_room() {
        let spread = |mut heights: Vec<i32>| {
            spread(&mut heights, 100, 100 + 4 * NAME);
            heights
        };
        assert_eq!(spread(vec![100, 101, 150]), [100, 100 + NAME, 100 + 2 * NAME]);
        assert_eq!(spread(vec![1000; 3]), [2, 3, 4].map(|place| 100 + place * NAME));
    }

    #[test]
    fn no_two_subjects_look_the_same() {
        for (number, one) in ALL.iter().enumerate() {
            for other in &ALL[..number] {
                assert!((one.colour, one.shape) != (other.colour, other.shape), "{} and {}", one.key, other.key);
                // Those that are shown together unless more are asked for have shapes of their own.
                let both = one.is_main && other.is_main && one.key != "limit" && other.key != "limit";
                assert!(!both || one.shape != other.shape, "{} and {}", one.key, other.key);
            }
        }
    }
}

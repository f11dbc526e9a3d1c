//! The figures, and the arithmetic on them.

use crate::subjects::Entry;
use crate::workloads::Kind;

/// The measurements of one subject at one workload and one number of threads.
#[derive(Clone, Debug)]
pub struct Cell {
    pub threads: usize,
    pub workload: Kind,
    pub subject: &'static str,
    /// Nanoseconds of one thread for an allocation with its release, of each round.
    pub rounds: Vec<f64>,
}

impl Cell {
    pub fn min(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn median(&self) -> f64 {
        median(&self.rounds)
    }
}

/// The middle one of some figures, or the mean of the middle two.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// Which of a cell's rounds stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    Min,
    Median,
}

impl Pick {
    fn of(self, cell: &Cell) -> f64 {
        match self {
            Self::Min => cell.min(),
            Self::Median => cell.median(),
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Min => "minimum",
            Self::Median => "median",
        }
    }
}

/// All that was measured.
#[derive(Debug)]
pub struct Results {
    pub subjects: Vec<&'static Entry>,
    pub workloads: Vec<Kind>,
    pub threads: Vec<usize>,
    pub rounds: usize,
    /// The key of the subject that the others are compared with.
    pub against: &'static str,
    pub pick: Pick,
    pub cells: Vec<Cell>,
    /// Nanoseconds of a compare-exchange by itself.
    pub exchange: f64,
    /// Nanoseconds that a cache line took to another thread and back, before each round of several threads.
    pub round_trips: Vec<f64>,
}

impl Results {
    /// Above this, [`Results::noise`] makes the figures doubtful.
    pub const MOST_NOISE: f64 = 1.1;

    /// Nanoseconds of a pair.
    pub fn time(&self, threads: usize, workload: Kind, subject: &str) -> Option<f64> {
        let at = |cell: &&Cell| cell.threads == threads && cell.workload == workload && cell.subject == subject;
        self.cells.iter().find(at).map(|cell| self.pick.of(cell))
    }

    /// The time as a multiple of the reference's.
    pub fn ratio(&self, threads: usize, workload: Kind, subject: &str) -> Option<f64> {
        Some(self.time(threads, workload, subject)? / self.time(threads, workload, self.against)?)
    }

    /// The geometric mean of the ratios over all workloads.
    pub fn mean_ratio(&self, threads: usize, subject: &str) -> Option<f64> {
        geometric_mean(self.workloads.iter().map(|workload| self.ratio(threads, *workload, subject)))
    }

    /// The work of `threads` threads, as a multiple of one thread's.
    pub fn scaling(&self, threads: usize, workload: Kind, subject: &str) -> Option<f64> {
        let alone = self.time(1, workload, subject)?;
        Some(threads as f64 * alone / self.time(threads, workload, subject)?)
    }

    /// How many times as long as the fastest round of a cell the median one took, in the median of the cells of so many
    /// threads. `None` where there are fewer than three rounds, since these tell nothing.
    pub fn noise(&self, threads: usize) -> Option<f64> {
        let cells = self.cells.iter().filter(|cell| cell.threads == threads && cell.rounds.len() >= 3);
        let spreads: Vec<f64> = cells.map(|cell| cell.median() / cell.min()).collect();
        (!spreads.is_empty()).then(|| median(&spreads))
    }

    /// Is the machine too noisy for figures of `threads` threads?
    pub fn is_noisy(&self, threads: usize) -> bool {
        self.noise(threads).is_some_and(|noise| noise > Self::MOST_NOISE)
    }

    /// The subject that the others are compared with, as it is called in tables.
    pub fn reference(&self) -> &'static str {
        let found = self.subjects.iter().find(|subject| subject.key == self.against);
        found.map_or(self.against, |subject| subject.label)
    }
}

/// The mean whose inverse is the mean of the inverses, so that it does not matter which of two subjects is the
/// reference (Fleming and Wallace: How not to lie with statistics, 1986). `None` if there is no value, or one is
/// missing.
pub fn geometric_mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let logarithms: Vec<f64> = values.map(|value| value.map(f64::ln)).collect::<Option<_>>()?;
    let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
    (!logarithms.is_empty()).then(|| mean.exp())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::subjects::ALL;

    fn close(left: Option<f64>, right: f64) -> bool {
        left.is_some_and(|left| (left - right).abs() < 1e-9)
    }

    /// Two subjects and two workloads at 1 and 2 threads; one cell is missing.
    pub fn sample() -> Results {
        let subjects: Vec<_> = ALL.iter().filter(|entry| ["heapmaster", "mimalloc"].contains(&entry.key)).collect();
        let cell =
            |threads, workload, subject, rounds: &[f64]| Cell { threads, workload, subject, rounds: rounds.into() };
        Results {
            subjects,
            workloads: vec![Kind::Pair, Kind::Larson],
            threads: vec![1, 2],
            rounds: 3,
            against: "mimalloc",
            pick: Pick::Min,
            cells: vec![
                cell(1, Kind::Pair, "heapmaster", &[3.0, 2.0, 8.0]),
                cell(1, Kind::Pair, "mimalloc", &[4.0, 6.0, 5.0]),
                cell(1, Kind::Larson, "heapmaster", &[20.0, 22.0, 21.0]),
                cell(1, Kind::Larson, "mimalloc", &[10.0, 10.0, 10.0]),
                cell(2, Kind::Pair, "heapmaster", &[2.5, 4.0, 4.0]),
                cell(2, Kind::Pair, "mimalloc", &[5.0, 5.0, 5.0]),
                cell(2, Kind::Larson, "mimalloc", &[12.0, 12.0, 12.0]),
            ],
            exchange: 5.0,
            round_trips: vec![80.0, 70.0, 600.0],
        }
    }

    #[test]
    fn minima_and_medians() {
        let cell = |rounds: &[f64]| Cell { threads: 1, workload: Kind::Pair, subject: "x", rounds: rounds.into() };
        assert_eq!((cell(&[5.0, 1.0, 3.0]).min(), cell(&[5.0, 1.0, 3.0]).median()), (1.0, 3.0));
        assert_eq!((cell(&[4.0, 1.0, 3.0, 9.0]).min(), cell(&[4.0, 1.0, 3.0, 9.0]).median()), (1.0, 3.5));
        assert_eq!((cell(&[7.0]).min(), cell(&[7.0]).median()), (7.0, 7.0));
    }

    #[test]
    fn ratios_are_of_the_same_threads_and_workload() {
        let mut results = sample();
        assert_eq!(results.ratio(1, Kind::Pair, "heapmaster"), Some(0.5));
        assert_eq!(results.ratio(1, Kind::Larson, "heapmaster"), Some(2.0));
        assert_eq!(results.ratio(2, Kind::Larson, "heapmaster"), None);
        assert_eq!(results.ratio(1, Kind::Pair, "mimalloc"), Some(1.0));
        results.pick = Pick::Median;
        assert_eq!(results.ratio(1, Kind::Pair, "heapmaster"), Some(0.6));
        results.against = "heapmaster";
        assert_eq!(results.ratio(1, Kind::Larson, "mimalloc"), Some(10.0 / 21.0));
    }

    #[test]
    fn geometric_means() {
        assert!(close(geometric_mean([Some(0.5), Some(2.0)].into_iter()), 1.0));
        assert!(close(geometric_mean([Some(1.0), Some(4.0), Some(16.0)].into_iter()), 4.0));
        assert_eq!(geometric_mean([Some(0.5), None].into_iter()), None);
        assert_eq!(geometric_mean(std::iter::empty()), None);
        assert!(close(sample().mean_ratio(1, "heapmaster"), 1.0));
        assert_eq!(sample().mean_ratio(2, "heapmaster"), None);
    }

    #[test]
    fn noise_is_how_far_rounds_are_apart() {
        let mut results = sample();
        // 1.5, 1.25, 1.05 and 1 times the fastest round.
        assert_eq!(results.noise(1), Some(1.15));
        assert!(results.is_noisy(1));
        results.cells[0].rounds = vec![2.0, 2.1, 8.0];
        results.cells[1].rounds = vec![4.0, 4.1, 9.0];
        assert!(!results.is_noisy(1));
        results.cells.iter_mut().for_each(|cell| cell.rounds.truncate(2));
        assert_eq!((results.noise(1), results.is_noisy(1)), (None, false));
    }

    #[test]
    fn scaling_is_of_throughput() {
        // 2.0 ns alone, 2.5 ns each of two: 1.6 times the work.
        assert!(close(sample().scaling(2, Kind::Pair, "heapmaster"), 1.6));
        assert_eq!(sample().scaling(2, Kind::Larson, "heapmaster"), None);
    }
}

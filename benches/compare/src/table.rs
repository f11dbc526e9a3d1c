//! The tables, in Markdown, so that they can be pasted.

use std::fmt::{self, Write};

use crate::results::{Results, median};
use crate::workloads::Kind;

/// Everything that is printed of the results.
pub fn render(results: &Results, cores: usize) -> String {
    let mut text = String::new();
    write_all(&mut text, results, cores).expect("a string takes everything");
    text
}

fn write_all(out: &mut String, results: &Results, cores: usize) -> fmt::Result {
    let Results { threads, rounds, .. } = results;
    let (reference, pick) = (results.reference(), results.pick.label());
    writeln!(
        out,
        "Time of an allocation with its release, as one thread sees it, as a multiple of {reference}'s time.\n\
         Lower is faster; {pick} of {rounds} rounds, one subject after the other in each round."
    )?;
    for threads in threads {
        writeln!(out, "\n### {}\n\n{}", heading(*threads, cores), ratios(results, *threads))?;
        writeln!(out, "\n{}", noise(results, *threads))?;
    }
    for threads in threads.iter().filter(|threads| **threads > 1) {
        if let Some(table) = scaling(results, *threads) {
            writeln!(out, "\n### Scaling: the work of {threads} threads, as a multiple of that of one\n\n{table}")?;
            if let Some(doubt) = doubt(results, *threads, cores) {
                writeln!(out, "\n{doubt}")?;
            }
        }
    }
    writeln!(out, "\n### Workloads\n")?;
    for workload in &results.workloads {
        writeln!(out, "- {}: {}", workload.short(), workload.description())?;
    }
    let exchange = number(Some(results.exchange), 1);
    writeln!(
        out,
        "\nA compare-exchange by itself takes {exchange} ns here. A checked release takes at least as long."
    )?;
    distance(results).map_or(Ok(()), |distance| writeln!(out, "{distance}"))
}

/// Whether the machine was quiet, and how that is told.
fn noise(results: &Results, threads: usize) -> String {
    let Some(noise) = results.noise(threads) else {
        return String::from("Noise: unknown, since fewer than three rounds tell nothing of it.");
    };
    let most = Results::MOST_NOISE;
    let rule = format!(
        "Noise: in the median cell, the median round took {noise:.2} times the fastest; up to {most} is quiet."
    );
    match results.is_noisy(threads) {
        false => rule,
        true => format!("DOUBTFUL: this machine is too noisy. Other programs use it, or its clock changes.\n{rule}"),
    }
}

/// How far the threads were from each other.
fn distance(results: &Results) -> Option<String> {
    let trips = &results.round_trips;
    let least = trips.iter().copied().reduce(f64::min)?;
    let most = trips.iter().copied().reduce(f64::max)?;
    let text = format!(
        "Before the rounds of several threads a cache line went to another thread and back\n\
         in {least:.0} to {most:.0} ns, {:.0} in the median.",
        median(trips)
    );
    Some(match most > 2.0 * least {
        true => {
            text + "\nWhere blocks cross threads, figures follow that. More and shorter rounds make minima\ncomparable."
        }
        false => text,
    })
}

/// So many threads, and on how many cores if those are fewer.
pub fn heading(threads: usize, cores: usize) -> String {
    match threads {
        1 => String::from("1 thread"),
        _ if threads > cores => format!("{threads} threads on {cores} core{}", if cores == 1 { "" } else { "s" }),
        _ => format!("{threads} threads"),
    }
}

/// A row for each subject, since there may be many of them.
fn ratios(results: &Results, threads: usize) -> String {
    let against = results.against;
    let mut rows = vec![vec![String::from("allocator")], vec![format!("{} (ns)", results.reference())]];
    for workload in &results.workloads {
        rows[0].push(workload.short().into());
        rows[1].push(number(results.time(threads, *workload, against), 1));
    }
    rows[0].push(String::from("mean"));
    rows[1].push(String::new());
    for (key, label) in others(results) {
        let mut row = vec![label.to_string()];
        row.extend(results.workloads.iter().map(|workload| number(results.ratio(threads, *workload, key), 2)));
        row.push(number(results.mean_ratio(threads, key), 2));
        rows.push(row);
    }
    markdown(&rows)
}

/// The subjects that are compared with the reference: keys and labels.
fn others(results: &Results) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
    results.subjects.iter().filter(|subject| subject.key != results.against).map(|subject| (subject.key, subject.label))
}

/// `None` if there is nothing to tell.
fn scaling(results: &Results, threads: usize) -> Option<String> {
    let told = |workload: &Kind| {
        let mut subjects = results.subjects.iter();
        workload.is_private() && subjects.any(|subject| results.scaling(threads, *workload, subject.key).is_some())
    };
    let workloads: Vec<Kind> = results.workloads.iter().copied().filter(told).collect();
    let mut rows = vec![vec![String::from("allocator")]];
    rows[0].extend(workloads.iter().map(|workload| workload.short().to_string()));
    for subject in &results.subjects {
        let mut row = vec![subject.label.to_string()];
        row.extend(workloads.iter().map(|workload| number(results.scaling(threads, *workload, subject.key), 2)));
        rows.push(row);
    }
    (!workloads.is_empty()).then(|| markdown(&rows))
}

/// A remark if the reference is far from using all cores with blocks that its threads don't share.
fn doubt(results: &Results, threads: usize, cores: usize) -> Option<String> {
    let kind = results.workloads.iter().copied().find(|workload| workload.is_private())?;
    let scaling = results.scaling(threads, kind, results.against)?;
    let (label, reference) = (kind.short(), results.reference());
    (scaling < 0.8 * threads.min(cores) as f64).then(|| {
        format!(
            "DOUBTFUL: in \"{label}\", {threads} threads of {reference} do only {scaling:.2} times the work of one.\n\
             If it can do better, other programs used the cores, and the figures of {threads} threads tell little."
        )
    })
}

/// With `digits` digits after the point, and fewer if there are many before it.
pub fn number(figure: Option<f64>, digits: usize) -> String {
    match figure {
        Some(figure) if figure < 10.0 => format!("{figure:.digits$}"),
        Some(figure) if figure < 100.0 => format!("{figure:.*}", digits.min(1)),
        Some(figure) => format!("{figure:.0}"),
        None => String::from("–"),
    }
}

/// Columns of a terminal.
const TERMINAL: usize = 100;

/// A table of rows of the same length, the first of which is the heading; the first column is words, the others are
/// numbers. A table wider than a terminal is told in several, each with the first column.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut tables: Vec<Vec<usize>> = vec![vec![0]];
    let mut wide = widths[0] + 4;
    for (column, width) in widths.iter().enumerate().skip(1) {
        if wide + width + 3 > TERMINAL && tables.last().is_some_and(|table| table.len() > 1) {
            tables.push(vec![0]);
            wide = widths[0] + 4;
        }
        wide += width + 3;
        tables.last_mut().expect("there is one").push(column);
    }
    let tables: Vec<String> = tables.iter().map(|columns| part(rows, &widths, columns)).collect();
    tables.join("\n\n")
}

/// Rows as columns: for a table of few rows of many figures.
pub fn turned(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect()
}

/// Some columns of a table.
fn part(rows: &[Vec<String>], widths: &[usize], columns: &[usize]) -> String {
    let line = |row: &Vec<String>| {
        let cells = columns.iter().map(|column| match (&row[*column], widths[*column]) {
            (cell, width) if *column == 0 => format!(" {cell:<width$} |"),
            (cell, width) => format!(" {cell:>width$} |"),
        });
        format!("|{}", cells.collect::<String>())
    };
    let rule = columns.iter().map(|column| match column {
        0 => format!("{}|", "-".repeat(widths[0] + 2)),
        column => format!("{}:|", "-".repeat(widths[*column] + 1)),
    });
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, format!("|{}", rule.collect::<String>()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Cell;
    use crate::results::tests::sample;
    use crate::subjects::ALL;

    #[test]
    fn numbers_have_few_digits() {
        let text = |figure| number(Some(figure), 2);
        assert_eq!([text(0.123), text(9.876), text(12.34), text(432.1)], ["0.12", "9.88", "12.3", "432"]);
        assert_eq!(number(None, 2), "–");
    }

    #[test]
    fn a_table_can_be_pasted() {
        assert_eq!(
            ratios(&sample(), 1),
            "| allocator     | pair | larson | mean |\n\
             |---------------|-----:|-------:|-----:|\n\
             | mimalloc (ns) |  4.0 |   10.0 |      |\n\
             | heapmaster    | 0.50 |   2.00 | 1.00 |"
        );
    }

    #[test]
    fn missing_figures_are_dashes() {
        assert!(ratios(&sample(), 2).ends_with("| heapmaster    | 0.50 |      – |    – |"));
    }

    #[test]
    fn all_tables_fit_a_terminal() {
        let mut results = sample();
        results.subjects = ALL.iter().collect();
        results.workloads = Kind::usual().collect();
        results.cells.clear();
        for subject in ALL {
            for workload in Kind::usual() {
                for threads in [1, 2] {
                    results.cells.push(Cell { threads, workload, subject: subject.key, rounds: vec![123.4; 3] });
                }
            }
        }
        let text = render(&results, 1);
        // One table, in one piece, for each number of threads, and one of the scaling.
        assert_eq!(text.matches("| allocator").count(), 3, "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= TERMINAL, "{line}");
        }
    }

    #[test]
    fn a_wide_table_is_told_in_several() {
        let row = |begin: &str| (0..12).map(|number| format!("{begin} number {number}")).collect::<Vec<_>>();
        let text = markdown(&[row("head"), row("line")]);
        assert!(text.lines().all(|line| line.chars().count() <= TERMINAL), "{text}");
        assert_eq!(text.matches("| head number 0 ").count(), text.matches("\n\n").count() + 1);
        assert!((1..12).all(|number| text.matches(&format!(" line number {number} |")).count() == 1));
    }

    #[test]
    fn a_noisy_machine_is_said_to_be_one() {
        let mut results = sample();
        assert!(noise(&results, 1).contains("DOUBTFUL") && noise(&results, 1).contains("took 1.15 times"));
        results.cells.iter_mut().for_each(|cell| cell.rounds = vec![1.0; 3]);
        let quiet = noise(&results, 1);
        assert!(!quiet.contains("DOUBTFUL") && quiet.contains("up to 1.1 is quiet"), "{quiet}");
    }

    #[test]
    fn scaling_is_told_where_one_thread_was_measured() {
        assert_eq!(
            scaling(&sample(), 2).unwrap(),
            "| allocator  | pair |\n\
             |------------|-----:|\n\
             | heapmaster | 1.60 |\n\
             | mimalloc   | 1.60 |"
        );
        // 1.6 times is enough for two cores.
        assert_eq!(doubt(&sample(), 2, 2), None);
        let mut busy = sample();
        busy.cells[5].rounds = vec![7.5];
        assert!(doubt(&busy, 2, 2).unwrap().contains("do only 1.07 times"));
        assert_eq!(doubt(&busy, 2, 1), None);
        let mut results = sample();
        results.cells.retain(|cell| cell.threads > 1);
        assert_eq!(scaling(&results, 2), None);
        let text = render(&sample(), 1);
        assert!(text.contains("by itself takes 5.0 ns"), "{text}");
        assert!(text.contains("back\nin 70 to 600 ns, 80 in the median"), "{text}");
        assert!(text.contains("### 1 thread\n") && text.contains("### 2 threads on 1 core\n"), "{text}");
    }
}

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
        "Time of an allocation with its release, as one thread sees it: a multiple of {reference}'s, and {reference}'s\n\
         in nanoseconds. Lower is faster; {pick} of {rounds} rounds, one subject after the other in each round."
    )?;
    for threads in threads {
        writeln!(out, "\n### {}\n\n{}", heading(*threads, cores), ratios(results, *threads))?;
    }
    for threads in threads.iter().filter(|threads| **threads > 1) {
        if let Some(table) = scaling(results, *threads) {
            writeln!(out, "\n### Scaling: the work of {threads} threads, as a multiple of that of one\n\n{table}")?;
            if let Some(doubt) = doubt(results, *threads, cores) {
                writeln!(out, "\n{doubt}")?;
            }
        }
    }
    let exchange = number(Some(results.exchange), 1);
    writeln!(
        out,
        "\nA compare-exchange by itself takes {exchange} ns here: as long takes a release at least that is checked."
    )?;
    distance(results).map_or(Ok(()), |distance| writeln!(out, "{distance}"))
}

/// How far the threads were from each other.
fn distance(results: &Results) -> Option<String> {
    let trips = &results.round_trips;
    let least = trips.iter().copied().reduce(f64::min)?;
    let most = trips.iter().copied().reduce(f64::max)?;
    let text = format!(
        "Before the rounds of several threads a cache line went to another thread and back in {least:.0} to {most:.0} ns, \
         {:.0} in the median.",
        median(trips)
    );
    Some(match most > 2.0 * least {
        true => {
            text + "\nWhere blocks cross threads, figures follow that. More and shorter rounds make minima comparable."
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

fn ratios(results: &Results, threads: usize) -> String {
    let against = results.against;
    let mut rows = vec![vec![String::from("workload"), format!("{} (ns)", results.reference())]];
    rows[0].extend(others(results).map(|subject| subject.1.to_string()));
    for workload in &results.workloads {
        let mut row = vec![workload.label().to_string(), number(results.time(threads, *workload, against), 1)];
        row.extend(others(results).map(|(key, _)| number(results.ratio(threads, *workload, key), 2)));
        rows.push(row);
    }
    let mut row = vec![String::from("geometric mean"), String::new()];
    row.extend(others(results).map(|(key, _)| number(results.mean_ratio(threads, key), 2)));
    rows.push(row);
    markdown(&rows)
}

/// The subjects that are compared with the reference: keys and labels.
fn others(results: &Results) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
    results.subjects.iter().filter(|subject| subject.key != results.against).map(|subject| (subject.key, subject.label))
}

/// `None` if there is nothing to tell.
fn scaling(results: &Results, threads: usize) -> Option<String> {
    let mut rows = vec![vec![String::from("workload")]];
    rows[0].extend(results.subjects.iter().map(|subject| subject.label.to_string()));
    let private: Vec<Kind> = results.workloads.iter().copied().filter(|workload| workload.is_private()).collect();
    for workload in private {
        let figures: Vec<Option<f64>> =
            results.subjects.iter().map(|subject| results.scaling(threads, workload, subject.key)).collect();
        if figures.iter().any(Option::is_some) {
            let mut row = vec![workload.label().to_string()];
            row.extend(figures.into_iter().map(|figure| number(figure, 2)));
            rows.push(row);
        }
    }
    (rows.len() > 1).then(|| markdown(&rows))
}

/// A remark if the reference is far from using all cores with blocks that its threads don't share.
fn doubt(results: &Results, threads: usize, cores: usize) -> Option<String> {
    let kind = results.workloads.iter().copied().find(|workload| workload.is_private())?;
    let scaling = results.scaling(threads, kind, results.against)?;
    let (label, reference) = (kind.label(), results.reference());
    (scaling < 0.8 * threads.min(cores) as f64).then(|| {
        format!(
            "Doubtful: in \"{label}\", {threads} threads of {reference} do only {scaling:.2} times the work of one. If it \
             can do better,\nother programs used the cores, and the figures of {threads} threads tell little."
        )
    })
}

/// With so many digits after the point, and fewer if there are many before it.
pub fn number(figure: Option<f64>, digits: usize) -> String {
    match figure {
        Some(figure) if figure < 10.0 => format!("{figure:.digits$}"),
        Some(figure) if figure < 100.0 => format!("{figure:.*}", digits.min(1)),
        Some(figure) => format!("{figure:.0}"),
        None => String::from("–"),
    }
}

/// A table of rows of the same length, the first of which is the heading; the first column is words, the others numbers.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, width)| match column {
        0 => format!("{}|", "-".repeat(width + 2)),
        _ => format!("{}:|", "-".repeat(width + 1)),
    });
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, format!("|{}", rule.collect::<String>()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

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
            "| workload       | mimalloc (ns) | heapmaster |\n\
             |----------------|--------------:|-----------:|\n\
             | pair, 64 B     |           4.0 |       0.50 |\n\
             | larson         |          10.0 |       2.00 |\n\
             | geometric mean |               |       1.00 |"
        );
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        assert!(ratios(&sample(), 2).contains("| larson         |          12.0 |          – |"));
        assert!(ratios(&sample(), 2).ends_with("| geometric mean |               |          – |"));
    }

    #[test]
    fn scaling_is_told_where_one_thread_was_measured() {
        assert_eq!(
            scaling(&sample(), 2).unwrap(),
            "| workload   | heapmaster | mimalloc |\n\
             |------------|-----------:|---------:|\n\
             | pair, 64 B |       1.60 |     1.60 |"
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
        assert!(text.contains("back in 70 to 600 ns, 80 in the median"), "{text}");
        assert!(text.contains("### 1 thread\n") && text.contains("### 2 threads on 1 core\n"), "{text}");
    }
}

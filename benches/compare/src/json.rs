//! Everything as JSON.

use serde::Serialize;

use crate::machine;
use crate::measure::Plan;
use crate::results::Results;

#[derive(Debug, Serialize)]
struct Report<'a> {
    machine: Machine,
    build: Build,
    method: Method<'a>,
    subjects: Vec<Subject>,
    cells: Vec<Cell>,
    compare_exchange_ns: f64,
    round_trips_ns: &'a [f64],
}

#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    system: &'static str,
    architecture: &'static str,
}

#[derive(Debug, Serialize)]
struct Build {
    optimized: bool,
    snmalloc: bool,
}

#[derive(Debug, Serialize)]
struct Method<'a> {
    figure: &'static str,
    against: &'a str,
    rounds: usize,
    warm_up_ms: f64,
    timed_ms: f64,
    trace: &'a str,
}

#[derive(Debug, Serialize)]
struct Subject {
    key: &'static str,
    label: &'static str,
    package: Option<&'static str>,
    version: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Cell {
    threads: usize,
    workload: String,
    label: &'static str,
    subject: &'static str,
    min_ns: f64,
    median_ns: f64,
    ratio: Option<f64>,
    rounds_ns: Vec<f64>,
}

/// The text of the file.
pub fn render(results: &Results, plan: &Plan, trace: &str) -> serde_json::Result<String> {
    let subject = |entry: &&'static crate::subjects::Entry| Subject {
        key: entry.key,
        label: entry.label,
        package: entry.package,
        version: entry.package.and_then(machine::version),
    };
    let cell = |cell: &crate::results::Cell| Cell {
        threads: cell.threads,
        workload: cell.workload.key(),
        label: cell.workload.label(),
        subject: cell.subject,
        min_ns: cell.min(),
        median_ns: cell.median(),
        ratio: results.ratio(cell.threads, cell.workload, cell.subject),
        rounds_ns: cell.rounds.clone(),
    };
    let report = Report {
        machine: Machine {
            processor: machine::processor(),
            cores: machine::cores(),
            system: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
        },
        build: Build { optimized: !cfg!(debug_assertions), snmalloc: cfg!(feature = "snmalloc") },
        method: Method {
            figure: "nanoseconds of one thread for an allocation with its release; `ratio` is of the picked rounds",
            against: results.against,
            rounds: results.rounds,
            warm_up_ms: plan.warm_up.as_secs_f64() * 1e3,
            timed_ms: plan.timed.as_secs_f64() * 1e3,
            trace,
        },
        subjects: results.subjects.iter().map(subject).collect(),
        cells: results.cells.iter().map(cell).collect(),
        compare_exchange_ns: results.exchange,
        round_trips_ns: &results.round_trips,
    };
    serde_json::to_string_pretty(&report)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn all_rounds_are_in_it() {
        let plan = Plan::new(1, Duration::from_millis(80));
        let text = render(&sample(), &plan, "a program").unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["method"]["warm_up_ms"], 10.0);
        assert_eq!(value["cells"].as_array().unwrap().len(), 7);
        assert_eq!(value["cells"][0]["rounds_ns"], serde_json::json!([3.0, 2.0, 8.0]));
        assert_eq!(value["cells"][0]["ratio"], 0.5);
        assert_eq!(value["compare_exchange_ns"], 5.0);
        assert_eq!(value["subjects"][0]["key"], "heapmaster");
        assert!(value["subjects"][1]["version"].is_string());
    }
}

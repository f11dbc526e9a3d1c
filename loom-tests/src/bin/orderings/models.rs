//! The models: which sites each reaches, how long it takes, and what it says of a site that is weakened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};

use crate::copy::{self, Copy};
use crate::weaken;

/// A model that goes on for this long with a site weakened is stopped: seconds of the processor, and so many times what
/// it takes as it is.
const LEAST_LIMIT: f32 = 20.0;
const TIMES: f32 = 10.0;
/// With all preemptions, where it was not measured.
const DEEP_LIMIT: f32 = 120.0;

/// A model that takes less is tried first.
const QUICK: f32 = 0.5;

/// A model as it is runs for this time, to see what it reaches.
const MEASURED: f32 = 3.0;

/// Was the process stopped because it took more than the time that it was given?
fn is_stopped(output: &Output) -> bool {
    // SIGKILL, SIGXCPU.
    output.status.signal().is_some_and(|signal| [9, 24].contains(&signal))
}

/// How many preemptions an execution has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// One, and only the models that are done at once.
    Quick,
    /// One, and of the other models those that are likely to fail.
    Likely,
    /// Two, and only the models that are likely to fail and soon done.
    LikelyTwo,
    One,
    Two,
    /// All that the model has.
    All,
}

impl Depth {
    pub(crate) const EACH: [Self; 6] = [Self::Quick, Self::Likely, Self::LikelyTwo, Self::One, Self::Two, Self::All];

    /// The same, whichever models it has.
    pub(crate) fn whole(self) -> Self {
        match self {
            Self::Quick | Self::Likely => Self::One,
            Self::LikelyTwo => Self::Two,
            whole => whole,
        }
    }

    /// The depth that is said so.
    pub(crate) fn of(said: &str) -> Option<Self> {
        Self::EACH.into_iter().find(|depth| depth.to_string() == said)
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["1, quick models", "1, likely models", "2, likely models", "1", "2", "all"][*self as usize])
    }
}

/// A model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// `FILE::TEST`.
    pub name: String,
    program: PathBuf,
    /// What it takes with one preemption and with two, in seconds.
    pub seconds: [f32; 2],
    /// Where its executions end; None if it was not measured.
    pub deepest: Option<Depth>,
    /// The sites that it reaches, by what they are called in the table.
    pub reaches: BTreeSet<String>,
}

/// What a model says of a weakened site.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Failed,
    Passed,
    /// It did not come to an end.
    Undecided,
}

/// All models of a copy.
pub(crate) fn all(copy: &Copy) -> io::Result<Vec<Model>> {
    let files = copy::read(&["loom-tests/tests"])?;
    let files = BTreeSet::from_iter(files.keys().filter_map(|path| path.file_stem()?.to_str()));
    let mut models = Vec::new();
    for (file, program) in copy.compile(&files)? {
        let listed = Command::new(&program).args(["--list", "--format", "terse"]).output()?.stdout;
        for test in String::from_utf8_lossy(&listed).lines().filter_map(|line| line.strip_suffix(": test")) {
            models.push(Model { name: format!("{file}::{test}"), program: program.clone(), ..Model::default() });
        }
    }
    Ok(models)
}

impl Model {
    /// Runs the model as it is, with one preemption, and for a while with two.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub(crate) fn measure(&mut self, sites: &[String]) -> io::Result<()> {
        let output = self.run(Depth::Two, true, "reach", MEASURED)?;
        let is_stopped = is_stopped(&output);
        if !output.status.success() && !is_stopped {
            return Err(io::Error::other(format!("{} fails as it is", self.name)));
        }
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            if let Some(site) = line.strip_prefix(weaken::REACHED).and_then(|number| number.parse::<usize>().ok()) {
                self.reaches.insert(sites[site].clone());
            } else if line.starts_with("model ") {
                // "… (preemption bound 1 of 3), 0.10 s"
                let seconds: Option<f32> =
                    line.rsplit_once(", ").and_then(|(_, time)| time.strip_suffix(" s")?.parse().ok());
                let depth = if line.contains("bound 1") { Depth::One } else { Depth::Two };
                self.seconds[usize::from(depth == Depth::Two)] +=
                    seconds.ok_or_else(|| io::Error::other(line.to_owned()))?;
                let deepest = match line.split_once(" of ") {
                    Some((_, bound)) if bound.starts_with("2)") => Depth::Two,
                    Some(_) => Depth::All,
                    None => depth,
                };
                self.deepest = self.deepest.max(Some(deepest));
            }
        }
        if is_stopped {
            self.deepest = self.deepest.or(Some(Depth::All));
            let place = usize::from(self.seconds[0] > 0.0);
            self.seconds[place] = MEASURED;
        }
        Ok(())
    }

    /// Is it to run at this depth? One that has passed is not to do so again.
    pub(crate) fn has(&self, depth: Depth, is_likely: bool) -> bool {
        let is_quick = self.seconds[0] < QUICK;
        let is_soon_done = is_likely && self.seconds[1] < 4.0 * QUICK;
        match depth {
            Depth::Quick => is_quick,
            Depth::Likely => !is_quick && is_likely,
            Depth::One => !is_quick && !is_likely,
            Depth::LikelyTwo => is_soon_done && self.deepest >= Some(Depth::Two),
            Depth::Two => !is_soon_done && self.deepest >= Some(Depth::Two),
            Depth::All => self.deepest >= Some(Depth::All),
        }
    }

    /// Runs the model with a site weakened.
    pub(crate) fn judge(&self, site: usize, weaker: &str, depth: Depth) -> io::Result<Verdict> {
        let limit = match depth {
            Depth::All => DEEP_LIMIT,
            Depth::LikelyTwo | Depth::Two => LEAST_LIMIT + TIMES * self.seconds[1],
            Depth::Quick | Depth::Likely | Depth::One => LEAST_LIMIT + TIMES * self.seconds[0],
        };
        let output = self.run(depth, false, &format!("{site} {weaker}"), limit)?;
        if output.status.success() {
            return Ok(Verdict::Passed);
        }
        // loom's own limit: a thread that waits may wait for ever in an execution.
        let is_long = String::from_utf8_lossy(&output.stderr).contains("exceeded maximum number of branches");
        Ok(if is_stopped(&output) || is_long { Verdict::Undecided } else { Verdict::Failed })
    }

    fn run(&self, depth: Depth, each: bool, ordering: &str, limit: f32) -> io::Result<Output> {
        let (_, test) = self.name.split_once("::").expect("FILE::TEST");
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c 0; ulimit -t \"$0\" && exec \"$@\""]).arg((limit as u32).to_string());
        command.arg(&self.program).args([test, "--exact", "--nocapture"]);
        command.env("RUST_BACKTRACE", "0").env(weaken::VARIABLE, ordering);
        if depth < Depth::All {
            command.env(
                "LOOM_TESTS_MOST_PREEMPTIONS",
                if [Depth::LikelyTwo, Depth::Two].contains(&depth) { "2" } else { "1" },
            );
        }
        if each {
            command.env("LOOM_TESTS_SHALLOW_FIRST", "1");
        }
        let output = command.output()?;
        assert!(
            !output.status.success() || output.stdout.windows(8).any(|part| part == b"1 passed"),
            "{} is gone",
            self.name
        );
        Ok(output)
    }
}

/// What was measured, in a file, for the next time.
pub(crate) fn write(path: &Path, models: &[Model], sites: &[String]) -> io::Result<()> {
    let mut text = sites.join("\t");
    for (model, deepest) in models.iter().filter_map(|model| Some((model, model.deepest?))) {
        let [one, two] = model.seconds;
        let reaches = Vec::from_iter(model.reaches.iter().map(String::as_str)).join("\t");
        text += &format!("\n{}\t{one}\t{two}\t{deepest}\t{reaches}", model.name);
    }
    fs::write(path, text)
}

/// Reads it, if all of the sites were there.
pub(crate) fn read(path: &Path, models: &mut [Model], sites: &[String]) -> io::Result<()> {
    let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
    let mut lines = text.lines();
    let known = BTreeSet::from_iter(lines.next().unwrap_or_default().split('\t'));
    if !sites.iter().all(|site| known.contains(&**site)) {
        return Ok(());
    }
    let measured: BTreeMap<&str, Vec<&str>> =
        lines.filter_map(|line| line.split_once('\t')).map(|(name, rest)| (name, rest.split('\t').collect())).collect();
    for model in models {
        if let Some([one, two, deepest, reaches @ ..]) = measured.get(&*model.name).map(|fields| &fields[..]) {
            model.seconds = [one, two].map(|seconds| seconds.parse().unwrap_or(0.0));
            model.deepest = Depth::of(deepest);
            model.reaches = reaches.iter().filter(|site| !site.is_empty()).map(|site| (*site).to_owned()).collect();
        }
    }
    Ok(())
}

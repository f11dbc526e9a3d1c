//! A round: one publishing process, some that subscribe, and the first process, which starts them and counts.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::ProgressBar;

use crate::Failure;
use crate::kind::Kind;

/// How long nobody may say anything before a round has failed.
const SILENCE: Duration = Duration::from_secs(60);

/// What is played. Messages are those of each thread.
#[derive(Clone, Debug)]
pub struct Round {
    pub kind: Kind,
    pub threads: u32,
    pub messages: u32,
    pub subscribers: u32,
    pub heap: usize,
    /// The last subscriber is killed when half of the messages are sent, and the heap is drawn there.
    pub kill: Option<PathBuf>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    kind: Kind,
    /// Messages a second, from the first to the last one that a subscriber had.
    pub rate: f64,
    sent: u64,
    received: Vec<Received>,
}

/// What a subscriber that lived says of its messages.
#[derive(Clone, Copy, Debug)]
struct Received {
    right: u64,
    wrong: u64,
    /// zenoh's watchdog dropped them.
    abandoned: u64,
    /// They came by TCP.
    copied: u64,
}

impl Outcome {
    fn sum(&self, figure: impl Fn(&Received) -> u64) -> u64 {
        self.received.iter().map(figure).sum()
    }

    fn lost(&self) -> u64 {
        self.sum(|of| self.sent.saturating_sub(of.right + of.wrong + of.abandoned))
    }

    /// Is nothing lost or wrong?
    pub fn is_well(&self) -> bool {
        self.lost() + self.sum(|of| of.wrong) == 0
    }

    /// Did all go through shared memory, and is the rate thus one to compare?
    pub fn is_comparable(&self) -> bool {
        self.is_well() && self.sum(|of| of.abandoned + of.copied) == 0
    }

    /// A sentence of it.
    pub fn told(&self) -> String {
        let Self { kind, sent, received, .. } = self;
        let (name, count, lost, wrong) = (kind.name(), received.len(), self.lost(), self.sum(|of| of.wrong));
        let (abandoned, copied) = (self.sum(|of| of.abandoned), self.sum(|of| of.copied));
        format!(
            "{name}: {sent} sent to each of {count}, {lost} lost, {wrong} wrong; {abandoned} dropped by zenoh's watchdog, \
             {copied} by TCP"
        )
    }
}

/// A process, which is ended with the round at the latest.
struct Process(Child);

impl Process {
    /// Starts this program again. What it says comes to `said`, with its number.
    fn start(number: usize, role: &[String], said: &Sender<(usize, String)>) -> Result<Self, Failure> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.args(role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().expect("it was asked for"));
        let said = said.clone();
        thread::spawn(move || {
            // The first process may have stopped listening; a line that is no text is nothing it waits for.
            out.lines().map_while(Result::ok).try_for_each(|line| said.send((number, line)))
        });
        Ok(Self(child))
    }

    fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let mut input = self.0.stdin.as_ref().expect("it was asked for");
        Ok(writeln!(input, "{line}")?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then neither does anything.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// What the processes say.
struct Ear(Receiver<(usize, String)>);

impl Ear {
    fn next(&self) -> Result<(usize, String), Failure> {
        self.0.recv_timeout(SILENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => "a process said nothing for a minute".into(),
            RecvTimeoutError::Disconnected => "all processes ended too early".into(),
        })
    }

    /// Waits until so many processes have said a line that begins with `word`.
    fn wait_for(&self, word: &str, count: u32) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        while found.len() < count as usize {
            found.extend(self.next()?.1.strip_prefix(word).map(|rest| rest.trim().to_owned()));
        }
        Ok(found)
    }
}

impl Round {
    pub fn play(&self, bar: &ProgressBar) -> Result<Outcome, Failure> {
        let Self { kind, threads, messages, subscribers, heap, .. } = *self;
        bar.set_message(format!("{} by {threads}", kind.name()));
        let (said, ear) = mpsc::channel();
        let ear = Ear(ear);
        let words = |words: &[&str], more: &[(&str, String)]| -> Vec<String> {
            let both = [("--threads", threads.to_string()), ("--messages", messages.to_string())];
            let more = both.iter().chain(more).flat_map(|(name, value)| [(*name).to_owned(), value.clone()]);
            words.iter().map(|word| (*word).to_owned()).chain(more).collect()
        };

        let name = kind.to_possible_value().expect("each has one").get_name().to_owned();
        let mut role = words(&["publish"], &[("--kind", name), ("--heap", heap.to_string())]);
        if let Some(path) = &self.kill {
            role.extend(["--svg".to_owned(), path.to_str().ok_or("the file's name is no text")?.to_owned()]);
        }
        let mut publisher = Process::start(0, &role, &said)?;
        let locator = ear.wait_for("locator", 1)?.remove(0);
        let role = words(&["subscribe"], &[("--locator", locator)]);
        let start = |number| Process::start(number as usize, &role, &said);
        let mut processes: Vec<Process> = (1..=subscribers).map(start).collect::<Result<_, _>>()?;
        // Only the processes talk from now on.
        drop(said);
        ear.wait_for("linked", subscribers)?;

        let begun = Instant::now();
        publisher.tell("go")?;
        let mut at = vec![0; threads as usize];
        let mut killed = false;
        let mut received = Vec::new();
        while received.len() < processes.len() {
            let (number, line) = ear.next()?;
            let mut parts = line.split(' ');
            let word = parts.next();
            let figures: Vec<u64> = parts.map_while(|part| part.parse().ok()).collect();
            match (word, &figures[..]) {
                (Some("at"), &[thread, now]) => {
                    let place: &mut u64 = at.get_mut(thread as usize).ok_or("a thread")?;
                    bar.inc(now - *place);
                    *place = now;
                    if self.kill.is_some() && !killed && at.iter().sum::<u64>() * 2 >= u64::from(messages * threads) {
                        // In the middle of whatever it is doing.
                        drop(processes.pop());
                        killed = true;
                    }
                }
                // What the one that was killed had said before does not count.
                (Some("received"), &[right, wrong, abandoned, copied]) if number <= processes.len() => {
                    received.push(Received { right, wrong, abandoned, copied });
                }
                _ => {}
            }
        }
        let took = begun.elapsed();
        let sent = u64::from(messages * threads);
        bar.inc(sent - at.iter().sum::<u64>());
        for process in processes.iter_mut().chain([&mut publisher]) {
            process.tell("end")?;
            let status = process.0.wait()?;
            if !status.success() {
                return Err(format!("a process ended with {status}").into());
            }
        }
        Ok(Outcome { kind, rate: sent as f64 / took.as_secs_f64(), sent, received })
    }
}

//! kill -9 of a process that writes to a store on the real disk. What it was told is recorded outside of
//! it, in this process; the page cache survives, so whatever the sync mode, all of that must be there.
//!
//! `AIDB_KILLS` processes are killed. A seed fixes what they do, not how far they get.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aidb_lsm::io::RealIo;
use aidb_lsm::{Options, RequestId, Store};
use rand::Rng;
use rand::rngs::StdRng;

use crate::support::history::{Base, History};
use crate::support::steps::{Change, Done, START_MS, Step, checkpoint_dir, step};
use crate::support::{ManualClock, options, random};

const KILLS: u64 = 8;
/// A store lives through this many.
const PER_STORE: u64 = 20;
const WRITERS: u64 = 3;
/// More than any of them gets done.
const STEPS: u64 = 1 << 20;

/// What one process does, wherever it is asked.
#[derive(Clone, Copy)]
struct Plan {
    seed: u64,
    number: u64,
}

impl Plan {
    fn step(self, writer: u64, done: u64) -> (RequestId, Step) {
        let seq = self.number << 20 | done;
        let request = RequestId {
            client: writer + 1,
            seq,
        };
        let seed = self.seed ^ (writer << 32 | done);
        (request, step(seed, request, writer == 0))
    }

    fn id(self, writer: u64, done: u64) -> u64 {
        self.number << 24 | writer << 20 | done
    }

    fn options(self) -> Options {
        let clock = ManualClock::new(START_MS + self.number * 2000);
        options::draw(self.seed, Arc::new(RealIo), &clock)
    }

    fn followed(self) -> Options {
        let clock = ManualClock::new(START_MS + self.number * 2000);
        options::draw_followed(self.seed, Arc::new(RealIo), &clock)
    }
}

#[test]
#[ignore = "the process that is killed"]
fn child() {
    let number = |name| std::env::var(name).unwrap().parse().unwrap();
    let dir = std::env::var("AIDB_KILLS_DIR").unwrap();
    let dir = Path::new(&dir);
    let plan = Plan {
        seed: number("AIDB_KILLS_SEED"),
        number: number("AIDB_KILLS_NUMBER"),
    };
    // One write each, so that a line is in the pipe whole or not at all.
    let say = |line: String| {
        std::io::stdout()
            .write_all(format!("\n{line}\n").as_bytes())
            .unwrap()
    };
    let store = Store::open(&dir.join("store"), plan.options()).unwrap();
    say("open".into());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for done in 0..STEPS {
                    let (_, step) = plan.step(writer, done);
                    let options = plan.options();
                    match step.perform(store, &options, dir, plan.id(writer, done)) {
                        Ok(Done { lsn, change, .. }) => {
                            let (clock_ms, epoch) = match &change {
                                Some(Change::Batch(_, clock_ms, _)) => (*clock_ms, 0),
                                Some(Change::Epoch(epoch)) => (0, *epoch),
                                _ => (0, 0),
                            };
                            let changed = u64::from(change.is_some());
                            say(format!(
                                "did {writer} {done} {lsn} {changed} {clock_ms} {epoch}"
                            ));
                        }
                        Err(error) => return say(format!("failed {writer} {done}: {error}")),
                    }
                }
            });
        }
    });
}

/// The child's answers, up to where it was killed.
struct Told {
    history: History,
    done: [u64; WRITERS as usize],
    opened: bool,
    failed: Vec<String>,
}

impl Told {
    fn line(&mut self, plan: Plan, dir: &Path, line: &str) {
        if line == "open" {
            self.opened = true;
        } else if let Some(numbers) = line.strip_prefix("did ") {
            let numbers = numbers.split(' ').map(|number| number.parse().unwrap());
            let numbers: Vec<u64> = numbers.collect();
            let &[writer, done, lsn, changed, clock_ms, epoch] = &numbers[..] else {
                panic!("{line}");
            };
            assert_eq!(
                self.done[writer as usize], done,
                "an answer is missing: {line}"
            );
            self.done[writer as usize] += 1;
            let step = plan.step(writer, done).1;
            let checkpoint = matches!(step, Step::Checkpoint);
            let checkpoint = checkpoint.then(|| checkpoint_dir(dir, plan.id(writer, done)));
            let change = (changed == 1).then(|| match step {
                Step::Write(batch) => Change::Batch(batch, clock_ms, None),
                Step::Excise(range) => Change::Batch(
                    aidb_lsm::Op::delete_range(&range)
                        .into_iter()
                        .collect::<Vec<_>>()
                        .into(),
                    0,
                    None,
                ),
                Step::Ingest(_, entries) => Change::Ingest(entries),
                Step::Epoch => Change::Epoch(epoch),
                step => panic!("{step:?} changed something"),
            });
            let done = Done {
                lsn,
                change,
                durable: true,
                checkpoint,
                refused: None,
            };
            self.history.done(done, true);
        } else if line.starts_with("failed") {
            self.failed.push(line.to_owned());
        }
    }
}

fn start(plan: Plan, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::child", "--ignored", "--nocapture"])
        .env("AIDB_KILLS_DIR", dir)
        .env("AIDB_KILLS_SEED", plan.seed.to_string())
        .env("AIDB_KILLS_NUMBER", plan.number.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills the process after some answers, or while it opens the store.
fn killed(plan: Plan, dir: &Path, base: Base, random: &mut StdRng) -> Told {
    let mut told = Told {
        history: History::new(base),
        done: [0; WRITERS as usize],
        opened: false,
        failed: Vec::new(),
    };
    let mut child = start(plan, dir);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    if random.random_range(0..4) == 0 {
        // A moment cannot be waited for: the time is the point.
        thread::sleep(Duration::from_millis(random.random_range(0..40)));
    } else {
        let most = if random.random() { 20 } else { 500 };
        let enough = random.random_range(0..most);
        while told.history.acknowledged < enough || !told.opened {
            let Some(line) = lines.next() else {
                break;
            };
            told.line(plan, dir, &line.unwrap());
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.for_each(|line| told.line(plan, dir, &line.unwrap()));
    for writer in 0..WRITERS {
        told.history
            .unanswered
            .push(plan.step(writer, told.done[writer as usize]));
    }
    told
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let kills = std::env::var("AIDB_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut random = random("kills");
    let (mut violations, mut acknowledged, mut lost, mut in_open, mut unanswered) = (0, 0, 0, 0, 0);
    let mut base = Base::default();
    let mut dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for number in 0..kills {
        if number % PER_STORE == 0 {
            base = Base::default();
            dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        }
        let plan = Plan {
            seed: random.random(),
            number,
        };
        let told = killed(plan, dir.path(), base.clone(), &mut random);
        let history = &told.history;
        acknowledged += history.acknowledged;
        in_open += u64::from(!told.opened);
        let found = Store::open(&dir.path().join("store"), plan.followed())
            .map_err(|error| format!("open: {error}"))
            .and_then(|store| history.check(&store, history.promised));
        let checkpoints = history.check_checkpoints(history.checkpoints.len(), |_| plan.options());
        println!(
            "round kill -9 after {} answers, opened={}",
            history.acknowledged, told.opened
        );
        let wrong = told
            .failed
            .into_iter()
            .chain(found.as_ref().err().cloned())
            .chain(checkpoints.err());
        for violation in wrong {
            violations += 1;
            println!("violation {violation}");
        }
        match found {
            Ok(left) => {
                lost += history.lsns().iter().filter(|lsn| **lsn > left.lsn).count();
                unanswered += u64::from(left.lsn > history.newest());
                base = left;
            }
            Err(_) => break,
        }
    }
    println!(
        "sum kills={kills} kills_acknowledged={acknowledged} kills_lost={lost} kills_while_opening={in_open} kills_with_unanswered_kept={unanswered}"
    );
    assert_eq!(violations, 0);
    assert!(acknowledged > 0, "nothing was written");
}

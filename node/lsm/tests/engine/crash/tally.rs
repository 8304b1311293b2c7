use std::fmt;

/// The sums of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub rounds: u64,
    pub violations: u64,
    pub lives: u64,
    pub rounds_that_dropped: u64,
    pub dropped_bytes: u64,
    pub undone_names: u64,
    /// Crashes while a store was being opened.
    pub crashes_in_recovery: u64,
    /// Calls to the file system that failed.
    pub faults: u64,
    pub acknowledged: u64,
    /// Acknowledged commits that a crash took, by sync mode. With `group` none may be.
    pub lost_group: u64,
    pub lost_interval: u64,
    pub lost_none: u64,
    pub ingests: u64,
    pub epochs: u64,
    pub checkpoints_checked: u64,
    pub flushed: u64,
    pub compacted: u64,
    pub recycled: u64,
}

impl Tally {
    /// A third of the crashes at least lost bytes.
    pub fn did_damage(&self) -> bool {
        self.rounds_that_dropped * 3 >= self.rounds && self.undone_names > 0
    }

    /// One round is over; the program that runs this reads the line.
    pub fn round(&mut self, did: &str, violations: &[String]) {
        self.rounds += 1;
        self.violations += violations.len() as u64;
        println!("round {did}");
        for violation in violations {
            println!("violation {}", violation.replace('\n', " "));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [
            ("lives", self.lives),
            ("rounds_that_dropped", self.rounds_that_dropped),
            ("dropped_bytes", self.dropped_bytes),
            ("undone_names", self.undone_names),
            ("crashes_in_recovery", self.crashes_in_recovery),
            ("faults", self.faults),
            ("acknowledged", self.acknowledged),
            ("lost_group", self.lost_group),
            ("lost_interval", self.lost_interval),
            ("lost_none", self.lost_none),
            ("ingests", self.ingests),
            ("epochs", self.epochs),
            ("checkpoints_checked", self.checkpoints_checked),
            ("flushed", self.flushed),
            ("compacted", self.compacted),
            ("recycled", self.recycled),
        ];
        let told = numbers.map(|(name, number)| format!("{name}={number}"));
        out.write_str(&told.join(" "))
    }
}

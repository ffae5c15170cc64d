//! What simulated PCs do by chance: pure functions of the seed, the PC and a count.
//!
//! Settings come from flags and a small YAML file with the same words, both [`Wishes`];
//! [`Behaviour`] is both together. A draw names what it is for, so that one more kind of draw changes no other.

mod amount;

pub use amount::{Amount, AmountError, Share};

use serde::Deserialize;

/// What flags or a file say of the fleet's behaviour; what neither says has the value in brackets.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Wishes {
    /// The same seed makes the same PCs slow, roaming and failing [1]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// How long a script runs, such as 2s, or a range: 100ms..30s [0s]
    #[arg(long, value_name = "TIME", value_parser = Amount::parse_time)]
    #[serde(deserialize_with = "amount::time")]
    pub run_time: Option<Amount>,
    /// What a script writes to standard output, such as 400B or 1KiB..2MiB [40B]
    #[arg(long, value_name = "SIZE", value_parser = Amount::parse_size)]
    #[serde(deserialize_with = "amount::size")]
    pub output_size: Option<Amount>,
    /// Share of runs that end with exit code 1 [0%]
    #[arg(long, value_name = "SHARE")]
    pub failures: Option<Share>,
    /// Share of PCs that lose their network now and then [0%]
    #[arg(long, value_name = "SHARE")]
    pub roaming: Option<Share>,
    /// How long a roaming PC stays away [10s..1m]
    #[arg(long, value_name = "TIME", value_parser = Amount::parse_time)]
    #[serde(deserialize_with = "amount::time")]
    pub away: Option<Amount>,
    /// How long a roaming PC is there in between [1m..5m]
    #[arg(long, value_name = "TIME", value_parser = Amount::parse_time)]
    #[serde(deserialize_with = "amount::time")]
    pub there: Option<Amount>,
    /// Share of absences that are a crash and restart of the agent [0%]
    #[arg(long, value_name = "SHARE")]
    pub crashes: Option<Share>,
    /// Share of PCs with a slow link [0%]
    #[arg(long, value_name = "SHARE")]
    pub slow_links: Option<Share>,
    /// Delay of a slow link, each way [50ms..400ms]
    #[arg(long, value_name = "TIME", value_parser = Amount::parse_time)]
    #[serde(deserialize_with = "amount::time")]
    pub link_delay: Option<Amount>,
    /// How much the delay of a slow link varies from message to message [20ms]
    #[arg(long, value_name = "TIME", value_parser = Amount::parse_time)]
    #[serde(deserialize_with = "amount::time")]
    pub link_jitter: Option<Amount>,
}

/// How a fleet behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Where all chance comes from.
    pub seed: u64,
    /// How long a script runs, in milliseconds.
    pub run_time: Amount,
    /// What a script writes to standard output, in bytes.
    pub output_size: Amount,
    /// Runs that end with exit code 1.
    pub failures: Share,
    /// PCs that lose their network now and then.
    pub roaming: Share,
    /// How long those stay away, in milliseconds.
    pub away: Amount,
    /// How long they are there in between, in milliseconds.
    pub there: Amount,
    /// Absences that are a crash and restart of the agent.
    pub crashes: Share,
    /// PCs with a slow link.
    pub slow_links: Share,
    /// Delay of such a link each way, in milliseconds.
    pub link_delay: Amount,
    /// What may come on top of it, in milliseconds.
    pub link_jitter: Amount,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::of(Wishes::default(), Wishes::default())
    }
}

/// One run of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptedRun {
    /// How long it takes, in milliseconds.
    pub takes_ms: u64,
    /// What it writes to standard output, in bytes.
    pub output_bytes: u64,
    /// Whether it ends with exit code 1.
    pub fails: bool,
}

/// One absence of a PC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// How long it is there before, in milliseconds.
    pub after_ms: u64,
    /// How long it is away, in milliseconds.
    pub away_ms: u64,
    /// Whether the agent crashes, too.
    pub crash: bool,
}

impl Behaviour {
    /// What flags say, else a file, else the usual.
    #[must_use]
    pub fn of(flags: Wishes, file: Wishes) -> Self {
        let between = Amount::between;
        let usual =
            |flag: Option<Amount>, file: Option<Amount>, usual| flag.or(file).unwrap_or(usual);
        let share = |flag: Option<Share>, file| flag.or(file).unwrap_or(Share::NONE);
        Self {
            seed: flags.seed.or(file.seed).unwrap_or(1),
            run_time: usual(flags.run_time, file.run_time, Amount::exactly(0)),
            output_size: usual(flags.output_size, file.output_size, Amount::exactly(40)),
            failures: share(flags.failures, file.failures),
            roaming: share(flags.roaming, file.roaming),
            away: usual(flags.away, file.away, between(10_000, 60_000)),
            there: usual(flags.there, file.there, between(60_000, 300_000)),
            crashes: share(flags.crashes, file.crashes),
            slow_links: share(flags.slow_links, file.slow_links),
            link_delay: usual(flags.link_delay, file.link_delay, between(50, 400)),
            link_jitter: usual(flags.link_jitter, file.link_jitter, Amount::exactly(20)),
        }
    }

    /// The `n`-th run on a PC.
    #[must_use]
    pub fn run(&self, pc: u32, n: u64) -> ScriptedRun {
        ScriptedRun {
            takes_ms: self.run_time.at(self.draw(pc, n, 1)),
            output_bytes: self.output_size.at(self.draw(pc, n, 2)),
            fails: self.failures.holds(self.draw(pc, n, 3)),
        }
    }

    /// The `n`-th absence of a PC; `None` for one that stays.
    #[must_use]
    pub fn absence(&self, pc: u32, n: u64) -> Option<Absence> {
        if !self.roaming.holds(self.draw(pc, 0, 4)) {
            return None;
        }
        let there = self.there.at(self.draw(pc, n, 5));
        // The first one comes at any time, lest all leave together.
        let after_ms = match n {
            0 => Amount::between(0, there).at(self.draw(pc, n, 6)),
            _ => there,
        };
        Some(Absence {
            after_ms,
            away_ms: self.away.at(self.draw(pc, n, 7)),
            crash: self.crashes.holds(self.draw(pc, n, 8)),
        })
    }

    /// Whether a PC's link is slow.
    #[must_use]
    pub fn is_slow(&self, pc: u32) -> bool {
        self.slow_links.holds(self.draw(pc, 0, 9))
    }

    /// How long the `n`-th message over a PC's link takes, in milliseconds.
    #[must_use]
    pub fn delay_ms(&self, pc: u32, n: u64) -> u64 {
        if !self.is_slow(pc) {
            return 0;
        }
        let jitter = Amount::between(0, self.link_jitter.at(self.draw(pc, n, 11)));
        self.link_delay.at(self.draw(pc, 0, 10)) + jitter.at(self.draw(pc, n, 12))
    }

    fn draw(&self, pc: u32, n: u64, what: u64) -> u64 {
        let mut state = mix(self.seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        state = mix(state ^ u64::from(pc));
        mix(state ^ n)
    }
}

/// The finalizer of SplitMix64: every bit of the input changes half of the output.
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lively(seed: u64) -> Behaviour {
        Behaviour {
            seed,
            run_time: Amount::between(0, 10_000),
            output_size: Amount::between(0, 4_096),
            failures: Share::percent(10),
            roaming: Share::percent(50),
            slow_links: Share::percent(20),
            ..Behaviour::default()
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_fleet_and_another_seed_another() {
        let all = |behaviour: &Behaviour| {
            let each = (0..500).map(|pc| (behaviour.run(pc, 3), behaviour.absence(pc, 1)));
            each.collect::<Vec<_>>()
        };
        assert_eq!(all(&lively(7)), all(&lively(7)));
        assert_ne!(all(&lively(7)), all(&lively(8)));
    }

    #[test]
    fn shares_and_ranges_are_met() {
        let behaviour = lively(7);
        let pcs = 0..10_000;
        let slow = pcs.clone().filter(|pc| behaviour.is_slow(*pc)).count();
        let failed = pcs.clone().filter(|pc| behaviour.run(*pc, 0).fails).count();
        assert!((1_800..2_200).contains(&slow), "{slow}");
        assert!((850..1_150).contains(&failed), "{failed}");
        assert!(
            pcs.clone()
                .all(|pc| behaviour.run(pc, 0).takes_ms <= 10_000)
        );
        assert!(pcs.clone().all(|pc| behaviour.delay_ms(pc, 5) <= 420));
    }

    #[test]
    fn one_more_kind_of_chance_changes_no_other() {
        let quiet = Behaviour {
            failures: Share::NONE,
            ..lively(7)
        };
        let takes = |behaviour: &Behaviour| behaviour.run(3, 4).takes_ms;
        assert_eq!(takes(&quiet), takes(&lively(7)));
    }

    #[test]
    fn a_file_has_the_words_of_the_flags() {
        let text = "seed: 7\nrun_time: 100ms..2s\noutput_size: 1KiB\nfailures: 2%\n";
        let file: Wishes = serde_saphyr::from_str(text).unwrap();
        let flags = Wishes {
            seed: Some(8),
            ..Wishes::default()
        };
        let behaviour = Behaviour::of(flags, file);
        assert_eq!(behaviour.seed, 8);
        assert_eq!(behaviour.run_time, Amount::between(100, 2_000));
        assert_eq!(behaviour.output_size, Amount::exactly(1024));
        assert_eq!(behaviour.failures, Share::percent(2));
        assert!(serde_saphyr::from_str::<Wishes>("run-time: 1s").is_err());
    }
}

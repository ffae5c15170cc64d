//! What is measured, in which unit, and what was promised.

use super::scene::Scene;

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Promise {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// One name.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    /// As it is typed and printed; ends in its unit.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What it must be on two cores, with broker, backend and simulator on them.
    pub promise: Promise,
    /// What has to be set up for it.
    pub scene: Scene,
}

const fn bench(name: &'static str, unit: &'static str, promise: Promise, scene: Scene) -> Bench {
    Bench {
        name,
        unit,
        promise,
        scene,
    }
}

use Promise::{AtLeast, AtMost};

/// Every name.
pub const BENCHES: &[Bench] = &[
    bench("exec_all_2000_s", "s", AtMost(0.5), Scene::Fleet2000),
    bench("exec_all_10000_s", "s", AtMost(2.0), Scene::Fleet10000),
    bench(
        "exec_all_10000_50_live_s",
        "s",
        AtMost(2.5),
        Scene::Fleet10000,
    ),
    bench("exec_group_3000_s", "s", AtMost(0.5), Scene::Fleet10000),
    bench("reconnect_10000_s", "s", AtMost(10.0), Scene::Fleet10000),
    bench(
        "broker_kib_per_agent",
        "KiB",
        AtMost(80.0),
        Scene::Fleet10000,
    ),
    bench(
        "consumers_per_agent",
        "consumers",
        AtMost(0.0),
        Scene::Fleet10000,
    ),
    bench("backend_rss_mib", "MiB", AtMost(200.0), Scene::Fleet10000),
    bench(
        "projection_sqlite_results_per_s",
        "results/s",
        AtLeast(50_000.0),
        Scene::Million,
    ),
    bench(
        "backend_ready_1m_results_ms",
        "ms",
        AtMost(3_000.0),
        Scene::Million,
    ),
    bench("api_agents_page_p99_ms", "ms", AtMost(20.0), Scene::Million),
    bench(
        "api_results_page_p99_ms",
        "ms",
        AtMost(20.0),
        Scene::Million,
    ),
    bench(
        "backend_ready_empty_ms",
        "ms",
        AtMost(1_000.0),
        Scene::Start,
    ),
    bench("bootstrap_ms", "ms", AtMost(300.0), Scene::Start),
    bench(
        "run_round_trip_overhead_ms",
        "ms",
        AtMost(50.0),
        Scene::OneAgent,
    ),
    bench("agent_binary_mib", "MiB", AtMost(12.0), Scene::OneAgent),
    bench("agent_rss_mib", "MiB", AtMost(10.0), Scene::IdleAgent),
    bench("agent_idle_cpu_percent", "%", AtMost(0.1), Scene::IdleAgent),
];

impl Promise {
    /// Whether a value keeps it.
    #[must_use]
    pub fn is_kept_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_at_its_bound() {
        assert!(AtMost(2.0).is_kept_by(2.0) && !AtMost(2.0).is_kept_by(2.1));
        assert!(AtLeast(5.0).is_kept_by(5.0) && !AtLeast(5.0).is_kept_by(4.9));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BENCHES.len());
    }
}

//! How each cost grows: with the agents, and with the commands that are live.

use std::time::{Duration, Instant};

use super::plot::{Chart, Series};
use super::scene::{self, Options};
use super::stack::{self, Stack};
use super::taken::Taken;
use super::{exec, loader};

/// Sizes of the fleet.
const SIZES: [u32; 4] = [1_000, 2_000, 5_000, 10_000];
/// Agents of the fleet in which live commands are counted.
const LIVE_SIZE: u32 = 2_000;
/// Live commands.
const LIVE: [u32; 5] = [0, 10, 20, 35, 50];
const MIB: f64 = 1024.0 * 1024.0;

/// Measures all and gives the charts.
pub async fn measure(options: &Options) -> Vec<Chart> {
    let mut execs = Vec::new();
    let (mut broker, mut backend) = (Vec::new(), Vec::new());
    let mut reconnects = Vec::new();
    for size in SIZES {
        let (agents, x) = (u64::from(size), f64::from(size));
        let mut stack = Stack::start().await;
        let mut fleet = scene::join(&stack, agents).await;
        execs.push((x, exec_s(&stack, agents, options).await));
        broker.push((x, stack::rss_bytes(stack.backend.broker_pid()) / MIB));
        backend.push((x, stack::rss_bytes(stack.backend.pid()) / MIB));
        stack.backend.kill9_broker();
        let begun = Instant::now();
        fleet.any_lost(Duration::from_secs(60)).await;
        fleet.all_live(Duration::from_secs(120)).await;
        reconnects.push((x, begun.elapsed().as_secs_f64()));
        fleet.stop().await;
        stack.backend.stop().await;
        tracing::info!(size, exec_s = ?execs.last(), reconnect_s = ?reconnects.last(), "curve");
    }
    let line = |name: &str, points| Series {
        name: name.to_owned(),
        points,
    };
    let chart = |title: &str, axis: &str, series, promise| Chart {
        title: title.to_owned(),
        axis: axis.to_owned(),
        series,
        promise,
    };
    vec![
        chart(
            "Exec to all, POST to last result, s",
            "agents",
            vec![line("0 s runs", execs)],
            Some(2.0),
        ),
        chart(
            "Memory, MiB resident",
            "agents",
            vec![line("broker", broker), line("backend", backend)],
            None,
        ),
        chart(
            "All in sync after kill -9 of the broker, s",
            "agents",
            vec![line("reconnect", reconnects)],
            Some(10.0),
        ),
        chart(
            &format!("Exec to {LIVE_SIZE} agents, s"),
            "commands that are live",
            vec![line("0 s runs", live(options).await)],
            None,
        ),
    ]
}

async fn live(options: &Options) -> Vec<(f64, f64)> {
    let agents = u64::from(LIVE_SIZE);
    let mut stack = Stack::start().await;
    let fleet = scene::join(&stack, agents).await;
    // One PC that never answers keeps every command live.
    loader::enrol_one(&stack.backend, "gone-1").await;
    let (mut points, mut there) = (Vec::new(), 0);
    for number in LIVE {
        // Measuring adds live commands, too: the first of them is at its number.
        while there < number {
            exec::seconds(&stack.backend, exec::all(), agents).await;
            there += 1;
        }
        points.push((f64::from(there), exec_s(&stack, agents, options).await));
        there += u32::try_from(options.runs).unwrap_or(0);
    }
    fleet.stop().await;
    stack.backend.stop().await;
    points
}

/// The median of some runs.
async fn exec_s(stack: &Stack, agents: u64, options: &Options) -> f64 {
    let mut taken = Taken::default();
    for _ in 0..options.runs {
        taken.add(
            "exec_s",
            exec::seconds(&stack.backend, exec::all(), agents).await,
        );
    }
    taken
        .of("exec_s")
        .map_or(f64::NAN, |summary| summary.median)
}

//! Pages of the large lists: every filter and sort that the API offers, first and deep pages,
//! also while results are being stored.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kanade_shared::id::{ExecId, PcId};
use kanade_testkit::backend::Backend;

use super::scene::Options;
use super::taken::Taken;
use super::{http, loader};

/// How often each page is asked for in a run.
const ROUNDS: usize = 20;
/// Pages that are turned before the deep one.
const DEEP: usize = 10;
/// Results a second while pages are asked for.
const RATE: u64 = 5_000;

/// Measures the lists that are wanted.
pub(super) async fn measure(
    backend: &Backend,
    names: &BTreeSet<&str>,
    options: &Options,
    execs: &[ExecId],
    pcs: &[PcId],
    taken: &mut Taken,
) {
    let lists: [(&'static str, Vec<String>); 2] = [
        ("api_agents_page_p99_ms", agents()),
        ("api_results_page_p99_ms", results(execs, pcs)),
    ];
    for (name, paths) in lists.into_iter().filter(|(name, _)| names.contains(name)) {
        let paths = with_deep(backend, paths).await;
        for _ in 0..options.runs {
            let fresh = loader::issue(backend, 8).await;
            let busy = publish(backend, fresh, pcs.to_vec()).await;
            taken.add(name, p99(backend, &paths).await);
            busy.abort();
        }
    }
}

fn agents() -> Vec<String> {
    let sorts = [
        "pc_id",
        "-pc_id",
        "since",
        "-since",
        "heartbeat_at",
        "-heartbeat_at",
    ];
    let filters = [
        "",
        "&presence=offline",
        "&presence=online",
        "&os_family=linux",
        "&search=042",
    ];
    let group = ["&group=third"].into_iter();
    let all = filters.into_iter().chain(group);
    all.flat_map(|filter| sorts.map(|sort| format!("agents?limit=100&sort={sort}{filter}")))
        .collect()
}

fn results(execs: &[ExecId], pcs: &[PcId]) -> Vec<String> {
    let exec = execs[execs.len() / 2];
    let pc = &pcs[pcs.len() / 2];
    let filters = [
        String::new(),
        format!("&exec_id={exec}"),
        format!("&pc_id={pc}"),
        "&outcome=ok".to_owned(),
        "&outcome=failed".to_owned(),
        "&job_id=nothing".to_owned(),
        format!("&exec_id={exec}&outcome=ok"),
        format!("&pc_id={pc}&outcome=failed"),
        format!("&exec_id={exec}&pc_id={pc}"),
    ];
    filters
        .iter()
        .flat_map(|filter| {
            ["-stored_at", "stored_at"].map(|sort| format!("results?limit=100&sort={sort}{filter}"))
        })
        .collect()
}

/// Adds a deep page of each list that has one.
async fn with_deep(backend: &Backend, paths: Vec<String>) -> Vec<String> {
    let (client, token) = (reqwest::Client::new(), backend.token());
    let mut all = Vec::new();
    for path in paths {
        let mut deep = None;
        let mut asked = path.clone();
        for _ in 0..DEEP {
            let (_, next) = http::page(backend, &client, &token, &asked).await;
            let Some(next) = next else { break };
            asked = format!("{path}&cursor={next}");
            deep = Some(asked.clone());
        }
        all.push(path);
        all.extend(deep);
    }
    all
}

/// The time within which 99 of 100 pages came, of the slowest list, in milliseconds.
async fn p99(backend: &Backend, paths: &[String]) -> f64 {
    let (client, token) = (reqwest::Client::new(), backend.token());
    let mut times = Vec::new();
    let mut slowest = (0.0, "");
    for _ in 0..ROUNDS {
        for path in paths {
            let (took, _) = http::page(backend, &client, &token, path).await;
            times.push(took);
            if took > slowest.0 {
                slowest = (took, path.as_str());
            }
        }
    }
    times.sort_by(f64::total_cmp);
    tracing::info!(
        pages = times.len(),
        slowest_ms = slowest.0,
        of = slowest.1,
        "pages"
    );
    times[times.len() * 99 / 100]
}

/// Publishes results of these execs at a steady rate until it is aborted or they are all used.
async fn publish(
    backend: &Backend,
    execs: Vec<ExecId>,
    pcs: Vec<PcId>,
) -> tokio::task::JoinHandle<()> {
    let client = backend.broker().await;
    tokio::spawn(async move {
        let begun = Instant::now();
        let mut sent = 0;
        for exec_id in &execs {
            for pc_id in &pcs {
                let due = Duration::from_micros(sent * 1_000_000 / RATE);
                if sent % 50 == 0 {
                    tokio::time::sleep_until((begun + due).into()).await;
                }
                sent += 1;
                let (subject, payload) = loader::result(*exec_id, pc_id);
                if client.publish(subject, payload.into()).await.is_err() {
                    return;
                }
            }
        }
    })
}

//! What is looked at when somebody asks how the backend is.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use kanade_shared::api::system::Finding;

use super::pulse::Pulse;
use super::way::Way;
use crate::broker::{BrokerState, ROOM_BYTES};
use crate::counters::{Counters, StreamCounters};
use crate::fleet::ExecRoom;
use crate::flow::Flow;
use crate::health::{Health, error, fine, warning};
use crate::store::StoreError;

/// Messages of one stream that may wait without a word.
const LAG: u64 = 10_000;

/// Adds a check of each part; `drift` is what the start could not make as it should be.
pub(super) fn add(health: &Health, flow: &Flow, way: &Way, drift: Vec<String>) {
    let store = flow.store.clone();
    health.check("store", move || {
        let store = store.clone();
        async move { vec![database(store.what(), store.last_change().await)] }.boxed()
    });
    let pulse = Pulse::new(flow.client.clone());
    let (child, folder) = (way.health(), way.folder());
    health.check("broker", move || {
        let down = match child.as_ref().map(|child| child.borrow().clone()) {
            Some(child) if child.state != BrokerState::Serving => {
                let why = child.last_failure.unwrap_or_else(|| "it ended".to_owned());
                Some(error(
                    "broker.down",
                    format!("the broker is started again: {why}"),
                ))
            }
            _ => None,
        };
        let (pulse, folder) = (pulse.clone(), folder.clone());
        async move {
            let finding = match down {
                Some(down) => down,
                None => pulse.finding().await,
            };
            let room = match folder {
                Some(folder) => broker_room(folder).await,
                None => None,
            };
            std::iter::once(finding).chain(room).collect()
        }
        .boxed()
    });
    let (counters, room) = (flow.counters.clone(), flow.room.clone());
    health.check("publisher", move || {
        let findings = publisher(&counters, &room);
        async move { findings }.boxed()
    });
    let counters = flow.counters.clone();
    health.check("projector", move || {
        let findings = counters
            .streams()
            .map(|(name, counters)| stream(name, counters));
        let findings = findings.into_iter().flatten().collect();
        async move { findings }.boxed()
    });
    let counters = flow.counters.clone();
    health.check("presence", move || {
        let findings = counters.collisions.findings(chrono::Utc::now());
        async move { findings }.boxed()
    });
    let drift = Arc::new(drift);
    health.check("resources", move || {
        let drift = drift.iter().map(|text| {
            let help = "`kanade bootstrap plan` shows what differs";
            warning("broker.drift", text.clone(), help)
        });
        let findings: Vec<Finding> = drift.collect();
        async move { findings }.boxed()
    });
}

fn database(what: &str, answer: Result<u64, StoreError>) -> Finding {
    match answer {
        Ok(_) => fine("store.serves", format!("the database answers ({what})")),
        Err(problem) => {
            let help = problem.help().map(str::to_owned);
            Finding {
                help,
                ..error(problem.code(), crate::tasks::chain(&problem))
            }
        }
    }
}

/// A broker on a full disk answers, and acknowledges nothing that it should store.
async fn broker_room(folder: PathBuf) -> Option<Finding> {
    let look = tokio::task::spawn_blocking(move || fs4::available_space(folder));
    let free = look.await.ok()?.ok()?;
    (free < ROOM_BYTES).then(|| {
        let left = free / (1024 * 1024);
        let text = format!(
            "the disk of the broker is full, {left} MiB are left: commands wait in the database \
             and results with the PCs"
        );
        Finding {
            help: Some("make room on the disk; what waits goes on by itself".to_owned()),
            ..error("broker.full", text)
        }
    })
}

/// Until its first pass nothing is published, and the broker is not known.
fn publisher(counters: &Counters, room: &ExecRoom) -> Vec<Finding> {
    let mut findings = Vec::new();
    if counters.passes.get() == 0 {
        findings.push(error(
            "publisher.starting",
            "the publisher has not looked at the broker yet",
        ));
    } else {
        findings.push(fine(
            "publisher.serves",
            "the publisher has looked at the broker",
        ));
    }
    if let Some(why) = counters.publishing.failing() {
        let text = format!("commands are not published {why}");
        findings.push(error("publisher.failing", text));
    }
    if let Some(why) = counters.copying.failing() {
        let text =
            format!("jobs, schedules, groups or audit rows are not copied to the broker {why}");
        let help = "agents get their commands all the same; the copies follow by themselves";
        findings.push(warning("publisher.copies", text, help));
    }
    if let Some((used, cap)) = room.full() {
        let text =
            format!("commands take {used} of {cap} bytes in the broker; new execs are refused");
        let help = "wait until execs have ended, withdraw some, or raise `broker.cap_scale`";
        findings.push(warning("publisher.exec_full", text, help));
    }
    let oversized = counters.oversized.get();
    if oversized > 0 {
        let text = format!("{oversized} command documents are over their largest size");
        let help = "withdraw execs that nobody waits for: each PC lists too many";
        findings.push(warning("publisher.oversized", text, help));
    }
    findings
}

/// What people should know of the projection of one stream.
fn stream(name: &str, counters: &StreamCounters) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lag = counters.lag.get();
    if lag > LAG {
        let text = format!("{lag} messages of {name} wait to be stored");
        let help = "wait; if it grows, look whether the disk is busy or full";
        findings.push(warning("projector.behind", text, help));
    }
    let (dead, gaps) = (counters.dead_letters.get(), counters.gaps.get());
    if dead > 0 {
        let text = format!("{dead} messages of {name} could not be read since the start");
        findings.push(warning(
            "projector.dead_letters",
            text,
            "`kanade get dead-letters` shows them",
        ));
    }
    if gaps > 0 {
        let text = format!("{gaps} stretches of {name} were evicted before they were read");
        findings.push(warning(
            "projector.gaps",
            text,
            "`kanade get gaps` shows them",
        ));
    }
    findings
}

//! How fast an empty backend is there, and how fast a broker has all that it needs.

use std::collections::BTreeSet;
use std::time::Instant;

use async_nats::jetstream;
use kanade_shared::bootstrap::ensure_jetstream_resources;
use kanade_testkit::nats::Nats;

use super::scene::Options;
use super::stack::Stack;
use super::taken::Taken;

pub(super) async fn measure(names: &BTreeSet<&str>, options: &Options, taken: &mut Taken) {
    if names.contains("backend_ready_empty_ms") {
        for _ in 0..options.runs {
            let begun = Instant::now();
            let mut stack = Stack::start().await;
            taken.add("backend_ready_empty_ms", ms(begun));
            stack.backend.stop().await;
        }
    }
    if names.contains("bootstrap_ms") {
        for _ in 0..options.runs {
            let broker = Nats::start().await;
            let client = broker.client().await;
            let begun = Instant::now();
            let made = ensure_jetstream_resources(&jetstream::new(client)).await;
            taken.add("bootstrap_ms", ms(begun));
            made.expect("an empty broker takes all resources");
        }
    }
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

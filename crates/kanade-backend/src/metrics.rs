//! What `/metrics` shows, as OpenMetrics text.
//!
//! Two kinds: requests, which the API counts here as it answers them, and numbers that others
//! keep for themselves (a projector's lag, a task's restarts), which are asked for at each
//! scrape through the closures given to [`Metrics::watch`].
//!
//! **Invariant:** labels have few values: a route's pattern, never a path; no id, no name.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets of request times, in seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0];

/// The numbers of one backend; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    requests: Family<Request, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// How a watched number behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One value of a watched number, with the value of its label when it has one.
pub type Sample = (Option<String>, u64);

impl Metrics {
    /// With the numbers of the API and none of others.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("kanade");
        let requests = Family::default();
        let seconds: Family<_, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register(
            "http_seconds",
            "Time to answer, in seconds",
            seconds.clone(),
        );
        Self(Arc::new(Inner {
            registry: Mutex::new(registry),
            requests,
            seconds,
        }))
    }

    /// Counts an answer. `route` is the pattern that matched, not the path.
    pub fn answered(&self, method: &str, route: &str, status: u16, seconds: f64) {
        let request = Request {
            method: method.to_owned(),
            route: route.to_owned(),
            status,
        };
        self.0.requests.get_or_create(&request).inc();
        self.0
            .seconds
            .get_or_create(&Route {
                route: route.to_owned(),
            })
            .observe(seconds);
    }

    /// Shows a number that is kept elsewhere; `read` is called at each scrape and must not wait.
    pub fn watch(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        label: &'static str,
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        let watched = Watched {
            name,
            help,
            kind,
            label,
            read: Box::new(read),
        };
        let mut registry = self
            .0
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(watched));
    }

    /// All numbers as OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let registry = self
            .0
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing into a string fails only for a label that cannot be written.
        if let Err(error) = encode(&mut text, &registry) {
            tracing::error!(%error, "could not write the metrics");
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

struct Watched {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    label: &'static str,
    read: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Collector for Watched {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (text, value) in (self.read)() {
            match text {
                None => self.sample(value, &mut metric)?,
                Some(text) => {
                    self.sample(value, &mut metric.encode_family(&[(self.label, text)])?)?;
                }
            }
        }
        Ok(())
    }
}

impl Watched {
    fn sample(&self, value: u64, encoder: &mut MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self.kind {
            Kind::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
            Kind::Gauge => encoder.encode_gauge(&value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_watched_numbers_are_shown_with_their_labels() {
        let metrics = Metrics::new();
        metrics.answered("GET", "/api/v1/agents", 200, 0.003);
        metrics.watch("agents", "PCs in the fleet", Kind::Gauge, "", || {
            vec![(None, 38)]
        });
        metrics.watch("task_restarts", "Tasks", Kind::Counter, "task", || {
            vec![(Some("projector".to_owned()), 2)]
        });
        let text = metrics.text();
        for line in [
            "kanade_http_requests_total{method=\"GET\",route=\"/api/v1/agents\",status=\"200\"} 1",
            "kanade_http_seconds_bucket{le=\"0.005\",route=\"/api/v1/agents\"} 1",
            "kanade_agents 38",
            "kanade_task_restarts_total{task=\"projector\"} 2",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}

//! The benches' answer: a line per name, or one JSON document.

use std::fmt::Write as _;

use serde_json::json;

use super::catalogue::Bench;
use super::taken::Taken;

/// How busy the machine was, by the load of the last minute, when it tells.
#[must_use]
pub fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// `name value unit`, then spread and promise.
#[must_use]
pub fn text(benches: &[Bench], taken: &Taken) -> String {
    let mut text = String::new();
    for bench in benches {
        // Writing to a string can't fail.
        let _ = match taken.of(bench.name) {
            None => writeln!(text, "{:<34} not measured", bench.name),
            Some(summary) => writeln!(
                text,
                "{:<34} {} {}  ({} to {}, {} runs)  promised {}: {}",
                bench.name,
                shown(summary.median),
                bench.unit,
                shown(summary.least),
                shown(summary.most),
                summary.runs,
                bench.promise,
                word(bench, summary.median),
            ),
        };
    }
    text
}

/// The same for programs.
#[must_use]
pub fn json(benches: &[Bench], taken: &Taken) -> serde_json::Value {
    let rows = benches.iter().filter_map(|bench| {
        let summary = taken.of(bench.name)?;
        Some(json!({
            "name": bench.name,
            "value": summary.median,
            "unit": bench.unit,
            "least": summary.least,
            "most": summary.most,
            "runs": summary.runs,
            "promise": bench.promise.to_string(),
            "ok": bench.promise.is_kept_by(summary.median),
        }))
    });
    json!({ "benches": rows.collect::<Vec<_>>(), "load_1m": load() })
}

fn word(bench: &Bench, value: f64) -> &'static str {
    if bench.promise.is_kept_by(value) {
        "ok"
    } else {
        "short"
    }
}

/// Three digits that count.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 10.0 => format!("{value:.3}"),
        middle if middle < 1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

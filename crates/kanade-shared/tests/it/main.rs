//! What the shared language promises: shapes on the wire, rules of documents and of manifests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod bytes;
mod document;
mod golden;
mod manifest;
mod samples;
mod strategies;
mod wire;

use proptest::prelude::ProptestConfig;
use proptest::test_runner::FileFailurePersistence;

/// So many cases (or `KANADE_CASES`); what fails is kept beside the tests and played first the
/// next time.
fn cases(cases: u32) -> ProptestConfig {
    let wished = std::env::var("KANADE_CASES").ok();
    ProptestConfig {
        cases: wished.and_then(|n| n.parse().ok()).unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/it/proptest.regressions",
        ))),
        ..ProptestConfig::default()
    }
}

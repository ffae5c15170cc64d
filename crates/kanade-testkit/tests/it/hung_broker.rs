//! A broker that keeps its connections and does nothing.

use kanade_testkit::backend::Backend;
use kanade_testkit::process::signal;
use kanade_testkit::wait;
use reqwest::StatusCode;
use rustix::process::Signal;

/// Goes on at the end, however the test ends: a stopped process hears no polite word.
struct Hung(u32);

impl Drop for Hung {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

#[tokio::test]
async fn a_backend_whose_broker_hangs_is_not_ready_until_it_goes_on() {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut backend = Backend::start(folder.path()).await;
    let url = format!("{}/readyz", backend.url());

    let hung = Hung(backend.broker_pid());
    signal(hung.0, Signal::STOP);
    let told = wait::some("the backend says so", wait::LONG, async || {
        let answer = reqwest::get(&url).await.ok()?;
        match answer.status() {
            StatusCode::SERVICE_UNAVAILABLE => answer.text().await.ok(),
            _ => None,
        }
    })
    .await;
    assert!(told.contains("broker.silent"), "{told}");

    drop(hung);
    backend.wait_until_ready().await;
    backend.stop().await;
}

//! Large outputs in the object store, on a real nats-server.

use kanade_backend::fleet::Outputs;
use kanade_shared::bootstrap::ensure_jetstream_resources;
use kanade_testkit::nats::Nats;
use sha2::{Digest, Sha256};

#[tokio::test]
async fn a_broken_upload_never_replaces_a_good_one_and_pages_are_exact() {
    let nats = Nats::start().await;
    let js = nats.jetstream().await;
    ensure_jetstream_resources(&js).await.unwrap();
    let outputs = Outputs::new(js);
    let text: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    let sha256 = hex::encode(Sha256::digest(&text));
    let key = "0123/stdout";
    assert_eq!(outputs.put(key, &sha256, &text[..]).await.unwrap(), 700_000);

    let broken = outputs
        .put(key, &sha256, &text[..600_000])
        .await
        .unwrap_err();
    assert_eq!(broken.code(), "output.wrong_hash");
    let huge = tokio::io::repeat(0);
    let huge = outputs.put(key, &sha256, huge).await.unwrap_err();
    assert_eq!(huge.code(), "request.too_large");

    for (offset, limit) in [
        (0, 10),
        (131_071, 2),
        (250_000, 262_144),
        (699_999, 10),
        (800_000, 1),
    ] {
        let (page, size) = outputs.read(key, offset, limit).await.unwrap();
        assert_eq!(size, 700_000);
        let from = usize::try_from(offset).unwrap().min(text.len());
        let to = usize::try_from(offset + limit).unwrap().min(text.len());
        assert_eq!(page, text[from..to], "{limit} bytes from {offset}");
    }
    let gone = outputs.read("0123/stderr", 0, 10).await.unwrap_err();
    assert_eq!(gone.code(), "output.unavailable");
}

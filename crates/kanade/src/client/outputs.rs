//! The whole text of a stream of output, page by page.

use kanade_shared::api::results::{OUTPUT_PAGE_MAX_BYTES, OutputPage, OutputView, Stream};
use kanade_shared::id::RequestId;
use serde::Serialize;

use super::Client;
use crate::failure::Failure;

#[derive(Serialize)]
struct From {
    stream: &'static str,
    offset: u64,
    limit: u64,
}

/// One page of output, from `offset` bytes on.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn output_page(
    client: &Client,
    run: RequestId,
    stream: Stream,
    offset: u64,
) -> Result<OutputPage, Failure> {
    let from = From {
        stream: stream.as_str(),
        offset,
        limit: OUTPUT_PAGE_MAX_BYTES,
    };
    client.get(&format!("results/{run}/output"), &from).await
}

/// All of a stream that can be read; asks for nothing when the view has it all.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn whole_output(
    client: &Client,
    run: RequestId,
    stream: Stream,
    view: &OutputView,
) -> Result<String, Failure> {
    if view.head.len() as u64 >= view.stored_bytes {
        return Ok(view.head.clone());
    }
    let mut text = String::new();
    let mut next = Some(0);
    while let Some(offset) = next {
        let page = output_page(client, run, stream, offset).await?;
        text.push_str(&page.text);
        // One that does not move on would be read without end.
        next = page.next_offset.filter(|&next| next > offset);
    }
    Ok(text)
}

//! Results, and output in pages.

use kanade_shared::api::Page;
use kanade_shared::api::results::{
    OUTPUT_PAGE_MAX_BYTES, OutputPage, OutputQuery, ResultQuery, ResultView,
};
use kanade_shared::id::RequestId;

use super::{Fleet, FleetError, FleetResult, page};
use crate::store::results::OutputPlace;

impl Fleet {
    /// Results, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] for a page, cursor or sort that there is not.
    pub async fn results_list(&self, query: &ResultQuery) -> FleetResult<Page<ResultView>> {
        let asked = query.sort.as_deref().unwrap_or("-stored_at");
        let (_, order) = page::sort(Some(asked), asked, &["stored_at"])?;
        let slice = page::slice(query.limit, query.cursor.as_deref(), asked, order)?;
        let (rows, count) = self.store.results_list(query, &slice).await?;
        let numbered = page::page(rows, count, slice.limit, asked, |(number, _)| *number);
        let items = numbered
            .items
            .into_iter()
            .map(|(_, result)| result)
            .collect();
        Ok(Page {
            items,
            next: numbered.next,
            count,
        })
    }

    /// One result.
    ///
    /// # Errors
    /// [`FleetError::UnknownResult`] when there is none.
    pub async fn result_fetch(&self, request_id: RequestId) -> FleetResult<ResultView> {
        let result = self.store.result_find(request_id).await?;
        result.ok_or(FleetError::UnknownResult { request_id })
    }

    /// A piece of a run's output: whole characters from `offset` on.
    ///
    /// # Errors
    /// [`FleetError`] when there is no result, or the object store does not answer.
    pub async fn result_output(
        &self,
        request_id: RequestId,
        query: &OutputQuery,
    ) -> FleetResult<OutputPage> {
        // One character is up to four bytes.
        let limit = query.limit.unwrap_or(OUTPUT_PAGE_MAX_BYTES);
        if !(4..=OUTPUT_PAGE_MAX_BYTES).contains(&limit) {
            let what = format!("must be 4 to {OUTPUT_PAGE_MAX_BYTES} bytes");
            return Err(FleetError::invalid("limit", what));
        }
        let (stream, offset) = (query.stream.unwrap_or_default(), query.offset);
        let place = self
            .store
            .result_output(request_id, stream, offset, limit)
            .await?;
        let (bytes, stored_bytes) = match place {
            None => return Err(FleetError::UnknownResult { request_id }),
            Some(OutputPlace::Here {
                bytes,
                stored_bytes,
            }) => (bytes, stored_bytes),
            Some(OutputPlace::Object { key }) => {
                self.outputs(&key)?.read(&key, offset, limit).await?
            }
        };
        Ok(output_page(&bytes, offset, stored_bytes))
    }
}

/// The whole characters of a piece. One that is cut at the end goes to the next page; bytes at
/// the beginning that are the rest of a character are left out.
fn output_page(bytes: &[u8], offset: u64, stored_bytes: u64) -> OutputPage {
    let continues = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    let skipped = if offset == 0 {
        0
    } else {
        bytes.iter().take(3).take_while(continues).count()
    };
    let bytes = bytes.get(skipped..).unwrap_or_default();
    let offset = offset + skipped as u64;
    let last = offset + bytes.len() as u64 >= stored_bytes;
    let end = if last {
        bytes.len()
    } else {
        whole_characters(bytes)
    };
    let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let next = offset + end as u64;
    let next_offset = (end > 0 && next < stored_bytes).then_some(next);
    OutputPage {
        text,
        offset,
        next_offset,
        stored_bytes,
    }
}

/// Length of `bytes` without a character that is cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_that_begins_inside_a_character_begins_at_the_next() {
        let text = "aé日";
        let page = output_page(&text.as_bytes()[2..], 2, 6);
        assert_eq!(
            (page.text.as_str(), page.offset, page.next_offset),
            ("日", 3, None)
        );
    }

    proptest! {
        #[test]
        fn pages_of_any_size_put_together_are_the_text(text in "\\PC{0,200}", limit in 4_usize..40) {
            let (mut read, mut offset) = (String::new(), 0_usize);
            loop {
                let end = (offset + limit).min(text.len());
                let bytes = &text.as_bytes()[offset..end];
                let page = output_page(bytes, offset as u64, text.len() as u64);
                prop_assert_eq!(page.offset, offset as u64);
                read.push_str(&page.text);
                match page.next_offset {
                    Some(next) => offset = usize::try_from(next).unwrap(),
                    None => break,
                }
            }
            prop_assert_eq!(read, text);
        }
    }
}

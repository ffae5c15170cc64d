//! Pages of the agent's own log file, from its end backwards.
//!
//! A page is whole lines and bounded; the file is never read whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use kanade_shared::wire::agent::{LogsPage, LogsRequest};

const PAGE_BYTES: u32 = 32 * 1024;
/// JSON may need six bytes for one, and a message has at most a mebibyte.
const PAGE_MAX_BYTES: u32 = 128 * 1024;

/// The page that was asked for. Blocks.
pub(crate) fn page(path: Option<&Path>, request: &LogsRequest) -> LogsPage {
    let nothing = LogsPage {
        found: false,
        text: String::new(),
        start: 0,
        end: 0,
    };
    let Some(path) = path else { return nothing };
    read(path, request).unwrap_or_else(|error| {
        tracing::debug!(file = %path.display(), %error, "log file not read");
        nothing
    })
}

fn read(path: &Path, request: &LogsRequest) -> io::Result<LogsPage> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let end = request.before.unwrap_or(length).min(length);
    let limit = u64::from(
        request
            .limit_bytes
            .unwrap_or(PAGE_BYTES)
            .clamp(1024, PAGE_MAX_BYTES),
    );
    let begin = end.saturating_sub(limit);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(end - begin).read_to_end(&mut bytes)?;
    // The first line is cut, unless the file begins with it or it fills the page alone.
    let cut = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) if begin > 0 && at + 1 < bytes.len() => at + 1,
        Some(_) | None => 0,
    };
    Ok(LogsPage {
        found: true,
        text: String::from_utf8_lossy(&bytes[cut..]).into_owned(),
        start: begin + cut as u64,
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_from_the_end_add_up_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let whole: String = (0..500).map(|n| format!("line {n} of the log\n")).collect();
        std::fs::write(&path, &whole).unwrap();
        let (mut text, mut before) = (String::new(), None);
        loop {
            let request = LogsRequest {
                before,
                limit_bytes: Some(1024),
            };
            let page = page(Some(&path), &request);
            assert!(page.text.starts_with("line ") && page.text.ends_with('\n'));
            text = page.text + &text;
            before = Some(page.start);
            if page.start == 0 {
                break;
            }
        }
        assert_eq!(text, whole);
    }

    #[test]
    fn a_line_without_end_does_not_stop_the_way_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        let request = LogsRequest {
            before: None,
            limit_bytes: Some(1024),
        };
        let page = page(Some(&path), &request);
        assert_eq!((page.start, page.end, page.text.len()), (3976, 5000, 1024));
    }

    #[test]
    fn an_agent_without_a_log_file_says_so() {
        assert!(!page(None, &LogsRequest::default()).found);
        assert!(!page(Some(Path::new("/nonexistent/x")), &LogsRequest::default()).found);
    }
}

//! Server-sent events, read from bytes as they come; pure.
//!
//! **Invariant:** the same events come out however the bytes were cut.

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The last id that the stream gave, which a reconnect names.
    pub id: Option<String>,
    /// Its lines of data, joined by line feeds.
    pub data: String,
}

/// Reads events out of pieces of a stream.
#[derive(Debug, Default)]
pub(crate) struct SseReader {
    rest: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
}

impl SseReader {
    /// Takes the next piece and gives the events that it completes.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Vec<SseEvent> {
        self.rest.extend_from_slice(piece);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) = self.rest[start..].iter().position(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[start..start + length]).into_owned();
            start += length + 1;
            events.extend(self.line(line.trim_end_matches('\r')));
        }
        self.rest.drain(..start);
        events
    }

    fn line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            let data = self.data.take()?;
            return Some(SseEvent {
                id: self.id.clone(),
                data,
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments (heartbeats), `event`, `retry` and what is not known yet.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, data: &str) -> SseEvent {
        SseEvent {
            id: Some(id.into()),
            data: data.into(),
        }
    }

    #[test]
    fn events_come_out_the_same_however_the_bytes_are_cut() {
        let stream = ": hello\n\nid: 7\nevent: execs\ndata: {\"a\":\ndata: \"é\"}\n\n\
                      id:8\r\ndata:x\r\n\r\nretry: 5\n\ndata: y\n\n";
        let whole = [
            event("7", "{\"a\":\n\"é\"}"),
            event("8", "x"),
            event("8", "y"),
        ];
        assert_eq!(SseReader::default().take(stream.as_bytes()), whole);
        for size in 1..stream.len() {
            let mut reader = SseReader::default();
            let pieces = stream.as_bytes().chunks(size);
            let events: Vec<SseEvent> = pieces.flat_map(|piece| reader.take(piece)).collect();
            assert_eq!(events, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_that_was_cut_off_is_not_given() {
        let mut reader = SseReader::default();
        assert_eq!(reader.take(b"id: 1\ndata: half"), []);
        assert_eq!(reader.take(b"\n"), []);
        assert_eq!(reader.take(b"\n"), [event("1", "half")]);
    }
}

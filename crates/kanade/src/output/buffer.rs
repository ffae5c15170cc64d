//! Output that a test reads.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::Screen;
use super::paint::Paint;

/// Bytes that were written; copies share them.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// What was written.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A screen without colours, its data and its words.
pub(crate) fn screen() -> (Screen, Buffer, Buffer) {
    let (data, words) = (Buffer::default(), Buffer::default());
    (
        Screen::of_buffers(data.clone(), words.clone(), Paint::Plain),
        data,
        words,
    )
}

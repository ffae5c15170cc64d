//! What a run wrote, kept within a cap: the beginning and the end.
//!
//! A [`Capture`] takes bytes as they come and never holds more than its cap: the first two thirds
//! stay as they are, the last third moves along with the output. [`Captured`] is what is left at
//! the end, with the true size.
//!
//! **Invariant:** nothing is decoded while it comes, so a character that arrives in two reads is
//! whole again at the end; bytes that are no text are replaced, never dropped.

use std::collections::VecDeque;

use crate::platform;

/// Collects one stream within a cap.
#[derive(Debug)]
pub struct Capture {
    head: Vec<u8>,
    head_cap: usize,
    tail: VecDeque<u8>,
    tail_cap: usize,
    total_bytes: u64,
}

/// One stream of a run that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The first bytes; all of them when nothing was cut.
    pub head: Vec<u8>,
    /// The last bytes, which follow `head` directly when nothing was cut.
    pub tail: Vec<u8>,
    /// How many bytes the program wrote.
    pub total_bytes: u64,
    /// How many of them are missing between `head` and `tail`.
    pub truncated_bytes: u64,
}

impl Capture {
    /// Keeps at most `cap_bytes` of one stream.
    #[must_use]
    pub fn new(cap_bytes: u64) -> Self {
        let cap = usize::try_from(cap_bytes).unwrap_or(usize::MAX);
        let tail_cap = cap / 3;
        Self {
            head: Vec::new(),
            head_cap: cap - tail_cap,
            tail: VecDeque::new(),
            tail_cap,
            total_bytes: 0,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total_bytes += bytes.len() as u64;
        let into_head = bytes.len().min(self.head_cap - self.head.len());
        let (head, rest) = bytes.split_at(into_head);
        self.head.extend_from_slice(head);
        // Only the last bytes of a piece can stay, so a piece larger than the cap is cut first.
        let rest = &rest[rest.len().saturating_sub(self.tail_cap)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.tail_cap);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    /// What was kept.
    #[must_use]
    pub fn finish(self) -> Captured {
        let kept = (self.head.len() + self.tail.len()) as u64;
        Captured {
            head: self.head,
            tail: self.tail.into(),
            total_bytes: self.total_bytes,
            truncated_bytes: self.total_bytes - kept,
        }
    }
}

impl Captured {
    /// The stream as text; one line between head and tail says how much was cut.
    ///
    /// Valid UTF-8 is taken as it is. Anything else is read in the console's code page on
    /// Windows, and elsewhere as UTF-8 with replacement characters. NUL bytes stay.
    #[must_use]
    pub fn to_text(&self) -> String {
        if self.truncated_bytes == 0 {
            return platform::decode_output(&[self.head.as_slice(), &self.tail].concat());
        }
        // A character that the cut went through is cut away whole.
        let head = &self.head[..complete_chars(&self.head)];
        let tail = &self.tail[broken_start(&self.tail)..];
        let cut = self.total_bytes - (head.len() + tail.len()) as u64;
        let head = platform::decode_output(head);
        let line_end = if head.is_empty() || head.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!(
            "{head}{line_end}[… {cut} bytes cut …]\n{}",
            platform::decode_output(tail)
        )
    }
}

/// Length of the longest start of `bytes` that does not end inside a character.
///
/// Bytes that are no UTF-8 count as complete: only a character that could still be finished by
/// the bytes to come is left out.
#[must_use]
pub(super) fn complete_chars(bytes: &[u8]) -> usize {
    // A character has at most four bytes, so an unfinished one begins in the last three.
    for back in 1..=bytes.len().min(3) {
        let start = bytes.len() - back;
        let needed = match bytes[start] {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            0b0000_0000..=0b0111_1111 | 0b1111_1000..=0b1111_1111 => return bytes.len(),
        };
        return if needed > back { start } else { bytes.len() };
    }
    bytes.len()
}

/// How many bytes at the start belong to a character that began before.
#[must_use]
pub(super) fn broken_start(bytes: &[u8]) -> usize {
    let continuation = |byte: &&u8| (0b1000_0000..=0b1011_1111).contains(*byte);
    let count = bytes.iter().take(4).take_while(continuation).count();
    // Four in a row are no rest of a character: then it is not UTF-8, and nothing is lost.
    if count > 3 { 0 } else { count }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(cap: u64, pieces: &[&[u8]]) -> Captured {
        let mut capture = Capture::new(cap);
        for piece in pieces {
            capture.push(piece);
        }
        capture.finish()
    }

    #[test]
    fn short_output_is_kept_whole() {
        let captured = check(9, &[b"abc", b"defghi"]);
        assert_eq!(captured.truncated_bytes, 0);
        assert_eq!(captured.to_text(), "abcdefghi");
    }

    #[test]
    fn long_output_keeps_its_first_two_thirds_and_its_last_third() {
        let captured = check(9, &[b"abcd", b"efghijkl", b"m"]);
        assert_eq!(
            (captured.head.as_slice(), captured.tail.as_slice()),
            (&b"abcdef"[..], &b"klm"[..])
        );
        assert_eq!((captured.total_bytes, captured.truncated_bytes), (13, 4));
        assert_eq!(captured.to_text(), "abcdef\n[… 4 bytes cut …]\nklm");
    }

    #[test]
    fn a_cap_of_zero_still_counts() {
        let captured = check(0, &[b"abc"]);
        assert_eq!((captured.total_bytes, captured.truncated_bytes), (3, 3));
    }

    #[test]
    fn a_character_in_two_reads_is_whole() {
        let euro = "€".as_bytes();
        assert_eq!(check(100, &[&euro[..1], &euro[1..]]).to_text(), "€");
    }

    #[test]
    fn a_character_at_the_cut_leaves_no_rubbish() {
        // Cap 6: four bytes of head, two of tail; both cuts go through a euro sign.
        let captured = check(6, &["€€€€".as_bytes()]);
        assert_eq!(captured.to_text(), "€\n[… 9 bytes cut …]\n");
    }

    #[test]
    fn bytes_that_are_no_text_take_nothing_else_with_them_and_nul_stays() {
        let text = check(100, &[b"a\0b\xFF", b"c"]).to_text();
        assert!(text.starts_with("a\0b") && text.ends_with('c') && text.chars().count() == 5);
    }

    proptest! {
        #[test]
        fn head_and_tail_are_the_ends_of_what_was_written(
            cap in 0u64..40,
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..8),
        ) {
            let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let captured = check(cap, &slices);
            let all = pieces.concat();
            prop_assert_eq!(captured.total_bytes, all.len() as u64);
            prop_assert!(all.starts_with(&captured.head));
            prop_assert!(all.ends_with(&captured.tail));
            let kept = (captured.head.len() + captured.tail.len()) as u64;
            prop_assert_eq!(kept, captured.total_bytes.min(cap));
            prop_assert_eq!(captured.truncated_bytes, captured.total_bytes - kept);
        }

        #[test]
        fn text_in_any_pieces_decodes_to_itself(text in ".{0,40}", at in 0usize..40) {
            let bytes = text.as_bytes();
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(check(1000, &[left, right]).to_text(), text.clone());
            let whole = complete_chars(left);
            prop_assert!(std::str::from_utf8(&left[..whole]).is_ok());
        }
    }
}

//! What the broker's answer to a publish means.

use serde::Deserialize;

/// Why an answer is no acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// The stream refuses it for now, being full, say.
    #[error("the broker refused it: {description} ({code})")]
    Refused {
        /// JetStream's error code.
        code: u64,
        /// JetStream's words.
        description: String,
    },
    /// The broker says that it had the message before; no agent sends ids that could make it so,
    /// hence somebody else's message is meant.
    #[error("the broker took it for a duplicate")]
    Duplicate,
    /// Another stream answered, or none.
    #[error("the answer is no acknowledgement of stream {stream}")]
    NoAck {
        /// The stream that should have answered.
        stream: &'static str,
    },
}

#[derive(Deserialize)]
struct PubAck {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<PubError>,
}

#[derive(Deserialize)]
struct PubError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Whether the answer says that `stream` has the message.
///
/// # Errors
/// [`NotStored`] for anything else.
pub fn stored(stream: &'static str, answer: &[u8]) -> Result<(), NotStored> {
    let no_ack = NotStored::NoAck { stream };
    let Ok(ack) = serde_json::from_slice::<PubAck>(answer) else {
        return Err(no_ack);
    };
    if let Some(error) = ack.error {
        let code = if error.err_code == 0 {
            error.code
        } else {
            error.err_code
        };
        return Err(NotStored::Refused {
            code,
            description: error.description,
        });
    }
    if ack.duplicate {
        return Err(NotStored::Duplicate);
    }
    if ack.stream == stream && ack.seq > 0 {
        Ok(())
    } else {
        Err(no_ack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_acknowledgement_of_the_stream_counts() {
        let stored = |answer: &str| stored("RESULTS", answer.as_bytes());
        assert_eq!(stored(r#"{"stream":"RESULTS","seq":7}"#), Ok(()));
        assert_eq!(
            stored(r#"{"stream":"RESULTS","seq":7,"domain":"hub"}"#),
            Ok(())
        );
        assert_eq!(
            stored(r#"{"stream":"RESULTS","seq":7,"duplicate":true}"#),
            Err(NotStored::Duplicate)
        );
        for no_ack in [
            "",
            "{}",
            "+OK",
            r#"{"stream":"EVENTS","seq":7}"#,
            r#"{"stream":"RESULTS","seq":0}"#,
        ] {
            assert_eq!(
                stored(no_ack),
                Err(NotStored::NoAck { stream: "RESULTS" }),
                "{no_ack}"
            );
        }
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"RESULTS","seq":0}"#;
        assert!(matches!(
            stored(full),
            Err(NotStored::Refused { code: 10077, .. })
        ));
    }
}

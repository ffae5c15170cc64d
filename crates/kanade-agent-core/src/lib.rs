//! What an agent decides, without doing it.

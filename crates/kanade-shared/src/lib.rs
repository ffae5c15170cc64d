//! The language that every part of kanade speaks.

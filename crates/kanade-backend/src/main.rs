//! The backend.

fn main() {}

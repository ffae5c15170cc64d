//! Set-up, build and test: one entry for people and CI.

fn main() {}

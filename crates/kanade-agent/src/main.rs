//! The endpoint service.

fn main() {}

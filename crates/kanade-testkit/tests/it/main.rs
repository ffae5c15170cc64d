//! End-to-end tests: real brokers, real processes, one module per resource.

mod bootstrap;

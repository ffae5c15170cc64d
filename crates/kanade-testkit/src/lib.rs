//! Starts a real broker, a backend and agents for tests.

//! Facts that the agent itself finds about its PC.

pub(crate) mod hardware;

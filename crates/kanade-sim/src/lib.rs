//! A fleet of thousands of agents in one process.
//!
//! A simulated agent is the agent's own mind (`kanade_agent_core::Core`) and the agent's own link
//! to the broker, with another shell around them: its journal and its outbox are in memory, and a
//! run is a [`behaviour`] instead of a process. [`fleet`] spreads the agents over a few threads,
//! each of which ([`shard`]) is one loop with one list of timers; [`agent`] is one agent.
//!
//! **Invariant:** each agent has its own connection, and says and asks for all that a real one
//! does. What is done once for all is listed in [`documents`] and told at the start.
//! **Invariant:** what an agent does by chance is a function of the seed, its PC and a count.

pub mod agent;
pub mod behaviour;
pub mod bench;
pub mod cli;
pub mod documents;
pub mod figures;
pub mod fleet;
pub mod limits;
pub mod outbox;
pub mod shard;
pub mod timers;

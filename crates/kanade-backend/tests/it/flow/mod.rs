//! The loops between broker and database, on a real nats-server and a real database.

mod live;
mod presence;
mod projector;
mod publisher;
mod recovery;
mod sweep;
mod world;

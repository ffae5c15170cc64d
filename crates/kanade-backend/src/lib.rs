//! API, publisher, projector and embedded broker.

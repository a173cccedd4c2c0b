//! Clients and servers that other people wrote: gRPC by tonic, WebSocket by tungstenite, over every passage on which
//! they can meet.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test may fail the test")]

#[path = "../support/mod.rs"]
mod support;

mod grpc;
mod websocket;

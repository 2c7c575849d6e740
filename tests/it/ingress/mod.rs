//! The ingress through real sockets, in front of the real embedded broker.
//!
//! [`contract`] asks what a request of each kind is answered, [`faults`] what happens when the
//! broker fails, [`wire`] what clients can do to the protocol, [`serving`] what they can do to
//! the service as a whole, [`logs`] what is written down. [`harness`] starts the service;
//! [`raw`] speaks HTTP by hand.

mod contract;
mod faults;
mod harness;
mod logs;
mod raw;
mod serving;
mod sources;
mod wire;

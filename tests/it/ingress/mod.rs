//! The ingress through real sockets, in front of the real embedded broker.
//!
//! [`contract`] asks what a request of each kind is answered, [`faults`] what happens when the
//! broker fails, [`wire`] what clients can do to the protocol, [`serving`] what they can do to
//! the service as a whole, [`heads`] what the head of a request may be, [`quotas`] how much one source
//! may send, [`memory`] how much clients can make it take, [`logs`] what is written down. [`harness`]
//! starts the service; [`raw`] speaks HTTP by hand.

mod contract;
mod faults;
mod harness;
mod heads;
mod logs;
mod memory;
mod quotas;
mod raw;
mod serving;
mod sources;
mod wire;

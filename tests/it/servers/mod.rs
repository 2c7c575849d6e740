//! Real servers that tests start for themselves, on ports and directories of their own.
//!
//! Each runs under a small watchdog whose standard input the test process holds: however that
//! process ends, the input ends with it, and the server and its directory go.

mod cluster;
pub(crate) mod rabbitmq;
mod redis;

pub(crate) use cluster::shared_cluster;
pub(crate) use redis::{RedisServer, shared_redis};

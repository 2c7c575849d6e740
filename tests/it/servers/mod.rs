//! Real servers that tests start for themselves, on ports and directories of their own.
//!
//! Each runs under a small watchdog whose standard input the test process holds: however that
//! process ends, the input ends with it, and the server and its directory go.

mod managed;
pub(crate) mod rabbitmq;
mod rabbitmq_cluster;
mod redis;
mod redis_cluster;
pub(crate) mod redis_user;

pub(crate) use managed::Managed;
pub(crate) use rabbitmq_cluster::RabbitMqCluster;
pub(crate) use redis::{RedisServer, shared_redis};
pub(crate) use redis_cluster::{RedisCluster, shared_cluster};

//! The roles apart, as real processes on a RabbitMQ and a Redis that may fail.

mod changes_out;
mod clusters;
pub(crate) mod deployment;
mod drains;
mod faults;
mod full_redis;
mod leaders;
mod least_rights;
mod managed;
mod memory;
mod outages;
mod pausing;
mod reasons;
mod roles;
mod rotation;
mod surviving;
mod tls;
mod topology;

use deployment::Deployment;

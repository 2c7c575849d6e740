//! Servers of several nodes, of which one is killed while webhooks come in.

mod rabbitmq;
mod redis;

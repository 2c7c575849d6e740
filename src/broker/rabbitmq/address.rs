//! An address of RabbitMQ, as `rabbitmq.url` has it.
//!
//! # Invariants
//! - Neither `Display` nor `Debug` nor an error shows the password.

use std::sync::Arc;
use std::{fmt, io};

use lapin::uri::{AMQPScheme, AMQPUri};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker::BrokerError;

/// Seconds between heartbeats; a connection is given up after two without one.
const HEARTBEAT: u16 = 15;

/// Where RabbitMQ is, with the login.
#[derive(Clone)]
pub(super) struct Address(AMQPUri);

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, BrokerError> {
        let mut uri: AMQPUri = url.parse().map_err(|_| BrokerError::Rejected {
            // Neither the text nor the parser's error: both may have the password.
            source: "an address of rabbitmq.url is not of the form \
                     amqp://user:password@host:port/vhost or amqps://..."
                .into(),
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self(uri))
    }

    /// The virtual host, as the management API names it.
    pub(super) fn vhost(&self) -> &str {
        &self.0.vhost
    }

    /// Waits for the first byte of an answer. Asked of a peer that was silent, before lapin is: of
    /// lapin each attempt without an answer leaves a thread behind.
    pub(super) async fn answers(&self) -> io::Result<()> {
        let host = &*self.0.authority.host;
        let hello = match self.0.scheme {
            AMQPScheme::AMQPS => tls_hello(host)?,
            AMQPScheme::AMQP => b"AMQP\0\0\x09\x01".to_vec(),
        };
        let mut stream = TcpStream::connect((host, self.0.authority.port)).await?;
        stream.write_all(&hello).await?;
        stream.read_u8().await.map(drop)
    }

    /// What lapin connects to.
    pub(super) fn uri(&self) -> &AMQPUri {
        &self.0
    }

    pub(super) fn login(&self) -> (&str, &str) {
        let login = &self.0.authority.userinfo;
        (&login.username, &login.password)
    }
}

/// What a client begins TLS with. Nothing is trusted that is answered: it is only waited for.
fn tls_hello(host: &str) -> io::Result<Vec<u8>> {
    let trusted = RootCertStore::empty();
    let config = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    client.write_tls(&mut hello)?;
    Ok(hello)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.0;
        write!(f, "{scheme}://{}:{}, virtual host {vhost:?}", authority.host, authority.port)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

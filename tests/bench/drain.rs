//! A backlog that workers drain.

use std::sync::Arc;

use crate::corpus::Corpus;
use crate::load::Pace;
use crate::measure::{Clock, Figures};
use crate::place::{Place, Servers};
use crate::process::{Contender, Process, begun, settled};

/// The connections that fill the queue.
const PACE: Pace = Pace { connections: 64, rate: None };

pub(crate) struct Drain<'a> {
    pub(crate) contender: &'a Contender,
    pub(crate) place: &'a Place,
    pub(crate) servers: Option<&'a Servers>,
    pub(crate) workers: usize,
    /// Whether a leader runs too, and whether changes are announced by it.
    pub(crate) announced: Option<bool>,
}

impl Drain<'_> {
    /// Fills the queue by the ingress alone, then starts workers. The figures begin with their first
    /// outcome, and the time on the processor ends when there is no change to publish any more.
    pub(crate) async fn run(&self, corpus: &Arc<Corpus>) -> Figures {
        let announces = self.announced == Some(true);
        let start = async |role| Process::start(self.contender, role, self.place, announces).await;
        let mut leader = Vec::new();
        if self.announced.is_some() {
            leader.push(start("leader").await);
            leader[0].leads().await;
        }
        let ingress = start("ingress").await;
        ingress.post(corpus, 0..corpus.len(), PACE).await;
        drop(ingress);
        if let Some(servers) = self.servers {
            servers.rest().await;
        }
        let pool = (0..self.workers).map(|_| start("worker"));
        let pool = futures_util::future::join_all(pool).await;
        let before = begun(&pool).await;
        let clock = Clock::start(self.servers, &[&pool, &leader]);
        settled(self.place, &pool, corpus.len()).await;
        let took = clock.elapsed();
        if announces {
            self.place.is_announced().await;
        }
        clock.figures(corpus.len() - before, took, None, &[&pool, &leader])
    }
}

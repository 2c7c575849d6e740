//! A backlog that workers drain.

use std::sync::Arc;

use crate::corpus::Corpus;
use crate::load::Pace;
use crate::measure::{Clock, Figures};
use crate::place::{Place, Servers};
use crate::process::{Contender, POLL_INTERVAL, Process, settled};

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
    /// Fills the queue by the ingress alone, then starts workers. The figures are those from the
    /// first look at which some of it is taken to the one at which all is taken: what workers have
    /// in hand is as much at both. With a leader, the time on the processor ends when there is no
    /// change to publish any more.
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
        let mut pool = Vec::new();
        for _ in 0..self.workers {
            pool.push(start("worker").await);
        }
        let queue = self.place.queue().await;
        let mut waiting = queue.waiting().await;
        while waiting >= corpus.len() {
            tokio::time::sleep(POLL_INTERVAL).await;
            waiting = queue.waiting().await;
        }
        let clock = Clock::start(self.servers, &[&pool, &leader]);
        queue.is_empty().await;
        let took = clock.elapsed();
        let rest = settled(self.place, &pool, corpus.len());
        let figures = || clock.figures(waiting, took, None, &[&pool, &leader]);
        if self.announced.is_none() {
            let figures = figures();
            rest.await;
            return figures;
        }
        rest.await;
        if announces {
            self.place.is_announced().await;
        }
        figures()
    }
}

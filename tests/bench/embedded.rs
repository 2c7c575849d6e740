//! The embedded backend: the real binary from the first request to the last commit, in turns with
//! what the disk allows.

use std::sync::Arc;

use crate::corpus::{self, Corpus, Webhook};
use crate::load::Pace;
use crate::measure::{self, Clock, Figures, RATE, medians};
use crate::place::Place;
use crate::process::{Contender, Process, settled};
use crate::{Arguments, bare_writer, median};

/// The numbers of clients; disks are fast and slow by the minute, so all of them are in each round.
const CLIENTS: [usize; 2] = [64, 256];

pub(crate) async fn run(arguments: &Arguments) {
    let events = arguments.scaled(arguments.events);
    let corpus = Corpus::of((0..events + events / 10).map(|order| Webhook::usual(order).body()));
    let history = corpus::mixed(events as usize);
    let history = Corpus::of(history.iter().map(Webhook::body));
    let mut bare = CLIENTS.map(|_| Vec::new());
    let mut whole = CLIENTS.map(|_| Vec::new());
    let mut mixed = Vec::new();
    for _ in 0..arguments.rounds {
        for (number, clients) in CLIENTS.into_iter().enumerate() {
            bare[number].push(bare_writer::run(events, u32::try_from(clients).unwrap()).await);
            // Pages, statements and connections are warm when the clock starts.
            whole[number].push(end_to_end(&corpus, events as usize / 10, clients).await);
        }
        mixed.push(end_to_end(&history, 0, CLIENTS[0]).await);
    }
    let (bare, whole) = (bare.map(median), whole.map(|runs| medians(&runs)));
    let mut rows = Vec::new();
    for ((clients, bare), whole) in CLIENTS.into_iter().zip(bare).zip(whole) {
        let mut writer = [f64::NAN; _];
        writer[RATE] = bare;
        rows.push((format!("bare writer, transactions of {clients}"), writer, None));
        rows.push((format!("end to end, {clients} clients"), whole, Some(writer)));
    }
    rows.push((format!("a mixed history, {} clients", CLIENTS[0]), medians(&mixed), None));
    println!("\n{}\n", measure::table(&rows));
    println!(
        "256 clients to bare: {:.2} (aim: >= 0.6); 256 clients to 64: {:.2} (aim: >= 1)\n\
         Medians of {} rounds in turns of {events} events.",
        whole[1][RATE] / bare[1],
        whole[1][RATE] / whole[0][RATE],
        arguments.rounds,
    );
}

async fn end_to_end(corpus: &Arc<Corpus>, warm: usize, connections: usize) -> Figures {
    let place = Place::files();
    let server = [Process::start(&Contender::own(), "serve", &place, false).await];
    let unpaced = Pace { connections, rate: None };
    if warm > 0 {
        server[0].post(corpus, 0..warm, unpaced).await;
        settled(&place, &server, warm).await;
    }
    let clock = Clock::start(None, &[&server]);
    let answered = server[0].post(corpus, warm..corpus.len(), unpaced).await;
    settled(&place, &server, corpus.len()).await;
    clock.figures(corpus.len() - warm, clock.elapsed(), Some(answered), &[&server])
}

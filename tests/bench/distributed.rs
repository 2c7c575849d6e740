//! The distributed backend beside the bare pipeline, in turns on the same private servers.
//!
//! A round has every mode, and in a mode every contender has a run of its own, on empty queues and
//! keys; who begins changes from round to round.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Arguments;
use crate::corpus::{self, Corpus};
use crate::drain::Drain;
use crate::load::Pace;
use crate::measure::{self, ALL_CPU, Clock, Figures, P99, RATE, medians};
use crate::place::{Place, Servers};
use crate::process::{Contender, Process, settled};

/// The connections of everything for which their number is no matter.
const CONNECTIONS: usize = 64;
/// The fewest events of a drain.
const DRAIN_MIN: usize = 20_000;
/// The fixed rate, in requests a second, and for how many seconds.
const FIXED_RATE: (u32, usize) = (1000, 10);

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    /// From the first request to the last outcome.
    EndToEnd { connections: usize },
    /// From the first request to the last answer, without a worker.
    Ingress { connections: usize },
    /// End to end at a fixed rate.
    FixedRate,
    /// From a worker's first outcome to the last, of what waited in the queue.
    Drain { workers: usize },
    /// The same beside a leader, which has changes to publish or not.
    Changes { announced: bool },
}

impl Mode {
    fn name(self) -> String {
        match self {
            Self::EndToEnd { connections } => format!("end to end, connections: {connections}"),
            Self::Ingress { connections } => format!("ingress alone, connections: {connections}"),
            Self::FixedRate => format!("end to end, {} a second", FIXED_RATE.0),
            Self::Drain { workers } => format!("drain, workers: {workers}"),
            Self::Changes { announced: false } => "drain, leader, changes not announced".to_owned(),
            Self::Changes { announced: true } => "drain, leader, changes announced".to_owned(),
        }
    }

    fn all(connections: &[usize]) -> Vec<Self> {
        let each = |mode: fn(usize) -> Self| connections.iter().copied().map(mode);
        each(|connections| Self::EndToEnd { connections })
            .chain(each(|connections| Self::Ingress { connections }))
            .chain([Self::FixedRate, Self::Drain { workers: 1 }, Self::Drain { workers: 2 }])
            .chain([false, true].map(|announced| Self::Changes { announced }))
            .collect()
    }

    /// Whether the bare pipeline can do so: it has no change feed to publish.
    const fn is_of(self, contender: &Contender) -> bool {
        !matches!((self, contender), (Self::Changes { .. }, Contender::Bare))
    }
}

type Runs = BTreeMap<(Mode, &'static str), Vec<Figures>>;

pub(crate) async fn run(arguments: &Arguments) {
    let servers = Servers::start().await;
    let mut contenders = vec![Contender::Bare];
    if let Some(executable) = arguments.beside.clone() {
        contenders.push(Contender::Storekeeper { name: "beside", executable });
    }
    contenders.push(Contender::own());
    let events = arguments.scaled(arguments.events) as usize;
    // Drains are faster, and what is done while workers start does not count.
    let bodies = corpus::mixed((2 * events).max(DRAIN_MIN));
    let corpus = Corpus::of(bodies.iter().map(corpus::Webhook::body));
    let mut modes = Mode::all(&arguments.connections);
    modes.retain(|mode| arguments.selects(&mode.name()));
    let mut runs = Runs::new();
    for round in 0..arguments.rounds as usize {
        for mode in &modes {
            for place in 0..contenders.len() {
                let contender = &contenders[(place + round) % contenders.len()];
                if mode.is_of(contender) {
                    let figures = measure(*mode, contender, &servers, &corpus, events).await;
                    let cpu = figures[ALL_CPU];
                    eprintln!(
                        "{}, {}: {:.0} events/s, {cpu:.0} us of all processors an event",
                        mode.name(),
                        contender.name(),
                        figures[RATE],
                    );
                    runs.entry((*mode, contender.name())).or_default().push(figures);
                }
            }
        }
    }
    let medians = runs.into_iter().map(|(run, figures)| (run, medians(&figures))).collect();
    report(&medians);
    println!(
        "Medians of {} rounds in turns; {events} events a run and {} a drain, requests of {} bytes \
         in the mean. `us` is time on the processor for each event.",
        arguments.rounds,
        corpus.len(),
        corpus.bytes_mean(),
    );
}

async fn measure(
    mode: Mode,
    contender: &Contender,
    servers: &Servers,
    corpus: &Arc<Corpus>,
    events: usize,
) -> Figures {
    let run = Run { contender, servers, place: servers.place().await, corpus };
    let pace = |connections| Pace { connections, rate: None };
    let figures = match mode {
        Mode::EndToEnd { connections } => run.posted(events, pace(connections), true).await,
        Mode::Ingress { connections } => run.posted(events, pace(connections), false).await,
        Mode::FixedRate => {
            let (rate, seconds) = FIXED_RATE;
            let pace = Pace { connections: CONNECTIONS, rate: Some(rate) };
            run.posted(events.min(rate as usize * seconds), pace, true).await
        }
        Mode::Drain { workers } => run.drained(workers, None).await,
        Mode::Changes { announced } => run.drained(1, Some(announced)).await,
    };
    run.place.remove().await;
    figures
}

struct Run<'a> {
    contender: &'a Contender,
    servers: &'a Servers,
    place: Place,
    corpus: &'a Arc<Corpus>,
}

impl Run<'_> {
    /// Events that are posted, with a worker or without.
    async fn posted(&self, events: usize, pace: Pace, has_worker: bool) -> Figures {
        let mut processes = Vec::new();
        for role in ["ingress", "worker"].into_iter().take(1 + usize::from(has_worker)) {
            processes.push(Process::start(self.contender, role, &self.place, false).await);
        }
        let (ingress, workers) = processes.split_at(1);
        let settled = async |events| {
            if has_worker {
                settled(&self.place, workers, events).await;
            }
        };
        // Connections, statements and allocators are warm when the clock starts.
        let warm = events / 10;
        let warming = Pace { rate: None, ..pace };
        ingress[0].post(self.corpus, 0..warm, warming).await;
        settled(warm).await;
        let clock = Clock::start(Some(self.servers), &[&processes]);
        let answered = ingress[0].post(self.corpus, warm..warm + events, pace).await;
        settled(warm + events).await;
        let took = if has_worker { clock.elapsed() } else { answered.took };
        clock.figures(events, took, Some(answered), &[&processes])
    }

    async fn drained(&self, workers: usize, announced: Option<bool>) -> Figures {
        let Self { contender, servers, place, corpus } = self;
        let servers = Some(*servers);
        Drain { contender, place, servers, workers, announced }.run(corpus).await
    }
}

fn report(medians: &BTreeMap<(Mode, &'static str), Figures>) {
    let rows: Vec<_> = medians
        .iter()
        .map(|((mode, name), figures)| {
            let bare = medians.get(&(*mode, "bare")).copied();
            (format!("{}, {name}", mode.name()), *figures, bare)
        })
        .collect();
    println!("\n{}\n", measure::table(&rows));
    let figure = |mode, name, column: usize| {
        medians.get(&(mode, name)).map_or(f64::NAN, |figures| figures[column])
    };
    let to_bare = |mode, name, column| figure(mode, name, column) / figure(mode, "bare", column);
    let at_64 = Mode::EndToEnd { connections: CONNECTIONS };
    let [one, two] = [1, 2].map(|workers| Mode::Drain { workers });
    let [silent, told] = [false, true].map(|announced| Mode::Changes { announced });
    let mut table = measure::markdown(&["", "aim", "beside", "storekeeper"]);
    let mut add = |name: &str, aim: &str, decimals, value: &dyn Fn(&'static str) -> f64| {
        let [beside, own] = ["beside", "storekeeper"].map(value);
        if !own.is_nan() {
            let [beside, own] = [beside, own].map(|value| measure::shown(value, decimals));
            table.add_row([name, aim, &beside, &own]);
        }
    };
    add("end to end, connections: 64; rate to bare", ">= 0.9", 2, &|name| {
        to_bare(at_64, name, RATE)
    });
    add("the same; processors of all to bare", "< 1.3", 2, &|name| to_bare(at_64, name, ALL_CPU));
    add("ingress alone, connections: 64; rate to bare", ">= 0.9", 2, &|name| {
        to_bare(Mode::Ingress { connections: CONNECTIONS }, name, RATE)
    });
    add("drain, workers: 1; rate to bare", ">= 0.6", 2, &|name| to_bare(one, name, RATE));
    add("drain, workers: 2; rate to 1 worker", ">= 1", 2, &|name| {
        figure(two, name, RATE) / figure(one, name, RATE)
    });
    add("1,000 a second; p99 in ms", "< 10", 1, &|name| figure(Mode::FixedRate, name, P99));
    add("changes announced: us of all processors an event more", "< 30", 0, &|name| {
        figure(told, name, ALL_CPU) - figure(silent, name, ALL_CPU)
    });
    if !table.is_empty() {
        println!("{table}\n");
    }
}

//! What an event and an order cost as the state grows, and where much meets in one place.
//!
//! On each backend, orders are put there the way that all events go. Then a probe waits in the
//! queue, one half new orders and the other updates of orders from all of the state, and one worker
//! drains it: its figures are those of the state at that size.

use std::sync::Arc;

use crate::Arguments;
use crate::corpus::{Corpus, Webhook};
use crate::drain::Drain;
use crate::measure::{CPU, Figures, PARTS, RATE, markdown, shown};
use crate::place::{Place, Servers};
use crate::process::Contender;

/// How many orders wait in the queue at a time while the state is filled.
const CHUNK: u32 = 50_000;
/// How many events a probe has.
const PROBE: u32 = 10_000;

/// How orders meet.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    sites: u32,
    products: u32,
    /// Whether every order has a line of one product.
    is_hot: bool,
}

const PLAIN: Shape =
    Shape { name: "20 sites of 200 items", sites: 20, products: 200, is_hot: false };
/// Each with its number of orders.
const SHAPES: [(Shape, u32); 3] = [
    (Shape { name: "one item in every order", sites: 1, products: 200, is_hot: true }, 100_000),
    (Shape { name: "one site of 10,000 items", sites: 1, products: 10_000, is_hot: false }, 20_000),
    (Shape { name: "10,000 sites", sites: 10_000, products: 200, is_hot: false }, 20_000),
];

impl Shape {
    fn order(self, order: u32) -> Webhook {
        let Self { sites, products, is_hot, .. } = self;
        let number = order / sites;
        let first = if is_hot { 0 } else { number % products };
        // The second line goes through the products at another pace.
        Webhook::creation(order, order % sites, [first, (number * 7 + 3) % products])
    }
}

pub(crate) async fn run(arguments: &Arguments) {
    let servers = Servers::start().await;
    let mut sizes = vec![10_000, 100_000, arguments.orders];
    sizes.retain(|size| *size <= arguments.orders);
    sizes.dedup();
    let series = [(PLAIN, sizes)].into_iter();
    let series: Vec<_> = series.chain(SHAPES.map(|(shape, size)| (shape, vec![size]))).collect();
    let mut header = vec!["", "orders", "us an event", "to the first"];
    let cpu = PARTS.map(|part| format!("{part} us"));
    header.extend(cpu.iter().skip(1).map(String::as_str));
    header.push("bytes an order");
    let mut table = markdown(&header);
    for servers in [None, Some(&servers)] {
        let mut first = None;
        let backend = if servers.is_some() { "distributed" } else { "embedded" };
        for (shape, sizes) in &series {
            let name = format!("{backend}, {}", shape.name);
            if !arguments.selects(&name) {
                continue;
            }
            let mut state = State::new(*shape, servers).await;
            for size in sizes {
                let size = arguments.scaled(*size);
                state.grow(size).await;
                let bytes = state.bytes_an_order();
                let figures = state.probe(PROBE).await;
                let first: f64 = *first.get_or_insert(figures[RATE]);
                let cost = shown(1e6 / figures[RATE], 0);
                eprintln!("{name}, {size} orders: {cost} us an event");
                let mut cells = vec![name.clone(), size.to_string(), cost];
                cells.push(shown(first / figures[RATE], 2));
                cells.extend(figures[CPU].iter().skip(1).map(|cpu| shown(*cpu, 0)));
                cells.push(bytes.to_string());
                table.add_row(cells);
            }
            state.place.remove().await;
        }
    }
    println!("\n{table}\n");
    println!(
        "`us an event`: a drain of {PROBE} events by one worker, half of them new orders and half \
         updates of orders from all of the state; then time on the processor for each."
    );
}

/// A state that grows.
struct State<'a> {
    shape: Shape,
    servers: Option<&'a Servers>,
    contender: Contender,
    place: Place,
    orders: u32,
    /// What it took without orders.
    bytes_empty: u64,
}

impl<'a> State<'a> {
    async fn new(shape: Shape, servers: Option<&'a Servers>) -> Self {
        let place = match servers {
            Some(servers) => servers.place().await,
            None => Place::files(),
        };
        let bytes_empty = place.state_bytes();
        Self { shape, servers, contender: Contender::own(), place, orders: 0, bytes_empty }
    }

    async fn grow(&mut self, orders: u32) {
        while self.orders < orders {
            let last = orders.min(self.orders + CHUNK);
            let new = (self.orders..last).map(|order| self.shape.order(order).body());
            self.drain(&Corpus::of(new)).await;
            self.orders = last;
        }
    }

    async fn probe(&mut self, events: u32) -> Figures {
        let (known, half) = (self.orders, events / 2);
        let bodies = (0..half).flat_map(|number| {
            let old = u64::from(known) * u64::from(number) / u64::from(half);
            let old = self.shape.order(u32::try_from(old).unwrap()).update(1000 + u64::from(known));
            [self.shape.order(known + number).body(), old.body()]
        });
        let figures = self.drain(&Corpus::of(bodies)).await;
        self.orders += half;
        figures
    }

    async fn drain(&self, corpus: &Arc<Corpus>) -> Figures {
        let Self { contender, place, servers, .. } = self;
        let drain = Drain { contender, place, servers: *servers, workers: 1, announced: None };
        drain.run(corpus).await
    }

    fn bytes_an_order(&self) -> u64 {
        self.place.state_bytes().saturating_sub(self.bytes_empty) / u64::from(self.orders)
    }
}

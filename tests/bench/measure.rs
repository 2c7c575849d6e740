//! What a run took, medians of several runs, and the table that shows them.

use std::ops::Range;
use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use tokio::time::Instant;

use crate::load::Answered;
use crate::median;
use crate::place::Servers;
use crate::process::Process;

/// Ticks of the processor's clock in a second, as Linux counts the time of processes.
const TICKS: f64 = 100.0;
/// Whose time on the processor is told apart.
pub(crate) const PARTS: [&str; 5] = ["ingress", "worker", "leader", "RabbitMQ", "Redis"];
const COLUMNS: [&str; 11] = [
    "events/s",
    "p50 ms",
    "p99 ms",
    "ingress us",
    "worker us",
    "leader us",
    "RabbitMQ us",
    "Redis us",
    "all us",
    "ingress MiB",
    "worker MiB",
];
pub(crate) const RATE: usize = 0;
pub(crate) const P99: usize = 2;
/// The columns of the parts, in their order.
pub(crate) const CPU: Range<usize> = 3..8;
pub(crate) const ALL_CPU: usize = 8;
const MEMORY: usize = 9;

/// One figure for each column; none is NaN.
pub(crate) type Figures = [f64; COLUMNS.len()];

/// The time of day and the times on the processor at the beginning of a run.
pub(crate) struct Clock<'a> {
    began: Instant,
    cpu: [f64; PARTS.len()],
    servers: Option<&'a Servers>,
}

impl<'a> Clock<'a> {
    /// Begins with these processes, and servers if there are any.
    pub(crate) fn start(servers: Option<&'a Servers>, processes: &[&[Process]]) -> Self {
        Self { began: Instant::now(), cpu: cpu(servers, processes), servers }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The figures of a run of so many events, which had their outcome within that time.
    pub(crate) fn figures(
        &self,
        events: usize,
        took: Duration,
        answered: Option<Answered>,
        processes: &[&[Process]],
    ) -> Figures {
        let mut figures = [f64::NAN; COLUMNS.len()];
        figures[RATE] = events as f64 / took.as_secs_f64();
        if let Some(answered) = answered {
            figures[1] = answered.p50.as_secs_f64() * 1e3;
            figures[P99] = answered.p99.as_secs_f64() * 1e3;
        }
        let now = cpu(self.servers, processes);
        for (part, (now, before)) in now.iter().zip(self.cpu).enumerate() {
            figures[CPU.start + part] = (now - before) * 1e6 / events as f64;
        }
        figures[ALL_CPU] = figures[CPU].iter().filter(|cpu| !cpu.is_nan()).sum();
        for process in processes.iter().copied().flatten() {
            let part = part_of(process);
            if part < 2 {
                figures[MEMORY + part] = figures[MEMORY + part].max(process.memory());
            }
        }
        figures
    }
}

fn part_of(process: &Process) -> usize {
    // One process of all roles counts as its worker.
    PARTS.iter().position(|part| *part == process.role()).unwrap_or(1)
}

/// The seconds that each part has had.
fn cpu(servers: Option<&Servers>, processes: &[&[Process]]) -> [f64; PARTS.len()] {
    let mut cpu = [f64::NAN; PARTS.len()];
    let mut add = |part: usize, id| cpu[part] = cpu_seconds(id) + cpu[part].max(0.0);
    processes.iter().copied().flatten().for_each(|process| add(part_of(process), process.id()));
    servers.iter().flat_map(|servers| servers.ids).zip(3..).for_each(|(id, part)| add(part, id));
    cpu
}

/// The seconds that a process has had of the processor.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may have spaces; after it, the 12th and 13th fields are ticks.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// The median of each figure.
pub(crate) fn medians(runs: &[Figures]) -> Figures {
    std::array::from_fn(|column| median(runs.iter().map(|run| run[column]).collect()))
}

/// Rows of figures, each with ratios to those of the bare pipeline, if there are any. A column
/// without figures is left out.
pub(crate) fn table(rows: &[(String, Figures, Option<Figures>)]) -> Table {
    let is_known = |column: &usize| rows.iter().any(|(_, figures, _)| !figures[*column].is_nan());
    let columns: Vec<usize> = (0..COLUMNS.len()).filter(is_known).collect();
    let has_ratio = |column: usize| matches!(column, RATE | ALL_CPU);
    let mut header = vec![""];
    for column in &columns {
        header.push(COLUMNS[*column]);
        if has_ratio(*column) {
            header.push("to bare");
        }
    }
    let mut table = markdown(&header);
    for (name, figures, bare) in rows {
        let mut cells = vec![name.clone()];
        for &column in &columns {
            cells.push(shown(figures[column], usize::from(matches!(column, 1 | 2))));
            if has_ratio(column) {
                cells.push(shown(bare.map_or(f64::NAN, |bare| figures[column] / bare[column]), 2));
            }
        }
        table.add_row(cells);
    }
    table
}

/// A table whose first column has names.
pub(crate) fn markdown(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table.column_iter_mut().skip(1).for_each(|column| {
        column.set_cell_alignment(CellAlignment::Right);
    });
    table
}

pub(crate) fn shown(figure: f64, decimals: usize) -> String {
    if figure.is_nan() { "-".to_owned() } else { format!("{figure:.decimals$}") }
}

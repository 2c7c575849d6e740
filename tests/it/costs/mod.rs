//! What an event costs, in counts that do not depend on how fast the machine is. Goal: a change that
//! makes one of them grow by a quarter fails here.
//!
//! Method: one run does some work, another does it twice as often. The difference is due to the
//! work; start and end of the process are in neither. Each count is compared with a constant: what
//! it was when the constant was set. `tests/run --test it costs:: -- --nocapture` prints the counts.
//!
//! The build that is measured is that of the tests: an optimised build of all takes minutes more. It
//! executes about six times the instructions of a release, and makes the same allocations and calls.

mod callgrind;
mod drain;
mod kinds;
mod rules;
mod strace;

/// Compares a count for each event with the accepted one, of which `constant` is the name: a quarter
/// more is too much.
#[expect(clippy::print_stderr, reason = "the counts are shown to whoever asks for them")]
fn compare(
    what: &str,
    counted: u64,
    events: u32,
    constant: &str,
    accepted: f64,
) -> Result<(), String> {
    let counted = u32::try_from(counted).expect("no guard has so much done");
    let each = f64::from(counted) / f64::from(events);
    let bound = accepted * 5.0 / 4.0;
    eprintln!("{constant}: {each:.2} {what} an event; accepted {accepted}, at most {bound:.2}");
    if counted == 0 {
        return Err(format!("no {what} were counted: the guard does not see them"));
    }
    if each > bound {
        return Err(format!(
            "{each:.2} {what} an event, and at most {bound:.2} are accepted, a quarter more than \
             {accepted}; if this growth is worth it, set {constant} to {each:.2} and say why"
        ));
    }
    Ok(())
}

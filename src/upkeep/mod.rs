//! What keeps the numbers true over the years: [`audit`] computes each again, compares, and
//! repairs on request, [`recompute`] applies a new policy to the orders there are, and
//! [`rebuild`] sends the journal through the workers again.

pub mod audit;
pub mod rebuild;
pub mod recompute;

//! How many deliveries may come at a time: one at first, and more as long as their bodies are small.
//!
//! RabbitMQ counts deliveries, not bytes, and sends ahead as many as it may: 256 bodies of 1 MiB
//! would be 256 MiB. So the prefetch grows in steps, each when as many are unsettled as the one
//! before lets in, up to what is set or to as many of the largest recent bodies as fit
//! [`UNACKED_BYTES_MAX`]. If large bodies follow small ones, those on their way come all the same.

/// What bodies of deliveries that are not settled may take, for each subscription.
pub(super) const UNACKED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// By how much the prefetch grows at a step.
const STEP: u16 = 4;
/// After so many smaller bodies the size of a large one has faded to less than half.
const MEMORY: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    /// The prefetch that is set.
    max: u16,
    prefetch: u16,
    /// The largest recent body, fading.
    bytes: usize,
}

impl Window {
    pub(super) const fn new(max: u16) -> Self {
        Self { max, prefetch: 1, bytes: 0 }
    }

    /// Begins with one delivery at a time: the first may be a suspect.
    pub(super) const fn begin(&mut self) {
        self.prefetch = 1;
    }

    pub(super) const fn prefetch(&self) -> u16 {
        self.prefetch
    }

    /// Whether more than one delivery may come at a time.
    pub(super) const fn is_wide(&self) -> bool {
        self.prefetch > 1
    }

    /// Records a delivery by the length of its body.
    pub(super) fn record(&mut self, bytes: usize) {
        self.bytes = bytes.max(self.bytes - self.bytes.div_ceil(MEMORY));
    }

    /// Shrinks, or grows if as many are unsettled as may be: nothing is on its way then, which would
    /// be counted as delivered. Returns whether it did.
    pub(super) fn change(&mut self, unsettled: usize) -> bool {
        let fitting = UNACKED_BYTES_MAX / self.bytes.max(1);
        let fitting = u16::try_from(fitting).unwrap_or(u16::MAX).clamp(1, self.max);
        let grown = self.prefetch.saturating_mul(STEP).min(fitting);
        // A little more or less is not worth another consumer.
        let is_too_wide = fitting < self.prefetch / 2;
        let is_worth_it = grown >= self.prefetch.saturating_mul(2) || grown == self.max;
        let is_full = unsettled >= usize::from(self.prefetch);
        let may_grow = is_full && grown > self.prefetch && is_worth_it;
        let changes = is_too_wide || may_grow;
        if changes {
            self.prefetch = grown;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// The prefetch after so many bodies have come, of which so many are unsettled.
    fn after(window: &mut Window, bodies: usize, bytes: usize, unsettled: usize) -> u16 {
        for _ in 0..bodies {
            window.record(bytes);
            window.change(unsettled);
        }
        window.prefetch()
    }

    #[test]
    fn small_bodies_widen_it_step_by_step_while_it_is_full() {
        let mut window = Window::new(256);
        for (unsettled, prefetch) in
            [(0, 1), (1, 4), (3, 4), (4, 16), (15, 16), (16, 64), (64, 256)]
        {
            assert_eq!(after(&mut window, 1, 3000, unsettled), prefetch, "{unsettled} unsettled");
        }
        assert_eq!(after(&mut window, 1000, 3000, 256), 256);
        assert_eq!(after(&mut Window::new(100), 1000, 3000, 256), 100);
        assert_eq!(after(&mut Window::new(1), 1000, 3000, 256), 1);
    }

    #[test]
    fn large_bodies_narrow_it_to_what_fits_and_are_forgotten() {
        assert_eq!(after(&mut Window::new(256), 1000, MIB, 256), 64);
        let mut window = Window::new(256);
        assert_eq!(after(&mut window, 1000, 3000, 256), 256);
        assert_eq!(after(&mut window, 1, MIB, 0), 64);
        assert_eq!(after(&mut window, 1, 16 * MIB, 256), 4);
        assert_eq!(after(&mut window, 1, 16 * MIB, 256), 4);
        assert_eq!(after(&mut window, 1000, 3000, 256), 256);
    }
}

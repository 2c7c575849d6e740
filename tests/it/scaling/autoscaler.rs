//! What KEDA 2.17 and the `HorizontalPodAutoscaler` decide, without a clock and without a cluster.
//!
//! KEDA alone decides between none and some: a queue with more than its `activationValue` starts the
//! first, and when none has had that for longer than `cooldownPeriod`, it stops them all. Between
//! one and the maximum the `HorizontalPodAutoscaler` decides: `ceil(messages / value)`, unless that
//! is within a tenth of what there is; then the windows, then the policies. It remembers what it
//! has proposed and done for as long as they look back.
//!
//! Left out are what one Deployment without failures does not need: replicas that are not ready,
//! metrics that are missing, and `fallback`.

use std::time::Duration;

use super::manifest::{Manifest, Rules, Select, Unit};

/// How often the `HorizontalPodAutoscaler` looks, unless a cluster says otherwise.
pub(super) const SYNC_PERIOD: Duration = Duration::from_secs(15);
/// How far from `value` the messages of each replica may be before anything changes.
const TOLERANCE: f64 = 0.1;

/// The number of replicas, and what decides on the next. Times are since the start of it all.
#[derive(Debug)]
pub(super) struct Autoscaler {
    manifest: Manifest,
    pub(super) replicas: u32,
    active_at: Option<Duration>,
    /// What was proposed, before windows and policies.
    proposals: Vec<(Duration, u32)>,
    /// How many came or went.
    changes: Vec<(Duration, i64)>,
}

impl Autoscaler {
    pub(super) fn new(manifest: Manifest) -> Self {
        let replicas = manifest.min_replica_count;
        Self { manifest, replicas, active_at: None, proposals: Vec::new(), changes: Vec::new() }
    }

    /// What KEDA does each `pollingInterval`, by the length of each queue.
    pub(super) fn poll(&mut self, now: Duration, lengths: &[f64]) {
        let mut queues = self.manifest.queues().zip(lengths);
        let least = self.manifest.min_replica_count;
        if queues.any(|(queue, length)| *length > queue.activation_value) {
            self.active_at = Some(now);
            if self.replicas == 0 {
                self.replicas = least.max(1);
            }
        } else if self.replicas > 0 && least == 0 {
            let cooled = self.active_at.is_none_or(|at| at + self.manifest.cooldown_period < now);
            if cooled {
                self.replicas = 0;
            }
        }
    }

    /// What the `HorizontalPodAutoscaler` does each [`SYNC_PERIOD`]; nothing while there are none.
    pub(super) fn sync(&mut self, now: Duration, lengths: &[f64]) {
        if self.replicas == 0 {
            return;
        }
        let proposed = self.proposed(lengths);
        let stable = self.stabilized(now, proposed);
        let next = self.limited(now, stable);
        self.proposals.push((now, proposed));
        if next != self.replicas {
            self.changes.push((now, i64::from(next) - i64::from(self.replicas)));
            self.replicas = next;
        }
    }

    fn bounds(&self) -> (u32, u32) {
        (self.manifest.min_replica_count.max(1), self.manifest.max_replica_count)
    }

    /// What the queue that needs the most needs.
    fn proposed(&self, lengths: &[f64]) -> u32 {
        let queues = self.manifest.queues().zip(lengths);
        let needed = queues.map(|(queue, length)| {
            let ratio = length / (queue.value * f64::from(self.replicas));
            if (ratio - 1.0).abs() <= TOLERANCE {
                self.replicas
            } else {
                whole((length / queue.value).ceil())
            }
        });
        let (least, most) = self.bounds();
        needed.max().unwrap_or(least).clamp(least, most)
    }

    /// More only as all proposals of the one window were, fewer only as all of the other were.
    fn stabilized(&self, now: Duration, proposed: u32) -> u32 {
        let behavior = self.manifest.behavior();
        let within = |window: Duration| {
            let recent = self.proposals.iter().filter(move |(at, _)| *at + window > now);
            recent.map(|(_, proposal)| *proposal).chain([proposed])
        };
        let up = within(behavior.scale_up.window).min().unwrap_or(proposed);
        let down = within(behavior.scale_down.window).max().unwrap_or(proposed);
        self.replicas.max(up).min(down)
    }

    /// No more and no fewer than the policies allow.
    fn limited(&self, now: Duration, wanted: u32) -> u32 {
        let behavior = self.manifest.behavior();
        let (least, most) = self.bounds();
        if wanted > self.replicas {
            let limit = self.limit(now, &behavior.scale_up, 1.0).max(self.replicas);
            wanted.min(limit).min(most)
        } else {
            let limit = self.limit(now, &behavior.scale_down, -1.0).min(self.replicas);
            wanted.max(limit).max(least)
        }
    }

    /// How far the policies of a direction let the replicas go, from what there were when the
    /// period of each began.
    fn limit(&self, now: Duration, rules: &Rules, direction: f64) -> u32 {
        let limits = rules.policies.iter().map(|policy| {
            let recent = self.changes.iter().filter(|(at, _)| *at + policy.period > now);
            let changed: i64 = recent.map(|(_, change)| change).sum();
            let before = u32::try_from(i64::from(self.replicas) - changed).unwrap_or(0);
            let (before, value) = (f64::from(before), f64::from(policy.value));
            let limit = match policy.unit {
                Unit::Pods => before + direction * value,
                Unit::Percent => before * (1.0 + direction * value / 100.0),
            };
            // Both roundings allow the change of one that a small number needs.
            whole(if direction > 0.0 { limit.ceil() } else { limit.floor() })
        });
        let allows_most = matches!(rules.select_policy, Select::Max);
        let limit = if allows_most == (direction > 0.0) { limits.max() } else { limits.min() };
        limit.unwrap_or(self.replicas)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole, and what is below none or above all is cut off"
)]
fn whole(number: f64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the manifest's numbers as they were when these cases were written.
    fn autoscaler(replicas: u32) -> Autoscaler {
        let manifest = Manifest::read();
        let numbers = (manifest.min_replica_count, manifest.max_replica_count);
        assert_eq!(numbers, (0, 10), "these cases go by the manifest");
        Autoscaler { replicas, ..Autoscaler::new(manifest) }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What there are after each sync, one for each length of the work queue.
    fn synced(replicas: u32, lengths: &[f64]) -> Vec<u32> {
        let mut autoscaler = autoscaler(replicas);
        let mut seconds = 0;
        let after = |length: &f64| {
            seconds += 15;
            autoscaler.sync(at(seconds), &[*length, 0.0]);
            autoscaler.replicas
        };
        lengths.iter().map(after).collect()
    }

    #[test]
    fn one_message_starts_the_first_and_the_cooldown_stops_the_last() {
        let mut autoscaler = autoscaler(0);
        let mut polled = |seconds, lengths: [f64; 2]| {
            autoscaler.poll(at(seconds), &lengths);
            autoscaler.replicas
        };
        assert_eq!(polled(10, [0.0, 0.0]), 0);
        assert_eq!(polled(20, [1.0, 0.0]), 1);
        assert_eq!(polled(30, [0.0, 1.0]), 1, "dead letters keep it too");
        assert_eq!(polled(330, [0.0, 0.0]), 1, "300 s are not over");
        assert_eq!(polled(340, [0.0, 0.0]), 0);
        assert_eq!(polled(350, [0.0, 1.0]), 1);
    }

    #[test]
    fn without_a_replica_the_horizontal_one_does_nothing() {
        assert_eq!(synced(0, &[9_000.0]), [0]);
    }

    #[test]
    fn as_many_as_the_messages_need_within_a_tenth() {
        assert_eq!(synced(2, &[2_199.0]), [2]);
        assert_eq!(synced(2, &[2_201.0]), [3]);
        assert_eq!(synced(5, &[4_501.0]), [5]);
    }

    #[test]
    fn up_by_two_or_to_twice_as_many_at_once_and_never_past_the_maximum() {
        assert_eq!(synced(1, &[90_000.0; 4]), [3, 6, 10, 10]);
    }

    #[test]
    fn down_when_two_minutes_agree_and_then_by_half_each_minute() {
        let lengths = [[8_000.0; 1].as_slice(), &[0.0; 20]].concat();
        let after = synced(8, &lengths);
        // 15 s + 120 s is when the window no longer has what needed eight.
        let changes = after.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]);
        let times: Vec<_> = changes.map(|(n, pair)| (15 * (n + 2), pair[1])).collect();
        assert_eq!(times, [(135, 4), (195, 2), (255, 1)]);
    }
}

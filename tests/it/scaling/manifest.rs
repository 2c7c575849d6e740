//! The numbers of the manifest, read from its file.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// What the `ScaledObject` of the workers says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub min_replica_count: u32,
    pub max_replica_count: u32,
    #[serde(deserialize_with = "seconds")]
    pub polling_interval: Duration,
    #[serde(deserialize_with = "seconds")]
    pub cooldown_period: Duration,
    advanced: Advanced,
    triggers: Vec<Trigger>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Advanced {
    horizontal_pod_autoscaler_config: AutoscalerConfig,
}

#[derive(Clone, Debug, Deserialize)]
struct AutoscalerConfig {
    behavior: Behavior,
}

/// How fast the number of replicas may change.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Behavior {
    pub scale_up: Rules,
    pub scale_down: Rules,
}

/// The same, for one direction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rules {
    #[serde(rename = "stabilizationWindowSeconds", deserialize_with = "seconds")]
    pub window: Duration,
    pub policies: Vec<Policy>,
    #[serde(default)]
    pub select_policy: Select,
}

/// A limit of how many replicas may come or go within a period.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Policy {
    #[serde(rename = "type")]
    pub unit: Unit,
    pub value: u32,
    #[serde(rename = "periodSeconds", deserialize_with = "seconds")]
    pub period: Duration,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum Unit {
    Percent,
    Pods,
}

/// Which of several limits holds: by default the one that allows the most.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) enum Select {
    #[default]
    Max,
    Min,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Trigger {
    Rabbitmq { metadata: Queue },
    Cron {},
}

/// A queue whose length says how many replicas there are to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    #[serde(rename = "queueName")]
    pub name: String,
    /// Messages for each replica.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// More than so many messages need a replica.
    #[serde(deserialize_with = "number")]
    pub activation_value: f64,
    #[serde(deserialize_with = "truth")]
    pub exclude_unacknowledged: bool,
}

impl Manifest {
    /// The manifest of this repository.
    pub(super) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("deploy/kubernetes/base/worker-scaledobject.yaml");
        Self::parse(&std::fs::read_to_string(path).unwrap())
    }

    fn parse(text: &str) -> Self {
        #[derive(Deserialize)]
        struct ScaledObject {
            kind: String,
            spec: Manifest,
        }
        let first = text.split("\n---\n").next().unwrap();
        let object: ScaledObject = serde_saphyr::from_str(first).unwrap();
        assert_eq!(object.kind, "ScaledObject");
        object.spec
    }

    /// The queues that are looked at. The trigger that goes by the clock alone is left out.
    pub(super) fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.triggers.iter().filter_map(|trigger| match trigger {
            Trigger::Rabbitmq { metadata } => Some(metadata),
            Trigger::Cron {} => None,
        })
    }

    pub(super) fn behavior(&self) -> &Behavior {
        &self.advanced.horizontal_pod_autoscaler_config.behavior
    }

    /// The same with so many times fewer messages for each replica.
    pub(super) fn with_values_divided_by(mut self, share: u32) -> Self {
        for trigger in &mut self.triggers {
            if let Trigger::Rabbitmq { metadata } = trigger {
                metadata.value /= f64::from(share);
            }
        }
        self
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// KEDA takes what is for a scaler as texts.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[test]
fn the_numbers_of_the_manifest_are_read() {
    let manifest = Manifest::read();
    let queues: Vec<_> = manifest.queues().map(|queue| queue.name.as_str()).collect();
    assert_eq!(queues, ["storekeeper.work", "storekeeper.dead"]);
    assert!(manifest.max_replica_count > manifest.min_replica_count);
    assert!(manifest.queues().all(|queue| queue.value >= 1.0));
    assert!(!manifest.behavior().scale_up.policies.is_empty());
    assert!(!manifest.behavior().scale_down.policies.is_empty());
}

//! What a hub counts, as plain objects.
#![expect(
    clippy::cast_precision_loss,
    reason = "counters of JavaScript are doubles; 2^53 events are out of reach"
)]

use std::collections::BTreeMap;

use napi_derive::napi;

#[napi(object, object_from_js = false)]
pub struct Stats {
    pub connections: f64,
    pub detached: f64,
    pub held: f64,
    pub handoffs_refused: BTreeMap<String, f64>,
    pub subscriptions: f64,
    pub topics: f64,
    pub tombstones: f64,
    pub history_frames: f64,
    pub history_bytes: f64,
    pub published: f64,
    pub published_bytes: f64,
    pub delivered: f64,
    pub delivered_bytes: f64,
    pub conflated: f64,
    pub gaps: BTreeMap<&'static str, f64>,
    pub opened: f64,
    pub refused: f64,
    pub closed: BTreeMap<&'static str, f64>,
}

impl From<ssehub::Stats> for Stats {
    fn from(stats: ssehub::Stats) -> Self {
        let by_word = |list: Vec<(&'static str, u64)>| {
            list.into_iter()
                .map(|(word, count)| (word, count as f64))
                .collect()
        };
        Self {
            connections: stats.connections as f64,
            detached: stats.detached as f64,
            held: stats.held as f64,
            handoffs_refused: stats
                .handoffs_refused
                .into_iter()
                .map(|(reason, count)| (reason, count as f64))
                .collect(),
            subscriptions: stats.subscriptions as f64,
            topics: stats.topics as f64,
            tombstones: stats.tombstones as f64,
            history_frames: stats.history_frames as f64,
            history_bytes: stats.history_bytes as f64,
            published: stats.published as f64,
            published_bytes: stats.published_bytes as f64,
            delivered: stats.delivered as f64,
            delivered_bytes: stats.delivered_bytes as f64,
            conflated: stats.conflated as f64,
            gaps: by_word(stats.gaps),
            opened: stats.opened as f64,
            refused: stats.refused as f64,
            closed: by_word(stats.closed),
        }
    }
}

#[napi(object, object_from_js = false)]
pub struct TopicStats {
    pub name: String,
    pub readers: f64,
    pub frames: f64,
    pub bytes: f64,
    pub last_event_id: String,
}

impl From<ssehub::TopicStats> for TopicStats {
    fn from(topic: ssehub::TopicStats) -> Self {
        Self {
            name: topic.name,
            readers: topic.readers as f64,
            frames: topic.frames as f64,
            bytes: topic.bytes as f64,
            last_event_id: topic.last_event_id,
        }
    }
}

#[napi(object, object_from_js = false)]
pub struct StreamInfo {
    pub key: Option<String>,
    pub topics: Vec<String>,
    pub reason: &'static str,
    pub mode: &'static str,
    pub duration: f64,
    pub events: f64,
    pub bytes: f64,
    pub last_event_id: String,
}

impl From<ssehub::StreamInfo> for StreamInfo {
    fn from(info: ssehub::StreamInfo) -> Self {
        Self {
            key: info.key,
            topics: info.topics,
            reason: info.reason.as_str(),
            mode: info.mode.as_str(),
            duration: info.duration as f64,
            events: info.events as f64,
            bytes: info.bytes as f64,
            last_event_id: info.last_event_id,
        }
    }
}

//! Metric families as the text encoder wants them.

use prometheus::proto;

use super::tally::Tallied;
use crate::names::metrics::{BUCKETS, Metric, Type};

/// One metric with the series it has at this moment.
pub(super) struct Family {
    metric: &'static Metric,
    series: Vec<proto::Metric>,
}

impl Family {
    pub(super) fn new(metric: &'static Metric) -> Self {
        Self { metric, series: Vec::new() }
    }

    /// A family of one series without labels, or of none if there is no value.
    pub(super) fn of(metric: &'static Metric, value: Option<f64>) -> Self {
        let mut family = Self::new(metric);
        if let Some(value) = value {
            family.add(&[], value);
        }
        family
    }

    /// Adds a counter's or gauge's value; `labels` are the values in the order of the metric's label names.
    pub(super) fn add(&mut self, labels: &[&str], value: f64) {
        let mut series = self.labelled(labels);
        if self.metric.kind == Type::Counter {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            series.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            series.set_gauge(gauge);
        }
        self.series.push(series);
    }

    /// As [`Family::add`], unless nothing has happened yet.
    pub(super) fn add_event_count(&mut self, labels: &[&str], count: u64) {
        if count > 0 {
            self.add(labels, count as f64);
        }
    }

    /// Adds a histogram, unless it is empty.
    pub(super) fn add_tallied(&mut self, labels: &[&str], tallied: &Tallied) {
        if tallied.count() == 0 {
            return;
        }
        let mut below = 0;
        let buckets = BUCKETS.iter().zip(tallied.buckets()).map(|(bound, count)| {
            below += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(tallied.count());
        histogram.set_sample_sum(tallied.seconds());
        let mut series = self.labelled(labels);
        series.set_histogram(histogram);
        self.series.push(series);
    }

    fn labelled(&self, values: &[&str]) -> proto::Metric {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        let pairs = self.metric.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        proto::Metric::from_label(pairs.collect())
    }

    /// The family for the encoder, which refuses one without series: then `None`.
    pub(super) fn finish(self) -> Option<proto::MetricFamily> {
        if self.series.is_empty() {
            return None;
        }
        let mut family = proto::MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(match self.metric.kind {
            Type::Counter => proto::MetricType::COUNTER,
            Type::Gauge => proto::MetricType::GAUGE,
            Type::Histogram => proto::MetricType::HISTOGRAM,
        });
        family.set_metric(self.series);
        Some(family)
    }
}

//! temp
use crate::faults::compose::*;
use crate::faults::*;
use std::sync::Arc;
pub struct Store;
pub struct RuleSet;
pub struct Plan;
impl Store {
    pub fn new(_: u64) -> Arc<Store> {
        Arc::new(Store)
    }
    pub fn load(&self) -> Arc<RuleSet> {
        Arc::new(RuleSet)
    }
}
impl RuleSet {
    pub fn is_empty(&self) -> bool {
        true
    }
    pub fn plan(&self, _: &str, _: &RequestView<'_>) -> Plan {
        Plan
    }
}
impl Plan {
    pub fn none() -> Plan {
        Plan
    }
    pub fn is_empty(&self) -> bool {
        true
    }
    pub fn request_course(&self, _: &RequestView) -> RequestCourse {
        Default::default()
    }
    pub fn response_course(&self, _: &ResponseView) -> ResponseCourse {
        Default::default()
    }
    pub fn acted(&mut self, _: Source) {}
    pub fn departed(&mut self) {}
    pub fn is_released(&self, _: usize) -> bool {
        false
    }
    pub fn released(&self, _: usize) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }
    pub fn settle(&mut self, _: impl Fn(usize) -> bool) {}
    pub fn mark(&self, _: Source) -> &str {
        ""
    }
}

//! What all lanes share.

use std::sync::Arc;

use crate::lane::freshness::Freshness;
use crate::lane::limits::LaneLimits;
use crate::store::Store;
use crate::store::group_commit::GroupCommitter;
use crate::work::{WorkBudget, WorkPool};

/// What all lanes share.
pub(crate) struct LaneContext {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) committer: GroupCommitter,
    pub(crate) freshness: Freshness,
    pub(crate) limits: LaneLimits,
    pub(crate) work: WorkPool,
    pub(crate) budget: WorkBudget,
}

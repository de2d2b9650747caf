//! `[audit]`: when a line counts as recorded, and how the log is divided.

use serde::{Deserialize, Serialize};

use crate::StartError;

/// When a line counts as recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditSync {
    /// On disk: survives a crash of the machine.
    #[default]
    Fsync,
    /// Handed to the kernel, fsynced every second: survives a crash of the service only.
    Os,
}

/// Each may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// When a line counts as recorded.
    pub sync: AuditSync,
    /// Bytes from which on a segment is full. A start reads up to two segments before it is ready.
    pub segment_bytes: u64,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { sync: AuditSync::default(), segment_bytes: 32 << 20 }
    }
}

impl AuditSettings {
    /// Refuses segments that would hold a few lines only.
    ///
    /// # Errors
    /// `segment_bytes` is below 4,096.
    pub fn check(&self) -> Result<(), StartError> {
        if self.segment_bytes < 4_096 {
            return Err(StartError::new("segment_bytes in [audit] is below 4096."));
        }
        Ok(())
    }
}

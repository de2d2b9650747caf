//! Settings of the installation that an attacker with write access to the database must not change.

use std::fmt;

use manager_api::settings::RateLimits;
use serde::{Deserialize, Serialize};

/// Settings, by their id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The id: there is one record of each.
    pub settings_id: SettingsId,
    /// The rate limits.
    pub rate_limits: RateLimits,
}

/// The id of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingsId {
    /// Rate limits.
    RateLimits,
}

impl fmt::Display for SettingsId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("rate-limits")
    }
}

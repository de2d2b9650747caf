//! Settings of the installation.

use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::present;

/// Rate limits: requests that one principal and one address may make. Answer of `GET /api/settings/rate-limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    /// The limit of each principal.
    pub principal: Rate,
    /// The limit of each address: an IPv4 address, or the /64 of an IPv6 address.
    pub address: Rate,
}

/// A rate, with what may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests in a second in the long run, 1 to 1,000,000.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1_000_000))]
    pub per_second: u32,
    /// Requests at once after a quiet time, 1 to 1,000,000.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1_000_000))]
    pub burst: u32,
}

/// Body of `PATCH /api/settings/rate-limits`. A limit that is absent stays as it is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeRateLimits {
    /// The limit of each principal.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub principal: Option<Rate>,
    /// The limit of each address.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub address: Option<Rate>,
}

/// The most of both numbers of a rate.
pub const MAX_RATE: u32 = 1_000_000;

impl Rate {
    /// Checks the ranges.
    ///
    /// # Errors
    /// A number is 0 or above [`MAX_RATE`].
    pub fn check(self) -> Result<(), Malformed> {
        let good = |number: u32| (1..=MAX_RATE).contains(&number);
        if good(self.per_second) && good(self.burst) {
            Ok(())
        } else {
            Err(Malformed("per_second and burst of a rate are 1 to 1000000"))
        }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { principal: Rate { per_second: 1_000, burst: 2_000 }, address: Rate { per_second: 2_000, burst: 4_000 } }
    }
}

//! What the crate's own tests share.

use crate::random::Random;
use crate::{Generated, Refused};

/// A source with the same bytes in each run.
pub(crate) struct Seeded(Option<fastrand::Rng>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Some(fastrand::Rng::with_seed(seed)))
    }

    /// A source that gives nothing.
    pub(crate) fn failing() -> Self {
        Self(None)
    }
}

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Refused> {
        self.0.as_mut().ok_or(Refused::new("no randomness"))?.fill(bytes);
        Ok(())
    }
}

/// The value for a request in JSON.
pub(crate) fn made(request: &str, seed: u64) -> Generated {
    let request = serde_json::from_str(request).unwrap();
    crate::generate(&request, &mut Seeded::new(seed), 1_800_000_000).unwrap()
}

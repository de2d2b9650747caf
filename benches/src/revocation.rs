//! From the request that revokes a token to the first refusal at the vault.

use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::http::{Connection, delete};
use crate::load::Outcome;
use crate::report::Report;
use crate::services::{Services, member};

/// How often.
#[derive(Args)]
pub(crate) struct Revocation {
    /// Tokens that are minted, used and revoked, one after the other.
    #[arg(long, default_value_t = 200)]
    tokens: usize,
}

impl Revocation {
    /// Measures and reports.
    pub(crate) async fn measure(&self, services: &Services, report: &mut Report) -> Result<(), Failure> {
        let (key_id, _) = services.first().await?;
        let mint = services.mint(std::slice::from_ref(&key_id), 900);
        let mut manager = Connection::open(&services.manager).await?;
        let mut vault = Connection::open(&services.vault).await?;
        let (mut answered, mut refused) = (Vec::new(), Vec::new());
        for _ in 0..self.tokens {
            let minted = manager.expect(&mint, 201).await?;
            let read = services.read(&key_id, &member(minted, "access_token")?);
            let revoke =
                delete(&services.manager, &format!("/api/tokens/{}", member(minted, "jti")?), &services.credential);
            vault.expect(&read, 200).await?;
            let sent = Instant::now();
            let (answer, refusal) =
                tokio::join!(revoked(&mut manager, &revoke, sent), first_refusal(&mut vault, &read, sent));
            answered.push(answer?);
            refused.push(refusal?);
        }
        println!("From DELETE /api/tokens/{{jti}}, {} times", self.tokens);
        for (name, times) in [("the answer \"revoked\"", answered), ("the first refusal at the vault", refused)] {
            let outcome = Outcome::new(times.iter().sum(), times);
            report.number(&format!("until {name}, p50"), outcome.percentile(50), "ms")?;
            report.number(&format!("until {name}, p99"), outcome.percentile(99), "ms")?;
        }
        Ok(())
    }
}

async fn revoked(manager: &mut Connection, request: &[u8], sent: Instant) -> Result<Duration, Failure> {
    manager.expect(request, 200).await?;
    Ok(sent.elapsed())
}

/// Reads until a read is refused.
async fn first_refusal(vault: &mut Connection, read: &[u8], sent: Instant) -> Result<Duration, Failure> {
    loop {
        match vault.exchange(read).await? {
            (200, _) => {}
            (401, _) => return Ok(sent.elapsed()),
            (status, body) => return Err(format!("status {status}: {body}").into()),
        }
    }
}

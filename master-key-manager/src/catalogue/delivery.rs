//! Delivery of envelopes to the vault. Writes that wait together share a command, with its signature, its request and
//! the vault's commit. Each gets its own receipt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use service_runtime::Refusal;
use service_runtime::clock::Clock;
use shared_proto::command::Operation;
use shared_proto::encoding::ByteString;
use shared_proto::error::ErrorCode;
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::statement::StatedKey;
use shared_proto::wire::vault::{EnvelopeToStore, MAX_BATCH, Store, StoreAnswer, StoreResult};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::transfer::TransferKeys;
use crate::keys::KeyRing;
use crate::sealing::Sealed;
use crate::sealing::cipher_refused;
use crate::vault_client::{CallError, VaultClient};

/// The result of delivering an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is durable: the receipt states the same facts.
    Stored,
    /// The number stands for other content, permanently.
    Taken,
    /// It was not written.
    NotWritten(&'static str),
    /// It may have been written.
    Unclear,
}

/// The queue of sealed versions for the vault. Clones share it.
#[derive(Clone)]
pub struct DeliveryQueue(mpsc::Sender<Parcel>);

struct Parcel {
    sealed: Sealed,
    transport: StatedKey,
    reply: oneshot::Sender<Delivery>,
}

/// Envelopes that wait; beyond that the vault is hopelessly behind.
const QUEUE: usize = 1_024;
/// Commands under way at once: enough to keep the vault's writer busy, few enough that others gather.
const IN_FLIGHT: usize = 3;
/// Ciphertext bytes of one command; in base64 and JSON they stay below the 16 MiB of the route.
const MAX_BATCH_BYTES: usize = 8 << 20;

impl DeliveryQueue {
    /// Delivers an envelope and waits for the result.
    pub async fn deliver(&self, sealed: Sealed, transport: StatedKey) -> Delivery {
        let (reply, outcome) = oneshot::channel();
        match self.0.try_send(Parcel { sealed, transport, reply }) {
            Ok(()) => outcome.await.unwrap_or(Delivery::Unclear),
            Err(_full_or_closed) => Delivery::NotWritten("too many writes wait for the vault"),
        }
    }
}

/// Starts the task that makes commands of queued envelopes. It ends when all clones of the queue are dropped.
pub fn start_delivery(client: Arc<VaultClient>, keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> DeliveryQueue {
    let (queue, inbox) = mpsc::channel(QUEUE);
    let transfer = TransferKeys::new(clock);
    let carrier = Arc::new(Carrier { client, keys, transfer, said: AtomicBool::new(false) });
    tokio::spawn(carry(carrier, inbox));
    DeliveryQueue(queue)
}

async fn carry(carrier: Arc<Carrier>, mut inbox: mpsc::Receiver<Parcel>) {
    let free = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut held_back: Option<Parcel> = None;
    loop {
        let first = match held_back.take() {
            Some(parcel) => parcel,
            None => match inbox.recv().await {
                Some(parcel) => parcel,
                None => return,
            },
        };
        // While all commands are under way, others gather behind this one.
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let (mut bytes, transport_kid) = (size_of(&first), first.transport.kid);
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH {
            let Ok(parcel) = inbox.try_recv() else { break };
            let size = size_of(&parcel);
            if bytes + size > MAX_BATCH_BYTES || parcel.transport.kid != transport_kid {
                held_back = Some(parcel);
                break;
            }
            bytes += size;
            batch.push(parcel);
        }
        let carrier = Arc::clone(&carrier);
        tokio::spawn(async move {
            carrier.send(batch).await;
            drop(permit);
        });
    }
}

fn size_of(parcel: &Parcel) -> usize {
    parcel.sealed.version.ciphertext.bytes.len()
}

struct Carrier {
    client: Arc<VaultClient>,
    keys: Arc<KeyRing>,
    transfer: TransferKeys,
    /// Whether it was said that the vault takes no fingerprints.
    said: AtomicBool,
}

impl Carrier {
    async fn send(&self, batch: Vec<Parcel>) {
        let Some(transport) = batch.first().map(|parcel| parcel.transport.clone()) else { return };
        let (mut expected, mut replies, mut envelopes) = (Vec::new(), Vec::new(), Vec::new());
        let Ok(transfer) = self.transfer.for_transport(&transport) else {
            for parcel in batch {
                let _caller_gone = parcel.reply.send(Delivery::NotWritten("no transfer key can be made"));
            }
            return;
        };
        for parcel in batch {
            match envelope(parcel.sealed, &transfer.key) {
                Ok((facts, envelope)) => {
                    expected.push(facts);
                    envelopes.push(envelope);
                    replies.push(parcel.reply);
                }
                Err(_defect) => {
                    let _caller_gone = parcel.reply.send(Delivery::NotWritten("a data key cannot be wrapped"));
                }
            }
        }
        let mut command =
            Store { transfer_key: transfer.wrapped.clone(), transport_kid: transfer.transport_kid, envelopes };
        let mut answer = self.client.command::<StoreAnswer>(Operation::Store, &command).await;
        if let Err(CallError::Refused(ErrorCode::BodyInvalid)) = answer {
            // A vault of before does not know the member, and has written nothing.
            command.envelopes.iter_mut().for_each(|envelope| envelope.fingerprint = None);
            answer = self.client.command(Operation::Store, &command).await;
            if answer.is_ok() && !self.said.swap(true, Ordering::SeqCst) {
                tracing::warn!("the vault takes no fingerprints of values; update it, so that values can be compared");
            }
        }
        let outcomes = match answer {
            Ok(answer) if answer.results.len() == expected.len() => {
                expected.iter().zip(&answer.results).map(|(facts, result)| self.judge(facts, result)).collect()
            }
            Ok(_) => vec![Delivery::Unclear; expected.len()],
            Err(error) => vec![of_error(error); expected.len()],
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            let _caller_gone = reply.send(outcome);
        }
    }

    /// Only a receipt of the pinned vault with the very same facts counts as stored.
    fn judge(&self, expected: &ReceiptFacts, result: &StoreResult) -> Delivery {
        let facts = result.receipt.as_ref().and_then(|receipt| receipt.verify(&self.keys.now().pins).ok());
        let Some(facts) = facts else {
            return match result.error {
                Some(ErrorCode::BodyInvalid) => Delivery::NotWritten("the vault refused the envelope"),
                Some(_) | None => Delivery::Unclear,
            };
        };
        let same_version = facts.environment == expected.environment
            && facts.secret == expected.secret
            && facts.version == expected.version;
        match (same_version, result.error) {
            (true, None) if facts == *expected => Delivery::Stored,
            // A tombstone, or other content: this envelope can never be stored there.
            (true, Some(ErrorCode::VersionConflict)) if facts.digest != expected.digest => Delivery::Taken,
            (true | false, _) => Delivery::Unclear,
        }
    }
}

fn envelope(
    sealed: Sealed,
    key: &shared_proto::secret::TransferKey,
) -> Result<(ReceiptFacts, EnvelopeToStore), Refusal> {
    let Sealed { version, epoch, fingerprint } = sealed;
    #[cfg(feature = "sabotage")]
    crate::sabotage::leak_inner(&version);
    #[cfg(feature = "sabotage")]
    crate::sabotage::leak_fingerprint(&version, &fingerprint);
    let header = version.header;
    let facts = ReceiptFacts {
        environment: header.environment,
        secret: header.secret,
        version: header.version,
        state: VersionState::Stored,
        epoch,
        digest: version.digest,
    };
    let envelope = EnvelopeToStore {
        environment: header.environment,
        secret_id: header.secret,
        version: header.version,
        epoch,
        digest: version.digest,
        moved: version.inner.move_with(key).map_err(cipher_refused)?,
        commit: version.ciphertext.commitment,
        nonce: version.ciphertext.nonce,
        ciphertext: ByteString(version.ciphertext.bytes),
        fingerprint: Some(fingerprint.move_with(key).map_err(cipher_refused)?),
    };
    Ok((facts, envelope))
}

fn of_error(error: CallError) -> Delivery {
    match error {
        CallError::NotSent(_) => Delivery::NotWritten("the vault cannot be reached"),
        CallError::Unclear
        | CallError::BadAnswer
        | CallError::Refused(ErrorCode::OutcomeUnknown | ErrorCode::Internal) => Delivery::Unclear,
        CallError::Refused(_) => Delivery::NotWritten("the vault refused the store command"),
    }
}

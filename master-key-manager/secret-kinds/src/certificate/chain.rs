//! The order of a chain.

use super::parsed::Parsed;
use crate::Refused;

/// The certificates from the leaf to the last issuer.
///
/// The leaf is the one that issued none of the others. A chain of at most 16 certificates takes at most 256 comparisons of
/// names, and one signature for each pair that fits.
pub(super) fn ordered(certificates: &[Parsed]) -> Result<Vec<&Parsed>, Refused> {
    let issued_other = |issuer: &Parsed| {
        certificates.iter().any(|other| !std::ptr::eq(other, issuer) && other.names_as_issuer(issuer))
    };
    let mut leaves = certificates.iter().filter(|certificate| !issued_other(certificate));
    let leaf = leaves.next().ok_or(Refused::new("the certificates issued each other in a circle"))?;
    if let Some(other) = leaves.next() {
        return Err(Refused::at_line("the certificates are not one chain: two of them issued no other", other.line));
    }
    let mut chain = vec![leaf];
    let mut at = leaf;
    while chain.len() < certificates.len() {
        let left = || certificates.iter().filter(|next| !chain.iter().any(|known| std::ptr::eq(*known, *next)));
        let mut issuers = left().filter(|next| at.names_as_issuer(next));
        let Some(issuer) = issuers.next() else {
            let line = left().next().map_or(at.line, |certificate| certificate.line);
            return Err(Refused::at_line("the certificates are not one chain: this one issued none of them", line));
        };
        if let Some(twin) = issuers.next() {
            return Err(Refused::at_line("two certificates have the name of the issuer; keep one of them", twin.line));
        }
        if !issuer.may_issue() {
            return Err(Refused::at_line("a certificate of the chain may not issue others", issuer.line));
        }
        if !at.can_be_checked() {
            return Err(Refused::at_line("the algorithm of this certificate's signature is out of use", at.line));
        }
        if !at.is_signed_by(issuer) {
            return Err(Refused::at_line("this certificate was not signed by the one that it names", at.line));
        }
        chain.push(issuer);
        at = issuer;
    }
    Ok(chain)
}

//! Facts about who somebody proved to be. Every way to sign on ends in a [`Proof`], and later ways (`OpenID Connect`,
//! SAML, passkeys) will, too: whoever decides looks at the facts and not at the way.

use shared_proto::id::Subject;

/// Somebody proved who he is, in one way, at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The person or service.
    pub subject: Subject,
    /// The way.
    pub method: Method,
    /// The time (Unix seconds).
    pub at: u64,
}

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// A password.
    Password,
    /// A one-time code of an authenticator.
    OneTimeCode,
    /// A recovery code.
    RecoveryCode,
    /// An enrolment code.
    Enrolment,
    /// An opaque service credential.
    Credential,
    /// An assertion signed with a registered key.
    Assertion,
    /// A token of an external issuer.
    Trust,
}

/// The base of a way to prove (NIST SP 800-63). Two different ones are multi-factor authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Factor {
    /// Something one knows.
    Knowledge,
    /// Something one has.
    Possession,
}

impl Method {
    /// Every method.
    pub const ALL: &'static [Self] = &[
        Self::Password,
        Self::OneTimeCode,
        Self::RecoveryCode,
        Self::Enrolment,
        Self::Credential,
        Self::Assertion,
        Self::Trust,
    ];

    /// The method with this word, as a stored session has it.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.as_str() == word)
    }

    /// The word in audit lines and stored sessions; for passwords and one-time codes that of RFC 8176.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::OneTimeCode => "otp",
            Self::RecoveryCode => "recovery-code",
            Self::Enrolment => "enrolment",
            Self::Credential => "credential",
            Self::Assertion => "assertion",
            Self::Trust => "trust",
        }
    }

    /// The factor that it rests on.
    pub fn factor(self) -> Factor {
        match self {
            Self::Password => Factor::Knowledge,
            Self::OneTimeCode
            | Self::RecoveryCode
            | Self::Enrolment
            | Self::Credential
            | Self::Assertion
            | Self::Trust => Factor::Possession,
        }
    }
}

/// The proofs of a login, all of the same subject. A session keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proofs {
    first: Proof,
    more: Vec<Proof>,
}

impl Proofs {
    /// One proof.
    pub fn new(first: Proof) -> Self {
        Self { first, more: Vec::new() }
    }

    /// Adds a proof. One of another subject is not added, and one of the same method replaces the older one.
    #[must_use]
    pub fn with(mut self, proof: Proof) -> Self {
        if proof.subject != self.first.subject {
            return self;
        }
        if proof.method == self.first.method {
            self.first = proof;
        } else {
            self.more.retain(|known| known.method != proof.method);
            self.more.push(proof);
        }
        self
    }

    /// The person or service.
    pub fn subject(&self) -> Subject {
        self.first.subject
    }

    /// The proofs.
    pub fn iter(&self) -> impl Iterator<Item = &Proof> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// True if they rest on two different factors.
    pub fn is_multi_factor(&self) -> bool {
        self.more.iter().any(|proof| proof.method.factor() != self.first.method.factor())
    }

    /// True if every factor that the login rests on was proven within the last `seconds`. Sensitive acts ask for it.
    /// A proof of the future counts as none.
    pub fn is_recent(&self, now: u64, seconds: u64) -> bool {
        let recent = |factor| {
            let of_factor = self.iter().filter(|proof| proof.method.factor() == factor).map(|proof| proof.at);
            of_factor.max().is_none_or(|at| now.checked_sub(at).is_some_and(|age| age <= seconds))
        };
        recent(Factor::Knowledge) && recent(Factor::Possession)
    }
}

#[cfg(test)]
mod tests {
    use shared_proto::id::PersonId;

    use super::*;

    fn proof(byte: u8, method: Method, at: u64) -> Proof {
        Proof { subject: Subject::Person(PersonId::from_bytes([byte; 16])), method, at }
    }

    #[test]
    fn each_method_has_a_word_of_its_own() {
        for method in Method::ALL {
            assert_eq!(Method::named(method.as_str()), Some(*method));
        }
        assert_eq!(Method::named("PWD"), None);
    }

    #[test]
    fn two_factors_are_two_that_differ_and_belong_to_one_person() {
        let login = Proofs::new(proof(1, Method::Password, 100));
        assert!(!login.is_multi_factor());
        assert!(!login.clone().with(proof(1, Method::Password, 101)).is_multi_factor());
        assert!(!login.clone().with(proof(2, Method::OneTimeCode, 101)).is_multi_factor());
        assert!(login.with(proof(1, Method::OneTimeCode, 101)).is_multi_factor());
        let codes = Proofs::new(proof(1, Method::OneTimeCode, 1)).with(proof(1, Method::RecoveryCode, 1));
        assert!(!codes.is_multi_factor());
    }

    #[test]
    fn recent_login_is_one_in_which_every_factor_was_proven_again() {
        let login = Proofs::new(proof(1, Method::Password, 100)).with(proof(1, Method::OneTimeCode, 100));
        assert!(login.is_recent(700, 600) && !login.is_recent(701, 600));
        let half = login.clone().with(proof(1, Method::Password, 690));
        assert!(!half.is_recent(701, 600));
        assert!(half.with(proof(1, Method::OneTimeCode, 691)).is_recent(701, 600));
        assert!(!login.is_recent(99, 600), "a proof of the future");
    }
}

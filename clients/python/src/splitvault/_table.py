"""The table of error codes, as docs/errors.md has it; a test holds them together.

A code is never renamed. One that a later service answers with, and this table lacks, is judged by its status alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A code: the status it comes with, and what a client may do (`no`, `later`, `same-key`, `new-token`)."""

    status: int
    retry: str
    advice: str


TABLE: dict[str, Row] = {
    "body_invalid": Row(400, "no", "The body is not the JSON document that this route takes."),
    "parameter_invalid": Row(400, "no", "A field or query parameter is outside its allowed values."),
    "name_invalid": Row(
        400,
        "no",
        "A path, pattern, environment, name, label, tag, reason, lifetime or range of addresses breaks its rules; the detail says which.",
    ),
    "encoding_invalid": Row(400, "no", "The value is not canonical base64 although the encoding says so."),
    "path_invalid": Row(400, "no", "The request path is not in the plain form that the API uses."),
    "host_invalid": Row(400, "no", "Development mode answers only to localhost, without a proxy in between."),
    "idempotency_forbidden": Row(400, "no", "Anonymous callers may not send Idempotency-Key."),
    "credential_invalid": Row(
        401,
        "no",
        "The credential is missing, unknown, expired, disabled or used up, or is not for this address.",
    ),
    "token_invalid": Row(
        401,
        "new-token",
        "The access token is missing, malformed, expired, revoked or of another vault.",
    ),
    "seal_key_unknown": Row(
        401,
        "new-token",
        "The token was sealed to a key that no longer exists; fetch a new token.",
    ),
    "command_invalid": Row(401, "no", "The command is missing, malformed, expired or not signed by the manager."),
    "clock_differs": Row(
        401,
        "no",
        "The command is the manager's but of another time: the clocks of the services differ, or it is an old one.",
    ),
    "login_failed": Row(401, "no", "Name, password or code is wrong, or the code was used; which of them is not told."),
    "enrolment_invalid": Row(
        401,
        "no",
        "The enrolment code is unknown, was redeemed, has ended, or is for another address; ask for a new one.",
    ),
    "login_required": Row(
        403,
        "no",
        "The last login is too long ago for this; repeat it with POST /api/sessions:reauthenticate.",
    ),
    "mfa_required": Row(
        403,
        "no",
        "This needs a login with two factors; set up an authenticator, and log in with its code.",
    ),
    "approval_required": Row(
        403,
        "no",
        "This needs the approval of somebody else: ask for it with POST /api/approvals, or with the :destroy of the secret.",
    ),
    "not_permitted": Row(403, "no", "The policy does not allow this to the caller."),
    "secret_not_found": Row(404, "no", "No such secret or version, or it is not yours to see."),
    "environment_not_found": Row(404, "no", "There is no such environment."),
    "token_not_found": Row(404, "no", "This is not the id of a token."),
    "subject_not_found": Row(404, "no", "Nobody has this label, as it is written: nothing was revoked."),
    "service_not_found": Row(404, "no", "No such service, or it is not yours to see."),
    "credential_not_found": Row(404, "no", "There is no such credential."),
    "party_not_found": Row(404, "no", "There is no such person, service or group, or it is not a member."),
    "group_not_found": Row(404, "no", "There is no such group."),
    "line_not_found": Row(404, "no", "There is no such role assignment or permission, or it is not yours to see."),
    "policy_version_not_found": Row(404, "no", "No version of the policy has this number."),
    "person_not_found": Row(404, "no", "There is no such person."),
    "enrolment_not_found": Row(404, "no", "There is no such enrolment code."),
    "trust_not_found": Row(404, "no", "There is no such trust."),
    "incident_not_found": Row(404, "no", "There is no such incident, or it is not yours to see."),
    "approval_not_found": Row(404, "no", "There is no such approval, or it is not yours to see."),
    "route_not_found": Row(404, "no", "There is no such route."),
    "method_not_allowed": Row(405, "no", "The route exists, but not for this method."),
    "idempotency_unknown": Row(
        409,
        "no",
        "The first request succeeded, but its body can no longer be compared; id and version are given.",
    ),
    "idempotency_conflict": Row(
        409,
        "no",
        "This Idempotency-Key was used for another path or environment; that request stored nothing.",
    ),
    "too_many_credentials": Row(
        409,
        "no",
        "The service has two credentials that may be used; disable one of them first.",
    ),
    "last_administrator": Row(409, "no", "After this nobody could make policy and principals any more."),
    "environment_frozen": Row(
        409,
        "no",
        "The environment is frozen: nothing is written to it and no token is made for it.",
    ),
    "environment_disabled": Row(
        409,
        "no",
        "The environment is disabled: nothing is written to it and no token is made for it.",
    ),
    "version_conflict": Row(
        409,
        "no",
        "The version number is taken by other content or by a tombstone, or another version is the newest.",
    ),
    "event_gap": Row(409, "later", "An event is missing before this one; send from the expected number."),
    "event_conflict": Row(409, "no", "A known event number came with other content; the feed is stopped."),
    "second_manager": Row(409, "later", "Two managers with the same identity poll this vault; end one of them."),
    "epoch_incomplete": Row(409, "later", "A stored version has no key of this epoch yet; rewrap it first."),
    "already_exists": Row(409, "no", "The thing to be made is there already."),
    "secret_deleted": Row(409, "no", "The secret is deleted: no token is made for it and nothing is written to it."),
    "secret_frozen": Row(
        409,
        "no",
        "The secret is frozen because of an incident: no token is made for it until that is lifted.",
    ),
    "secret_not_deleted": Row(409, "no", "The secret is not deleted; only a deleted one is destroyed or taken back."),
    "approval_decided": Row(
        409,
        "no",
        "The approval is decided, used, withdrawn or ended, and takes no other decision.",
    ),
    "version_expired": Row(409, "no", "The version has expired, and its environment makes no token for expired ones."),
    "rotation_conflict": Row(409, "no", "The rotation of the secret is not at the step that this one follows."),
    "group_in_use": Row(
        409,
        "no",
        "A role assignment, a permission or an owner names the group; delete or change that first.",
    ),
    "limit_reached": Row(409, "no", "There are as many of these as there may be."),
    "value_invalid": Row(
        400,
        "no",
        "The value is not what its kind says, or cannot be made as asked; the detail says why and never repeats it.",
    ),
    "value_weak": Row(400, "no", "A password is weaker than its environment asks for; nothing was written."),
    "body_too_large": Row(413, "no", "The body is larger than this route takes."),
    "value_too_large": Row(413, "no", "A secret value is at most 1048576 bytes after decoding."),
    "media_type_unsupported": Row(415, "no", "Send application/json without content encoding."),
    "idempotency_mismatch": Row(422, "no", "This Idempotency-Key was used with another body."),
    "dry_run_too_large": Row(
        422,
        "no",
        "The question concerns too many principals for so many secrets; ask about fewer of these.",
    ),
    "rate_limited": Row(
        429,
        "later",
        "Too many requests: of a token that were refused within this second, beyond a budget, or attempts that failed; wait as Retry-After says.",
    ),
    "header_too_large": Row(431, "no", "The request head is larger than 16 KiB."),
    "internal": Row(500, "no", "A fault in the service; the request id finds it in the log."),
    "unavailable": Row(503, "later", "A part that is needed is not reachable; nothing was written."),
    "outcome_unknown": Row(
        503,
        "same-key",
        "It may have been carried out; repeat with the same Idempotency-Key to settle it.",
    ),
    "revocations_behind": Row(
        503,
        "later",
        "The vault has not yet applied every revocation that it must know; wait a second.",
    ),
    "audit_unavailable": Row(503, "later", "The audit log cannot be written, so nothing is released."),
    "storage_unavailable": Row(503, "later", "The database cannot be read or written."),
    "overloaded": Row(503, "later", "Too many requests at once."),
}

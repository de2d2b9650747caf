//! What a user or an operator does, and what may happen to the services meanwhile.

mod first_secret;

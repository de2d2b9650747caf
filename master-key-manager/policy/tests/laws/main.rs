//! Laws of every policy.

#[cfg(test)]
mod changes;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod explanations;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod hand_outs;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod patterns;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod take_aways;
#[cfg(test)]
mod universe;

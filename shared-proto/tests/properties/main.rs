//! Properties of what both services must agree on, over random inputs.

#[cfg(test)]
mod envelope;
#[cfg(test)]
mod positions;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod texts;

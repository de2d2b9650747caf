//! Generated requests over generated policies: the manager's policy decides as Cedar does.

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod cedar;
#[cfg(test)]
mod ours;
#[cfg(test)]
mod world;

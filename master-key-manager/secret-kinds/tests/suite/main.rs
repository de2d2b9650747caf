//! Values of the wild against the crate as its callers see it. Keys are made when a test runs; the few texts that are here
//! are examples of RFCs and hold no key that is in use.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod quotes;
#[cfg(test)]
mod references;
#[cfg(test)]
mod tools;

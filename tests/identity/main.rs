//! Identity, the SPIFFE edges and the development provider, over real sockets and real handshakes.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod ca;
#[cfg(test)]
mod comparison;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod served;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod world;
